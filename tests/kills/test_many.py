"""A few of the random moments of `python -m tests.kills.many`; and what it must find out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kills.many import FORKED, STARTED, Findings, _still_there, kill_often
from tests.kills.sameness import differing_files, left_over

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="looks into /proc"),
]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Findings, Path]:
    """What came of a few kills, and an unbroken run."""
    folder = tmp_path_factory.mktemp("many")
    return kill_often(folder, 4, 2, 0, say=print), folder / "unbroken" / "full"


def test_runs_that_are_killed_at_random_moments_come_out_the_same(
    killed: tuple[Findings, Path],
) -> None:
    findings, _ = killed
    assert findings.faults == []
    assert findings.moments == {STARTED: 2, FORKED: 4}
    assert sum(findings.places.values()) == 6
    assert findings.runs[STARTED] >= 1 <= findings.runs[FORKED]
    assert "all the same bits, nothing left over" in findings.table()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("submission.csv", flip),
        ("index.parquet", flip),
        ("audit.json", flip),
        ("blend.json", flip),
        ("members/a/fold-1/weights.safetensors", flip),
        ("members/a/test.csv", flip),
        ("members/b/valid.csv", flip),
        ("members/b/history.csv", lambda path: replace(path, "frozen", "frozem")),
        ("members/a/member.json", lambda path: replace(path, '"train": ', '"train": 1')),
        ("manifest.json", lambda path: replace(path, '"threads": 1', '"threads": 2')),
        ("members/a/fold-2/test.csv", Path.unlink),
        ("members/a/fold-2/more.csv", Path.touch),
    ],
)
def test_a_difference_in_any_file_is_found(
    killed: tuple[Findings, Path], tmp_path: Path, name: str, change: Callable[[Path], None]
) -> None:
    run = Path(shutil.copytree(killed[1], tmp_path / "full"))
    assert differing_files(killed[1], run) == []
    change(run / name)
    assert [each.partition(":")[0] for each in differing_files(killed[1], run)] == [name]


@pytest.mark.parametrize(
    "name", [".submission.csv.1.part", "members/a/.lock", "members/b/checkpoint"]
)
def test_what_is_left_over_is_found(
    killed: tuple[Findings, Path], tmp_path: Path, name: str
) -> None:
    run = Path(shutil.copytree(killed[1], tmp_path / "full"))
    assert left_over(tmp_path) == []
    (run / name).touch()
    assert left_over(tmp_path) == [f"full/{name}"]


def test_a_process_that_does_not_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.kills.many._PATIENCE", 0.5)
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        assert os.getsid(process.pid) == process.pid
        assert _still_there(process.pid) == [process.pid]
    finally:
        process.kill()
        process.wait()
    assert _still_there(process.pid) == []
