"""A stage of the ledger from outside, in one file: written, compared, placed, explained."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from twinrun.cli import diff as command
from twinrun.registry import IncompleteEntry
from twinrun.repro.digests import digest_tensors
from twinrun.repro.ledger import Ledger
from twinrun.repro.stage import Advice, Known, Stage, StageDifference
from twinrun.repro.stages import STAGES
from twinrun.train.recorder import Recorder


def explain(difference: StageDifference, _: Known) -> Advice:
    which = f" of {', '.join(difference.names)}" if difference.names else ""
    return Advice(
        f"The schedule gave a different learning rate{which}.", "look at {first} and its schedule"
    )


SCHEDULE = Stage(
    name="schedule",
    order=1250,  # after the gradients, before the weights
    noted=("step",),
    from_level="step",
    digest_of="the learning rate of each layer group",
    words="the learning rates of the step",
    per_rank=False,
    replayed=False,
    explain=explain,
)


def write_run(folder: Path, level: str, rates: Sequence[float]) -> Path:
    """A run that notes loss, schedule and weights of each step, two an epoch."""
    settings = {"member": {"name": "m"}}
    about: dict[str, Any] = {"level": level, "settings": settings, "environment": {}, "code": ""}
    recorder = Recorder(Ledger(about | {"steps": 2}), level)
    for number, rate in enumerate(rates):
        moment: dict[str, Any] = {"epoch": number // 2 + 1, "step": number % 2 + 1}
        for stage, value in (("loss", 0.5), ("schedule", rate), ("update", rate)):
            group = [torch.tensor([value])]
            recorder.note(
                stage,
                lambda group=group: digest_tensors(group),  # type: ignore[misc]
                lambda group=group: [("group 1", group)],  # type: ignore[misc]
                **moment,
            )
    recorder.ledger.write(folder / "members" / "m" / "ledger.parquet")
    return folder


@pytest.mark.parametrize("level", ["step", "tensor"])
def test_it_is_written_compared_and_explained(tmp_path: Path, level: str) -> None:
    with STAGES.including(SCHEDULE):
        one = write_run(tmp_path / "one", level, [0.1, 0.1, 0.1, 0.1])
        two = write_run(tmp_path / "two", level, [0.1, 0.1, 0.1, 0.2])
        answer = CliRunner().invoke(command.app, [str(one), str(two)])
    assert answer.exit_code == 1, answer.output
    words = " ".join(answer.output.split())
    assert "first difference: schedule, epoch 2, step 2 of 2" in words
    assert "the learning rates of the step" in words
    if level == "tensor":
        assert "The schedule gave a different learning rate of group 1." in words
        assert f"look at {one} and its schedule" in words


def test_a_level_that_is_too_coarse_for_it_has_no_rows_of_it(tmp_path: Path) -> None:
    with STAGES.including(SCHEDULE):
        run = write_run(tmp_path / "run", "epoch", [0.1, 0.1])
    rows = Ledger.read(run / "members" / "m" / "ledger.parquet").rows()
    assert set(rows["stage"].to_pylist()) == {"update"}


REQUIRED = [
    field.name for field in dataclasses.fields(Stage) if field.default is dataclasses.MISSING
]


@pytest.mark.parametrize("part", REQUIRED)
def test_a_part_that_is_left_out_is_named(part: str) -> None:
    parts = {field: getattr(SCHEDULE, field) for field in REQUIRED if field != part}
    with pytest.raises(TypeError, match=rf"missing .*'{part}'"):
        Stage(**parts)


@pytest.mark.parametrize(
    ("part", "value"),
    [("noted", ()), ("noted", ("sometimes",)), ("from_level", "fine"), ("explain", None)],
)
def test_a_part_that_says_nothing_is_named(part: str, value: Any) -> None:
    with pytest.raises((ValueError, IncompleteEntry), match=part):
        STAGES.add(dataclasses.replace(SCHEDULE, **{part: value}))
    assert SCHEDULE.name not in STAGES


@pytest.mark.parametrize("part", ["name", "digest_of", "words"])
def test_empty_words_are_named(part: str) -> None:
    changes: dict[str, Any] = {part: ""}
    with pytest.raises(IncompleteEntry, match=f"lacks: {part}$"):
        STAGES.add(dataclasses.replace(SCHEDULE, **changes))
