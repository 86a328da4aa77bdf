"""SIGKILL between and within the folds of a member, then the same command: the same bits."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.kills.conftest import Runs
from tests.kills.moments import Moment
from tests.kills.sameness import differing, left_over, manifest, record
from tests.kills.small import OFTEN
from tests.kills.test_kills import PREDICT, REPLACE, SAVE, STEP, TEXT

FOLDS = "members.a.validation.folds=2"
TRAIN = "twinrun.train.members:train_member"
# Of 24 images a fold trains on 12: three steps an epoch, four epochs.
CASES = {
    "between the folds": (Moment(TRAIN, 2), ""),
    "before the first fold": (Moment(TRAIN, 1), ""),
    "in the first fold": (Moment(STEP, 8, "after"), "a fold 1/2 resumes"),
    "in the second fold": (Moment(STEP, 17), "a fold 2/2 resumes"),
    "second fold's checkpoint half written": (
        Moment(SAVE, 9, "half", match="fold-2"),
        "a fold 2/2 resumes",
    ),
    "in the second fold's prediction": (Moment(PREDICT, 3), "a fold 2/2 resumes"),
    "the second fold's record half written": (
        Moment(TEXT, when="half", match="fold-2/.*member.json"),
        "a fold 2/2 resumes",
    ),
    "before the folds are put together": (Moment("twinrun.work:write_out_of_fold"), ""),
    "out-of-fold predictions half written": (
        Moment(TEXT, when="half", match="members/a/.valid.csv"),
        "",
    ),
    "out-of-fold predictions written": (
        Moment(REPLACE, when="after", match="members/a/.valid.csv"),
        "",
    ),
    "mean of the folds written": (Moment(REPLACE, when="after", match="members/a/.test.csv"), ""),
    "the member's record half written": (
        Moment(TEXT, when="half", match="members/a/.member.json"),
        "",
    ),
    "the member's record written": (
        Moment(REPLACE, when="after", match="members/a/.member.json"),
        "",
    ),
}


@pytest.fixture(scope="module")
def unbroken(runs: Runs) -> Path:
    """The folder of a run with folds that nobody disturbed."""
    ended = runs.train("unbroken-folds", FOLDS)
    assert ended.code == 0, ended.output
    return runs.folder / "unbroken-folds"


def differing_folds(first: Path, second: Path) -> list[str]:
    """What differs between two runs whose member a has two folds."""
    ours, theirs = (run / "members" / "a" for run in (first, second))
    found = [
        f"fold-{fold}/{what}"
        for fold in (1, 2)
        for what in differing(ours / f"fold-{fold}", theirs / f"fold-{fold}")
    ]
    for file in ("valid.csv", "test.csv"):
        if (ours / file).read_bytes() != (theirs / file).read_bytes():
            found.append(file)
    found += ["record"] * (record(ours) != record(theirs))
    return found + ["manifest"] * (manifest(first, "a") != manifest(second, "a"))


@pytest.mark.slow
@pytest.mark.parametrize("label", CASES)
def test_killed_and_gone_on_with(runs: Runs, unbroken: Path, label: str) -> None:
    (moment, goes_on), name = CASES[label], f"folds-{list(CASES).index(label)}"
    killed = runs.train(name, FOLDS, OFTEN, moment=moment)
    assert killed.killed, killed.output
    ended = runs.train(name, FOLDS)
    assert ended.code == 0, ended.output
    assert ended.output.count("resumes from its checkpoint") == bool(goes_on)
    assert goes_on in ended.output
    assert differing_folds(unbroken, runs.folder / name) == []
    assert left_over(runs.folder / name) == []
    shutil.rmtree(runs.folder / name)


@pytest.mark.slow
def test_a_fold_that_goes_on_wrongly_is_found_out(runs: Runs, unbroken: Path) -> None:
    assert runs.train("folds-wrong", FOLDS, OFTEN, moment=Moment(STEP, 17)).killed
    lack = "twinrun.train.resume:restore_optimizer"
    assert runs.train("folds-wrong", FOLDS, lack=lack).code == 0
    found = differing_folds(unbroken, runs.folder / "folds-wrong")
    assert "fold-2/weights.safetensors" in found
    assert "test.csv" in found
    assert not any(each.startswith("fold-1/") for each in found)
