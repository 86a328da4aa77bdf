"""SIGKILL at any moment, then the same command again: the same bits as never killed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import pytest

from tests.kills.conftest import Runs, Unbroken
from tests.kills.moments import Moment
from tests.kills.sameness import differing_runs, left_over
from tests.kills.small import OFTEN, SELDOM
from tests.kills.zygote import Ended

START = ""
LEARNER = "fastai.learner:Learner."
ITEM = "twinrun.data.keyed_loader:KeyedLoader.do_item"
STEP = f"{LEARNER}_step"
REPLACE, UNLINK = "pathlib:Path.replace", "pathlib:Path.unlink"
SAVE, BYTES, TEXT = (
    "safetensors.torch:save_file",
    "pathlib:Path.write_bytes",
    "pathlib:Path.write_text",
)
PREDICT = "twinrun.train.members:predict"
CLEAR = "twinrun.train.checkpoints:Checkpoints.clear"
NAMED = r"step-\d+-[0-9a-f]{32}"


@dataclass(frozen=True)
class Case:
    """A kill, and where the next process says that it resumes: the place, "" for from the start."""

    moment: Moment
    goes_on: str
    changes: tuple[str, ...] = (OFTEN,)
    members: str = "a"
    quick: bool = False


def at(*place: int) -> str:
    """(2,): after two epochs; (2, 3): and three steps of the next one."""
    if len(place) == 1:
        return f"after epoch {place[0]} of 4"
    return f"in epoch {place[0] + 1} of 4, after step {place[1]} of 4"


END = at(4)
CASES = {
    # Before the first step.
    "index half written": Case(Moment("pandas:DataFrame.to_parquet", when="half"), START),
    "index written": Case(Moment(REPLACE, when="after", match=r"index\.parquet"), START),
    "manifest half written": Case(Moment(TEXT, when="half", match="manifest"), START),
    "members locked": Case(Moment("twinrun.train_run:keep_record"), START),
    "loading for the first time": Case(Moment(ITEM), START),
    "learner built": Case(Moment("twinrun.train.members:build_learner", when="after"), START),
    # Within a step.
    "loading": Case(Moment(ITEM, 60), at(2, 2)),
    "loading, checkpoints at epochs": Case(Moment(ITEM, 60), at(2), (SELDOM,)),
    "loading, in a process": Case(
        Moment(ITEM, 8, victim="parent"), START, (SELDOM, "run.workers=2"), quick=True
    ),
    "before a forward pass": Case(Moment(f"{LEARNER}_do_one_batch", 7), at(1)),
    "within a forward pass": Case(Moment("twinrun.train.learner:ConcatPool.forward", 9), at(1, 2)),
    "before a backward pass": Case(Moment(f"{LEARNER}_backward", 5), at(1)),
    "after a backward pass": Case(Moment(STEP, 6), at(1, 1)),
    "within the optimizer's step": Case(
        Moment("twinrun.optimizers.fused_adam:adamw", 47), at(2, 2)
    ),
    "after the optimizer's step": Case(Moment(STEP, 10, "after"), at(2, 1)),
    "in a step, with loader processes": Case(Moment(STEP, 11), at(2, 2), (OFTEN, "run.workers=2")),
    # While a checkpoint is written.
    "first checkpoint half written": Case(Moment(SAVE, 1, "half"), START),
    "checkpoint half written": Case(Moment(SAVE, 8, "half"), at(1, 2), quick=True),
    "checkpoint written": Case(Moment(SAVE, 8, "after"), at(1, 2)),
    "before the checkpoint's first name": Case(
        Moment(REPLACE, 8, match=r"\.part .*step"), at(1, 2)
    ),
    "between the checkpoint's names": Case(Moment(REPLACE, 8, match=NAMED), at(1, 2)),
    "first checkpoint unnamed": Case(Moment(REPLACE, 1, match=NAMED), START),
    "after the checkpoint's last name": Case(Moment(REPLACE, 8, "after", match=NAMED), at(1, 3)),
    "before an old checkpoint goes": Case(Moment(UNLINK, 4, match=NAMED), at(1, 1)),
    "after an old checkpoint went": Case(Moment(UNLINK, 4, "after", match=NAMED), at(1, 1)),
    "ledger half written": Case(Moment(BYTES, 8, "half", match="ledger"), at(1, 3)),
    "ledger written": Case(Moment(REPLACE, 8, "after", match="ledger"), at(1, 3)),
    # Validation and the end of an epoch.
    "in validation": Case(Moment("fastai.learner:AvgMetric.accumulate", 3), at(0, 4)),
    "in validation, checkpoints at epochs": Case(
        Moment("fastai.learner:AvgMetric.accumulate", 14), at(3), (SELDOM,)
    ),
    "after validation": Case(
        Moment("twinrun.train.recorder:RecordStep.after_validate", 3, "after"), at(2, 4)
    ),
    "history half written": Case(Moment(TEXT, 2, "half", match="history"), at(1, 4)),
    "history written": Case(Moment(REPLACE, 2, "after", match="history"), at(1, 4)),
    "an epoch's checkpoint half written": Case(Moment(SAVE, 3, "half"), at(2), (SELDOM,)),
    "before unfreezing": Case(Moment(f"{LEARNER}unfreeze"), at(2)),
    "after unfreezing": Case(Moment(f"{LEARNER}unfreeze", when="after"), at(2)),
    # Predictions and results.
    "before prediction": Case(Moment(PREDICT), END),
    "in the prediction of valid.csv": Case(Moment(ITEM, 3, within=PREDICT), END),
    "in the prediction of test.csv": Case(Moment(ITEM, 9, within=PREDICT), END),
    "valid.csv half written": Case(Moment(TEXT, when="half", match="valid.csv"), END),
    "valid.csv written": Case(Moment(REPLACE, when="after", match="valid.csv"), END),
    "test.csv written": Case(Moment(REPLACE, when="after", match="test.csv"), END, quick=True),
    "last ledger half written": Case(
        Moment(BYTES, when="half", match="ledger", within=PREDICT), END
    ),
    "last ledger written": Case(Moment(REPLACE, when="after", match="ledger", within=PREDICT), END),
    "weights half written": Case(Moment(BYTES, when="half", match="weights.safetensors"), END),
    "weights written": Case(Moment(REPLACE, when="after", match="weights.safetensors"), END),
    "record half written": Case(Moment(TEXT, when="half", match="member.json"), END),
    # From here on the member is complete.
    "record written": Case(Moment(REPLACE, when="after", match="member.json"), START),
    "before the checkpoints go": Case(Moment(CLEAR), START),
    "one of the checkpoints gone": Case(
        Moment(UNLINK, when="after", match=NAMED, within=CLEAR), START
    ),
    "the checkpoints gone": Case(Moment(CLEAR, when="after"), START),
    "last manifest half written": Case(Moment(TEXT, 2, "half", match="manifest"), START),
    "last manifest written": Case(Moment(REPLACE, 2, "after", match="manifest"), START),
    # The second member.
    "before the second member": Case(
        Moment("twinrun.train.members:train_member", 2), START, members="ab"
    ),
    "in a step of the second member": Case(Moment(STEP, 24), at(1, 3), members="ab"),
    "second member's checkpoint half written": Case(
        Moment(SAVE, 7, "half", match="members/b"), at(1, 1), members="ab"
    ),
    "second member's weights written": Case(
        Moment(REPLACE, when="after", match="members/b/weights"), END, members="ab"
    ),
}


def place_of(ended: Ended) -> str:
    """Where a process said that it resumes; "" when it did not."""
    lines = [line for line in ended.output.splitlines() if " resumes from its checkpoint: " in line]
    assert len(lines) <= 1, ended.output
    return lines[0].partition("checkpoint: ")[2] if lines else ""


def assert_completes(
    runs: Runs, unbroken: Unbroken, name: str, *changes: str, members: str = "a"
) -> Ended:
    """The same command again ends well, with the bits of the undisturbed run and nothing else."""
    ended = runs.train(name, *changes, members=members)
    assert ended.code == 0, ended.output
    assert differing_runs(unbroken(members), runs.folder / name, members) == []
    assert left_over(runs.folder / name) == []
    shutil.rmtree(runs.folder / name)
    return ended


@pytest.mark.parametrize(
    "label",
    [pytest.param(n, marks=[] if case.quick else pytest.mark.slow) for n, case in CASES.items()],
)
def test_killed_at_a_certain_moment(runs: Runs, unbroken: Unbroken, label: str) -> None:
    case, name = CASES[label], f"case-{list(CASES).index(label)}"
    killed = runs.train(name, *case.changes, members=case.members, moment=case.moment)
    assert killed.killed, killed.output
    ended = assert_completes(runs, unbroken, name, members=case.members)
    assert place_of(ended) == case.goes_on


def test_there_are_enough_moments() -> None:
    assert len(CASES) >= 24


@pytest.mark.slow
def test_a_loaders_process_is_killed(runs: Runs, unbroken: Unbroken) -> None:
    lost = runs.train("worker", OFTEN, "run.workers=2", moment=Moment(ITEM, 8))
    assert lost.code == 1
    assert "InputError: a has lost a loader's process: DataLoader worker (pid" in lost.output
    assert "Rerun the command: it resumes." in lost.output
    assert_completes(runs, unbroken, "worker")


# Killed again while it resumes; the last process is left in peace.
CHAINS: dict[str, Sequence[Moment]] = {
    "while reading the checkpoint": [
        Moment(STEP, 10),
        Moment("twinrun.train.checkpoints:Checkpoints.latest", when="after"),
        Moment("twinrun.train.resume:restore_weights", when="after"),
        Moment("twinrun.train.resume:restore_optimizer", when="after"),
    ],
    "before any new checkpoint": [Moment(STEP, 10), Moment(STEP, 1), Moment(STEP, 1, "after")],
    "a step further each time": [Moment(STEP, 7), *[Moment(STEP, 2, "after")] * 3],
    "in each checkpoint": [Moment(SAVE, 6, "half"), *[Moment(SAVE, 2, "half")] * 3],
    "in each removal": [Moment(UNLINK, 4, match=NAMED)] * 4,
    "between the names each time": [Moment(REPLACE, 3, match=NAMED)] * 4,
    "in each part of the end": [
        Moment(PREDICT),
        Moment(REPLACE, when="after", match="valid.csv"),
        Moment(BYTES, when="half", match="weights.safetensors"),
        Moment(TEXT, when="half", match="member.json"),
        Moment(TEXT, 2, "half", match="manifest"),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("label", CHAINS)
def test_killed_several_times(runs: Runs, unbroken: Unbroken, label: str) -> None:
    name = f"chain-{list(CHAINS).index(label)}"
    for moment in CHAINS[label]:
        killed = runs.train(name, OFTEN, moment=moment)
        assert killed.killed, killed.output
    assert place_of(assert_completes(runs, unbroken, name)) != START or "end" in label


@pytest.fixture(scope="module")
def durations(runs: Runs) -> dict[str, float]:
    """Of an undisturbed run of both members, by how often it writes a checkpoint; seconds.

    A step takes less time than a checkpoint.
    """
    seconds = {}
    for number, often in enumerate((OFTEN, SELDOM)):
        ended = runs.train(f"duration-{number}", often, members="ab")
        assert ended.code == 0, ended.output
        seconds[often] = ended.seconds
    return seconds


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1] * 12 + [2] * 3 + [3] * 3)
@pytest.mark.parametrize("seed", [0])
def test_killed_at_random(
    runs: Runs,
    unbroken: Unbroken,
    durations: dict[str, float],
    request: pytest.FixtureRequest,
    kills: int,
    seed: int,
) -> None:
    case = str(request.node.callspec.id)
    random, name = Random(f"{seed} {case}"), f"random-{case}"
    workers = f"run.workers={random.choice([0, 0, 2])}"
    often = random.choice([OFTEN, OFTEN, SELDOM])
    shares = [random.uniform(0, 1 / kills) for _ in range(kills)]
    limit = durations[often]
    while any(
        runs.train(name, workers, often, members="ab", seconds=share * limit).code == 0
        for share in shares
    ):
        # The run was over before a kill: the machine was busier when its duration was measured.
        shutil.rmtree(runs.folder / name)
        limit /= 2
    assert_completes(runs, unbroken, name, members="ab")


# An engine that resumes without a part of what was kept must be found out.


@pytest.mark.parametrize(
    ("lack", "found"),
    [
        ("twinrun.train.resume:restore_optimizer", "a/weights.safetensors"),
        pytest.param(
            "twinrun.train.resume:restore_weights",
            "a/weights.safetensors",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "twinrun.train.resumed_fit:Resume.before_train", "a/ledger", marks=pytest.mark.slow
        ),
    ],
)
def test_an_engine_that_goes_on_wrongly_is_found_out(
    runs: Runs, unbroken: Unbroken, lack: str, found: str
) -> None:
    name = f"without-{lack.rpartition(':')[2]}"
    assert runs.train(name, OFTEN, moment=Moment(STEP, 11)).killed
    assert runs.train(name, lack=lack).code == 0
    assert found in differing_runs(unbroken("a"), runs.folder / name, "a")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lack", "moment", "found"),
    [
        ("twinrun.locks:_remove_unfinished", "weights half written", ".part"),
        ("shutil:rmtree", "record written", "checkpoint"),
    ],
)
def test_what_is_left_over_is_found_out(runs: Runs, lack: str, moment: str, found: str) -> None:
    name = f"left-over-{found.strip('.')}"
    assert runs.train(name, OFTEN, moment=CASES[moment].moment).killed
    assert runs.train(name, lack=lack).code == 0
    assert any(path.endswith(found) for path in left_over(runs.folder / name))
