"""`competition run --ray`: the bits of a serial run, whatever happens to processes and nodes."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.driving import Nodes, driver, kill
from tests.kills.sameness import differing, left_over
from tests.kills.small import write_competition

pytestmark = pytest.mark.cluster

# Long enough to be interrupted: the fixture's eighteen images take a quarter of a second an epoch.
LONG = ("--set", "recipe.epochs.unfrozen=24", "--set", "run.checkpoint_seconds=1e9")
FOLDS = ("--set", "members.a.validation.folds=2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("cluster")
    write_competition(found)
    return found


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A head that trains nothing, and two nodes of one core."""
    with Nodes() as cluster:
        cluster.add("one")
        cluster.add("two")
        yield cluster


Serial = Callable[..., Path]


@pytest.fixture(scope="module")
def serial(folder: Path) -> Serial:
    """The folder of a run on this machine alone, made once for the same options."""
    made: dict[Sequence[str], Path] = {}

    def run(*options: str) -> Path:
        if options not in made:
            name = f"serial-{len(made)}"
            with driver(folder, name, *options) as process:
                assert process.end() == 0, process.text
            made[options] = folder / "runs" / name
        return made[options]

    return run


def trainings(run: Path) -> list[str]:
    """The folders of a run that hold weights."""
    members = run / "members"
    return sorted(
        str(path.parent.relative_to(members)) for path in members.rglob("weights.safetensors")
    )


def same(run: Path, other: Path) -> bool:
    """Whether two runs are the same in every bit of every file; what differs is printed."""
    names = trainings(run)
    found = [] if names and names == trainings(other) else ["members"]
    for name in names:
        found += [
            f"{name}/{what}" for what in differing(run / "members" / name, other / "members" / name)
        ]
    for file in ("submission.csv", "index.parquet", "audit.json", "blend.json"):
        if (run / file).read_bytes() != (other / file).read_bytes():
            found.append(file)
    if content(run) != content(other):
        found.append("manifest.json")
    found += left_over(other)
    print(found)
    return not found


def content(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "manifest.json").read_bytes())["content"]
    return found


def test_two_nodes_give_the_bits_of_a_serial_run_and_another_seed_does_not(
    folder: Path, nodes: Nodes, serial: Serial
) -> None:
    with driver(folder, "two", "--ray", nodes.address, *FOLDS, "--seeds", "0,1") as process:
        process.until("process")
        assert _listening_elsewhere() == []
        assert process.end() == 0, process.text
    assert same(serial(*FOLDS), folder / "runs" / "two-seed0")
    assert same(serial(*FOLDS, "--set", "run.seed=1"), folder / "runs" / "two-seed1")
    assert not same(folder / "runs" / "two-seed0", folder / "runs" / "two-seed1")
    assert len(set(re.findall(r" on (\S+), process", process.text))) == 2
    where = json.loads((folder / "runs" / "two-seed0" / "manifest.json").read_bytes())["beside"]
    assert set(where["nodes"]["a"]) == {"fold-1", "fold-2"}
    assert where["nodes"]["b"] in process.text


def test_a_process_and_a_node_that_are_lost_change_no_bit(
    folder: Path, nodes: Nodes, serial: Serial
) -> None:
    nodes.add("three")
    with driver(folder, "lost", "--ray", nodes.address, *LONG) as process:
        started = [process.until(r"on (\S+), process (\d+)") for _ in ("a", "b")]
        _wait_for(folder / "runs" / "lost", "a", "b")
        kill(int(started[0][2]))
        process.until("lost its process, and goes on")
        process.until(r"on (\S+), process (\d+)")
        nodes.remove("one")
        nodes.remove("two")
        assert process.end() == 0, process.text
    assert process.text.count("lost its process, and goes on") >= 2
    assert same(serial(*LONG), folder / "runs" / "lost")
    nodes.remove("three")
    nodes.add("one")
    nodes.add("two")


def test_a_driver_that_is_killed_and_started_again_changes_no_bit(
    folder: Path, nodes: Nodes, serial: Serial
) -> None:
    with driver(folder, "driver", "--ray", nodes.address, *LONG) as process:
        _wait_for(folder / "runs" / "driver", "a", "b")
        kill(process.process.pid)
        process.end()
    with driver(folder, "driver", "--ray", nodes.address, *LONG) as process:
        assert process.end() == 0, process.text
    assert same(serial(*LONG), folder / "runs" / "driver")


def test_ctrl_c_leaves_checkpoints_and_the_same_command_goes_on(
    folder: Path, serial: Serial
) -> None:
    """With Ray on this machine alone, where nothing listens on anything but loopback."""
    with driver(folder, "stopped", "--ray", *LONG) as process:
        _wait_for(folder / "runs" / "stopped", "a")
        assert _listening_elsewhere() == []
        process.process.send_signal(signal.SIGINT)
        assert process.end() == 2, process.text
    assert "their checkpoints are written" in process.text
    assert f"competition run --config small.toml --run stopped --ray {LONG[0]}" in process.text
    with driver(folder, "stopped", "--ray", *LONG) as process:
        assert process.end() == 0, process.text
    assert same(serial(*LONG), folder / "runs" / "stopped")


def test_a_node_of_another_environment_is_named_before_any_work(folder: Path, nodes: Nodes) -> None:
    nodes.add("other", "OPENCV_CPU_DISABLE=AVX2")
    try:
        with driver(folder, "mixed", "--ray", nodes.address) as process:
            assert process.end() == 2, process.text
        assert re.search(r"variables.OPENCV_CPU_DISABLE is 'AVX2', not None", process.text)
        assert "--allow-mixed" in process.text
        assert not (folder / "runs" / "mixed").exists()
        with driver(folder, "mixed", "--ray", nodes.address, "--allow-mixed", *FOLDS) as process:
            assert process.end() == 0, process.text
    finally:
        nodes.remove("other")
    other = re.search(r"mixed +(\S+): variables.OPENCV_CPU_DISABLE", process.text)
    assert other is not None
    manifest = json.loads((folder / "runs" / "mixed" / "manifest.json").read_bytes())
    told = manifest["content"]["members"]
    found = {
        node
        for name, node in _flat(manifest["beside"]["nodes"])
        for own in [told[name.partition("/")[0]]]
        if "environment" in own or name.partition("/")[2] in own.get("environments", {})
    }
    assert found == {other[1]}
    assert "variables" in json.dumps(told)
    # A serial run would not be of one piece with them either.
    with driver(folder, "mixed", *FOLDS) as process:
        assert process.end() == 2
    assert "trained from something else" in process.text


def test_a_training_that_fails_takes_no_other_down(folder: Path, nodes: Nodes) -> None:
    bad = ("--set", "members.b.unfrozen_rates=[1e30, 1e30]")
    with driver(folder, "failed", "--ray", nodes.address, *bad) as process:
        assert process.end() == 1, process.text
    run = folder / "runs" / "failed"
    assert "b has failed, the others go on: the model's predictions are not finite" in process.text
    assert (run / "members" / "a" / "member.json").is_file()
    assert "not finite" in (run / "members" / "b" / "log.txt").read_text()
    assert not (run / "submission.csv").exists()
    options = (*bad, "--set", "blend.allow_missing=true")
    with driver(folder, "failed", "--ray", nodes.address, *options) as process:
        assert process.end() == 1, process.text
    assert (run / "submission.csv").is_file()
    assert "a (1/2) is complete already" in process.text


def test_an_object_store_holds_what_a_lost_driver_left(
    folder: Path, serial: Serial, s3: str
) -> None:
    options = ("--ray", "--set", f"cluster.storage={s3}", *LONG)
    with driver(folder, "stored", *options, "--set", "run.checkpoint_seconds=0.1") as process:
        process.until("process")
        _wait_in(s3, "stored/members/a/checkpoint")
        kill(process.process.pid)
        process.end()
    # The next machine has nothing but the settings and the data.
    subprocess.run(["rm", "-r", str(folder / "runs" / "stored")], check=True)
    with driver(folder, "stored", *options) as process:
        assert process.end() == 0, process.text
    assert same(serial(*LONG), folder / "runs" / "stored")
    from competition.cluster.storage import Storage

    there = Storage(s3).names("stored")
    assert "stored/submission.csv" in there
    assert "stored/members/b/weights.safetensors" in there
    assert not [name for name in there if "checkpoint" in name]


def test_a_cluster_that_is_not_there_is_told_at_once(folder: Path) -> None:
    started = time.monotonic()
    for address, told in (("127.0.0.1:9", "no Ray cluster answers"), ("ray://h:1", "not the addr")):
        with driver(folder, "none", "--ray", address) as process:
            assert process.end() == 2
        assert told in process.text
        assert "Traceback" not in process.text
    assert time.monotonic() - started < 60


def _wait_for(run: Path, *members: str) -> None:
    """Until each of them has a checkpoint."""
    for _ in range(1200):
        if all(list((run / "members" / each).glob("checkpoint/*.safetensors")) for each in members):
            return
        time.sleep(0.1)
    raise AssertionError("no checkpoint")


def _wait_in(address: str, place: str) -> None:
    from competition.cluster.storage import Storage

    storage = Storage(address)
    for _ in range(600):
        if storage.names(place):
            return
        time.sleep(0.2)
    raise AssertionError("no checkpoint")


def _flat(nodes: dict[str, Any]) -> list[tuple[str, str]]:
    """(training, node) of the manifest's table."""
    return [
        (f"{name}/{fold}" if fold else name, node)
        for name, found in nodes.items()
        for fold, node in (found.items() if isinstance(found, dict) else [("", found)])
    ]


def _listening_elsewhere() -> list[str]:
    """Addresses other than loopback on which a process of Ray listens."""
    import psutil

    found = []
    for process in psutil.process_iter(["cmdline", "name"]):
        words = " ".join(process.info["cmdline"] or [process.info["name"]])
        if "ray" not in words or "rayon" in words:
            continue
        for connection in process.net_connections("inet"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.laddr.ip not in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
                found.append(f"{words}: {connection.laddr}")
    return found
