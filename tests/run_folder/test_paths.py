"""Where a run's files lie."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twinrun.run_folder.paths import (
    RUN_FILES,
    TRAINING_FILES,
    RunFolder,
    RunsFolder,
    TrainingFolder,
    checkpoint_name,
    checkpoint_place,
    checkpoints_in,
)


def test_each_file_of_a_run_and_of_a_training_has_a_name() -> None:
    run = RunFolder(Path("runs/full"))
    named = (run.index, run.audit, run.blend, run.spread, run.submission, run.report, run.manifest)
    assert named == tuple(run.path / name for name in RUN_FILES)
    assert run.place == Path("runs/full/local.json"), "and this one is not handed on"
    fold = run.training("a/fold-2")
    assert fold.path == Path("runs/full/members/a/fold-2")
    files = (fold.history, fold.ledger, fold.valid, fold.test, fold.weights, fold.record)
    assert files == tuple(fold.path / name for name in TRAINING_FILES)


def test_folds_come_in_the_order_of_their_numbers_once_they_are_begun(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for name in ("b/fold-10", "b/fold-9", "b/fold-x", "a"):
        place = run.training(name)
        place.path.mkdir(parents=True)
        place.history.touch()
    run.training("b/fold-1").path.mkdir()
    (run.training("b/fold-1").path / ".lock").touch()
    names = [each.path.relative_to(run.members).as_posix() for each in run.trainings()]
    assert names == ["a", "b", "b/fold-9", "b/fold-10"]


def test_verdicts_lie_beside_the_run_however_it_is_named(tmp_path: Path) -> None:
    runs = RunsFolder(tmp_path.resolve())
    (tmp_path / "full").mkdir()
    (tmp_path / "link").symlink_to("full")
    expected = (
        runs.twins.verdict,
        runs.verification("full").verdict,
        runs.verification("full").predictions_verdict,
    )
    assert RunFolder(tmp_path / "full").verdicts == expected
    assert RunFolder(tmp_path / "link").verdicts == expected


def test_checkpoints_are_named_after_their_place(tmp_path: Path) -> None:
    places = [(0, 7), (2, 0), (1, 12)]
    for place in places:
        (tmp_path / checkpoint_name(*place, "0f" * 16)).touch()
    (tmp_path / checkpoint_name(9, 9)).touch()  # not whole yet
    assert [checkpoint_place(path) for path in checkpoints_in(tmp_path)] == sorted(places)[::-1]
    assert checkpoints_in(TrainingFolder(tmp_path).checkpoint) == []


def test_a_path_costs_no_import() -> None:
    code = (
        "import sys, twinrun.run_folder.paths\n"
        "assert not {'pydantic', 'pandas', 'pyarrow', 'torch'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_manifest_is_read_without_the_settings() -> None:
    code = (
        "import sys, twinrun.run_folder.manifest\n"
        "assert not {'pandas', 'torch', 'twinrun.config.settings'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
