"""`twinrun run --ray` on several nodes: the bits of a serial run; who differs, who fails."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import Serial
from tests.cluster.driving import Nodes, driver
from tests.cluster.looking import FOLDS, listening_elsewhere, same

# Its cluster is shared by the tests of this file.
pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("runs")]


def test_two_nodes_give_the_bits_of_a_serial_run_and_another_seed_does_not(
    folder: Path, nodes: Nodes, serial: Serial
) -> None:
    with driver(folder, "two", "--ray", nodes.address, *FOLDS, "--seeds", "0,1") as process:
        process.until("process")
        assert listening_elsewhere() == []
        assert process.end() == 0, process.text
    assert same(serial(*FOLDS), folder / "runs" / "two-seed0")
    assert same(serial(*FOLDS, "--set", "run.seed=1"), folder / "runs" / "two-seed1")
    assert not same(folder / "runs" / "two-seed0", folder / "runs" / "two-seed1")
    assert len(set(re.findall(r" on (\S+), process", process.text))) == 2
    where = json.loads((folder / "runs" / "two-seed0" / "manifest.json").read_bytes())["beside"]
    assert set(where["nodes"]["a"]) == {"fold-1", "fold-2"}
    assert re.search(rf" on (\S+)-{where['nodes']['b']}, process", process.text)
    place = json.loads((folder / "runs" / "two-seed0" / "local.json").read_bytes())
    assert place["nodes"][where["nodes"]["b"]] == socket.gethostname()
    for path in (folder / "runs" / "two-seed0").rglob("member.json"):
        assert f"{socket.gethostname()}-" not in path.read_text(), path


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
    assert found == {other[1].rpartition("-")[2]}
    assert "variables" in json.dumps(told)


def test_a_training_that_fails_takes_no_other_down(folder: Path, nodes: Nodes) -> None:
    bad = ("--set", "members.b.unfrozen_rates=[1e30, 1e30]")
    with driver(folder, "failed", "--ray", nodes.address, *bad) as process:
        assert process.end() == 1, process.text
    run = folder / "runs" / "failed"
    assert (
        "b has failed, the others continue: the model's predictions are not finite" in process.text
    )
    assert (run / "members" / "a" / "member.json").is_file()
    assert "not finite" in (run / "members" / "b" / "log.txt").read_text()
    assert not (run / "submission.csv").exists()
    options = (*bad, "--set", "blend.allow_missing=true")
    with driver(folder, "failed", "--ray", nodes.address, *options) as process:
        assert process.end() == 1, process.text
    assert (run / "submission.csv").is_file()
    assert "a (1/2) is complete already" in process.text


def _flat(nodes: dict[str, Any]) -> list[tuple[str, str]]:
    """(training, node) of the manifest's table."""
    return [
        (f"{name}/{fold}" if fold else name, node)
        for name, found in nodes.items()
        for fold, node in (found.items() if isinstance(found, dict) else [("", found)])
    ]
