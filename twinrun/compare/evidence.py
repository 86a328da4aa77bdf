"""What the files of two runs tell of a first difference, beside the ledgers that place it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinrun.compare.first_difference import Difference, LedgerComparison
from twinrun.compare.images import list_changed_images
from twinrun.compare.predictions import find_prediction_change
from twinrun.errors import gaps
from twinrun.repro.ledger import Ledger
from twinrun.repro.stage import Known
from twinrun.repro.stages import OPTIMIZER, STAGES

Record = Mapping[str, Any] | None


@dataclass(frozen=True)
class ValueDifference:
    """A value that differs between two runs; None where a run has none."""

    name: str
    first: Any
    second: Any


def compare_beside(first: Record, second: Record) -> tuple[ValueDifference, ...]:
    """What differs in what decides no bit, of two trainings by their member.json.

    Args:
        first: The content; None of a training that is not complete.
        second: Likewise.
    """
    if first is None or second is None:
        return ()
    tables = [dict(record.get("beside", {})) for record in (first, second)]
    for table in tables:
        # The neutral values of what decides bits: where they differ, the environment does.
        table.pop("in_force", None)
        if "resumed" in table:
            places = [_place(*place) for place in table["resumed"]]
            table["resumed"] = ", ".join(places) or "never"
    return tuple(ValueDifference(*gap) for gap in gaps(tables[0], tables[1]))


def find_evidence(
    comparison: LedgerComparison,
    ledgers: Sequence[Ledger],
    runs: tuple[Path, Path],
    folders: tuple[Path, Path],
    records: Sequence[Record],
    beside: Sequence[ValueDifference],
) -> tuple[list[str], Known]:
    """What differs, in a line each, and what an explanation of the difference may go by.

    Args:
        comparison: Of the two ledgers.
        ledgers: Both.
        runs: Folders runs/<run>.
        folders: Of the training.
        records: The content of both member.json; None where a training is not complete.
        beside: From `compare_beside`.
    """
    difference = comparison.result
    if difference is None:
        return [], Known()
    stage = STAGES.get(difference.stage)
    lines, changes = [], []
    if stage.index_column:
        lines += list_changed_images(*runs, stage.index_column)
    if difference.stage == "update":
        lines += _tell_step(ledgers[0], difference)
    for file in difference.changed:
        if file.endswith(".csv"):
            recorded = [record["files"].get(file) if record else None for record in records]
            one, two = (folder / file for folder in folders)
            changes.append(find_prediction_change(one, two, recorded))
    known = Known(
        detailed=comparison.level == "tensor",
        resumed=tuple(_find_resumed(records, difference)),
        beside=tuple(gap.name for gap in beside),
        gap=max((each.gap.share for each in changes if each.gap), default=None),
        causes=tuple(each.cause for each in changes if each.cause),
        hooks=tuple(ledgers[0].about.get("settings", {}).get("hooks", ())),
    )
    return lines + [each.words for each in changes], known


def _tell_step(ledger: Ledger, difference: Difference) -> list[str]:
    """The numbers that an optimizer took a step with, which were equal in both runs."""
    assert OPTIMIZER.tells is not None
    found: dict[str, list[str]] = {}
    for what, bits in ledger.at(OPTIMIZER.name, difference.epoch, difference.step):
        value = float(OPTIMIZER.tells(bits, ledger.about)[""])
        found.setdefault(what.partition(",")[0], []).append(f"{value:.3g}")
    told = "; ".join(f"{name} {', '.join(values)}" for name, values in found.items())
    return textwrap.wrap(f"equal in both: {told}", 66) if told else []


def _find_resumed(records: Sequence[Record], difference: Difference) -> Iterator[str]:
    """Which of two trainings resumed before a difference, and where the last time."""
    # What comes after the last step of an epoch comes after a resume there.
    steps = difference.step - (0 if "epoch" in STAGES.get(difference.stage).noted else 1)
    end = [difference.epoch - 1, steps]
    for letter, record in zip("AB", records, strict=True):
        places = (record or {}).get("beside", {}).get("resumed", [])
        before = [place for place in places if place <= end]
        if before:
            yield f"{letter} resumed {_place(*max(before))}"


def _place(epochs: int, steps: int) -> str:
    """Where a training was that had so many complete epochs, and steps after them."""
    return f"after step {steps:,} of epoch {epochs + 1:,}" if steps else f"after epoch {epochs:,}"
