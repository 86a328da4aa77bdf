"""How far the runs of several seeds are apart, recorded in each of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.exact import read_exact
from tests.report.made_run import make_run
from tests.run_folder.documents import record_member
from twinrun.compare.spread import record_spread
from twinrun.errors import InputError
from twinrun.files import sha256_file
from twinrun.run_folder.manifest import read_manifest, write_manifest
from twinrun.run_folder.spread import read_spread


def edit(run: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    manifest = read_manifest(run)
    change(manifest)
    write_manifest(run, manifest)
    return run


def move(run: Path, by: float, *, seed: int | None = None) -> Path:
    """Move some of the probability of the first test image, and of the first held-out one."""
    digests = {}
    for file in ("valid.csv", "test.csv"):
        path = run / "members" / "a" / file
        table = read_exact(path, dtype={"id": str})
        for name, change in (("leaf_rust", -by), ("stem_rust", by)):
            values = table[name].to_numpy(dtype=float, copy=True)
            values[0] += change
            table[name] = values
        table.to_csv(path, index=False)
        digests[file] = sha256_file(path)
    record_member(run / "members" / "a")
    (run / "submission.csv").write_text(f"ID,x\n1,{0.5 + by / 2}\n")

    def record(manifest: dict[str, Any]) -> None:
        content = manifest["content"]
        content["members"]["a"]["files"] |= digests
        content["submission"] = sha256_file(run / "submission.csv")
        if seed is not None:
            content["settings"]["run"]["seed"] = seed

    return edit(run, record)


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Three runs that differ by their seeds and a little in what they predict; the first is 0."""
    first = make_run(tmp_path, members=("a",), pictures=False)
    others = [Path(shutil.copytree(first, first.with_name(f"full-seed{n}"))) for n in (1, 2)]
    return [first, *(move(run, 0.1 * (n + 1), seed=n + 1) for n, run in enumerate(others))]


def test_the_largest_of_all_pairs_is_recorded_in_each_run(runs: list[Path]) -> None:
    found = record_spread(runs, "log_loss", "probability", ["a", "b"])
    assert found is not None
    assert found["a"]["largest"] == pytest.approx(0.2)
    assert found["a"]["mean"] == pytest.approx(0.4 / 36)
    assert found["a"]["score"] > 0
    for run in runs:
        spread, why = read_spread(run, read_manifest(run))
        assert spread is not None, why
        assert spread["members"] == found
        assert spread["seeds"] == [0, 1, 2]
        assert spread["submission"]["largest"] == pytest.approx(0.1)
    two = record_spread(runs[1:], "log_loss", "probability", ["a", "b"])
    assert two is not None
    assert two["a"]["largest"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["content"]["settings"]["members"]["a"].update(mixup=0.25),
        lambda manifest: manifest["content"].update(data="b" * 64),
        lambda manifest: manifest["content"].update(code="b" * 64),
        lambda manifest: manifest["content"]["environment"].update(threads=2),
    ],
    ids=["settings", "data", "code", "environment"],
)
def test_a_run_that_differs_by_more_than_its_seed_is_no_yardstick(
    runs: list[Path], change: Callable[[dict[str, Any]], None]
) -> None:
    edit(runs[0], change)
    assert record_spread(runs, "log_loss", "probability", ["a", "b"]) is not None
    assert not (runs[0] / "spread.json").exists()
    assert (runs[1] / "spread.json").exists()


@pytest.mark.parametrize("place", [0, 2])
def test_a_run_that_is_partial_has_no_part_in_it(runs: list[Path], place: int) -> None:
    """Whichever it is: also the last one, which the others are compared with."""
    partial = runs.pop(place)

    blend = {"method": "arithmetic", "weights": {"a": 1.0}, "temperature": 1.0, "images": 12}
    edit(partial, lambda m: m["content"].update(blend=blend | {"partial": ["b"]}))
    in_order = [*runs[:place], partial, *runs[place:]]
    found = record_spread(in_order, "log_loss", "probability", ["a", "b"])
    assert found is not None
    assert found["a"]["largest"] == pytest.approx(0.1)
    assert not (partial / "spread.json").exists()
    spread, why = read_spread(runs[0], read_manifest(runs[0]))
    assert spread is not None, why
    assert len(spread["seeds"]) == 2
    assert record_spread([partial, runs[0]], "log_loss", "probability", ["a", "b"]) is None


def test_one_seed_has_no_spread(runs: list[Path]) -> None:
    (runs[0] / "manifest.json").unlink()
    assert record_spread(runs[:2], "log_loss", "probability", ["a", "b"]) is None
    assert record_spread(runs[:1], "log_loss", "probability", ["a", "b"]) is None
    assert not list(runs[1].glob("spread.json"))
    edit(runs[1], lambda manifest: manifest["content"]["settings"]["run"].update(seed=2))
    assert record_spread(runs[1:], "log_loss", "probability", ["a", "b"]) is None, (
        "twice the same one"
    )


def test_a_spread_is_of_the_files_that_it_was_recorded_of(runs: list[Path]) -> None:
    assert read_spread(runs[0], read_manifest(runs[0])) == (
        None,
        f"{runs[0].name} has recorded no spread of seeds: `twinrun run --seeds` records it",
    )
    record_spread(runs, "log_loss", "probability", ["a", "b"])
    (runs[1] / "submission.csv").write_text("ID,x\n1,0.75\n")
    edit(runs[1], lambda m: m["content"].update(submission=sha256_file(runs[1] / "submission.csv")))
    spread, _ = read_spread(runs[1], read_manifest(runs[1]))
    assert spread is not None
    assert spread["submission"] is None
    move(runs[2], 0.01)
    spread, why = read_spread(runs[2], read_manifest(runs[2]))
    assert spread is None
    assert "of other predictions than the run's" in why


def test_a_damaged_spread_is_named(runs: list[Path]) -> None:
    record_spread(runs, "log_loss", "probability", ["a", "b"])
    path = runs[0] / "spread.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"members": {"a": {}}}))
    with pytest.raises(InputError, match=r"spread\.json is damaged"):
        read_spread(runs[0], read_manifest(runs[0]))
