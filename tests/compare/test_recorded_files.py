"""What `diff` says of files: a ledger is of memory, and equal ledgers prove no file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file
from typer.testing import CliRunner

from tests.compare.test_first_difference import changed, ledger, text_of, training
from tests.exact import read_exact
from tests.run_folder.documents import (
    record_member,
    record_run,
)
from twinrun.cli.app import app
from twinrun.compare.format import summarize
from twinrun.compare.runs import compare_runs
from twinrun.files import sha256_file, write_csv
from twinrun.repro.digests import digest_tensors
from twinrun.run_folder.paths import RunFolder, TrainingFolder

CLASSES = ["a", "b"]
VALUES = np.array([[0.25, 0.75], [0.5, 0.125], [0.1, 0.9]], np.float32)


def train(folder: Path, name: str, fold: int = 0) -> None:
    """A complete training's folder, its files as the ledger's digests have them."""
    table = pd.DataFrame(VALUES, columns=CLASSES)
    table.insert(0, "id", ["1", "2", "3"])
    place = TrainingFolder(folder)
    write_csv(place.test, table)
    table.insert(1, "label", ["a", "b", "b"])
    write_csv(place.valid, table)
    save_file({"x": np.zeros(2, np.float32)}, place.weights)
    place.history.write_text("epoch\n1\n")
    digest = digest_tensors([torch.from_numpy(VALUES.copy())])
    assert isinstance(digest, int)
    rows = training() | {(2, 3, "prediction", file): digest for file in ("valid.csv", "test.csv")}
    settings = {"seed": 0, "threads": 2, "classes": CLASSES}
    member = {"name": name, "validation": {"folds": 2}}
    about: dict[str, Any] = {"settings": {**settings, "member": member}}
    if fold:
        about["settings"]["fold"] = fold
    ledger(rows, **about).write(place.ledger)
    record_member(folder)


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs with the same bits: a member m, and one of two folds, f."""
    run = RunFolder(tmp_path / "a")
    train(run.training("m").path, "m")
    folds = {}
    for number in (1, 2):
        folder = run.training(f"f/fold-{number}").path
        train(folder, "f", number)
        folds[folder.name] = folder
    member = run.training("f").path
    for file in ("valid.csv", "test.csv"):
        shutil.copy(folds["fold-1"] / file, member / file)
    record_member(member, guards={})
    run.submission.write_text("ID,a,b\n")
    record_run(run.path, submission=sha256_file(run.submission))
    shutil.copytree(run.path, tmp_path / "b")
    return tmp_path / "a", tmp_path / "b"


def test_runs_with_equal_files_are_the_same(runs: tuple[Path, Path]) -> None:
    report = compare_runs(*runs)
    assert report.same
    assert not report.files


def last_digit(path: Path) -> None:
    text = path.read_text()
    place = text.rindex("9")
    path.write_text(text[:place] + "8" + text[place + 1 :])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("run", [0, 1])
@pytest.mark.parametrize(
    ("file", "damage", "text"),
    [
        ("members/m/test.csv", last_digit, "is not what was predicted"),
        ("members/m/valid.csv", cut, "is not what was predicted"),
        ("members/m/weights.safetensors", cut, "is not what was trained"),
        ("members/m/history.csv", cut, "is not what was written"),
        ("members/m/test.csv", Path.unlink, "is missing"),
        ("members/f/test.csv", last_digit, "is not what was predicted"),
        ("members/f/fold-2/valid.csv", last_digit, "is not what was predicted"),
        ("submission.csv", cut, "is not what was blended"),
    ],
)
def test_a_file_that_is_not_the_recorded_one_is_told(
    runs: tuple[Path, Path], run: int, file: str, damage: Callable[[Path], None], text: str
) -> None:
    damage(runs[run] / file)
    report = compare_runs(*runs)
    (fault,) = report.files
    assert (fault.place, fault.run, fault.text) == (file, run, text)
    assert not report.same
    assert summarize(report) == f"ledgers agree, but {file} of {'AB'[run]} {text}"
    assert f"{file} of {'AB'[run]} {text}" in text_of(*runs)
    result = CliRunner().invoke(app, ["diff", *map(str, runs)])
    assert result.exit_code == 1
    assert text in " ".join(result.output.split())


def swap(path: Path) -> None:
    """Each class's column under the other's name, as a fault of the writer would leave it."""
    table = read_exact(path, dtype=str)
    table[CLASSES] = table[CLASSES[::-1]].to_numpy()
    table.to_csv(path, index=False)


def test_columns_that_were_swapped_while_a_file_was_written_are_told_and_whose(
    runs: tuple[Path, Path],
) -> None:
    folder = runs[1] / "members" / "m"
    swap(folder / "test.csv")
    record_member(folder)
    record_run(runs[1])
    report = compare_runs(*runs)
    (fault,) = report.files
    assert (fault.place, fault.run) == ("members/m/test.csv", 1)
    assert fault.text == "is not what was predicted"
    assert fault.details[0].startswith("test.csv: 6 of 6 numbers differ")
    assert "columns of test.csv are swapped: a of A is b of B" in fault.details[1]
    assert not report.same


def test_files_that_both_agree_with_their_records_and_differ_are_told(
    runs: tuple[Path, Path],
) -> None:
    folder = runs[0] / "members" / "m"
    save_file({"x": np.ones(2, np.float32)}, folder / "weights.safetensors")
    record_member(folder)
    (fault,) = compare_runs(*runs).files
    assert (fault.place, fault.run) == ("members/m/weights.safetensors", None)
    assert fault.text == "is not the same file in both runs"
    # The member's own files of folds, which no ledger is of.
    own = runs[1] / "members" / "f"
    last_digit(own / "test.csv")
    record_member(own, guards={})
    assert [each.place for each in compare_runs(*runs).files][-1] == "members/f/test.csv"


def test_a_member_that_only_one_run_has_completed_is_not_the_same(
    runs: tuple[Path, Path],
) -> None:
    (runs[0] / "members" / "m" / "member.json").unlink()
    report = compare_runs(*runs)
    (fault,) = report.files
    assert (fault.place, fault.run) == ("members/m/member.json", 0)
    assert "not complete" in fault.text
    (runs[1] / "members" / "m" / "member.json").unlink()
    assert not compare_runs(*runs).files


def test_files_of_trainings_whose_ledgers_differ_are_not_told_of_again(
    runs: tuple[Path, Path],
) -> None:
    shutil.rmtree(runs[1] / "members" / "f")
    folder = runs[1] / "members" / "m"
    last_digit(folder / "test.csv")
    rows = training()
    settings = {"classes": CLASSES, "member": {"name": "m"}}
    other = ledger(changed(rows, list(rows)[-1]), settings=settings)
    other.write(folder / "ledger.parquet")
    record_member(folder)
    record_run(runs[1])
    assert not compare_runs(*runs).files
    last_digit(folder / "valid.csv")
    (fault,) = compare_runs(*runs).files
    assert fault.place == "members/m/valid.csv"
