"""Prediction files of two runs: how far apart, and what their numbers show of the cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twinrun.compare.bits import Gap, measure_gap, unequal_bits
from twinrun.errors import shorten
from twinrun.files import sha256_file
from twinrun.plain_files import plain
from twinrun.repro.stage import Advice

_PREDICT = "twinrun verify {first} --predict-only"


@dataclass(frozen=True)
class PredictionChange:
    """What two prediction files show.

    Attributes:
        words: In a line.
        gap: Of their numbers; None where they cannot be compared.
        cause: What the numbers show to be the cause, if anything.
    """

    words: str
    gap: Gap | None = None
    cause: Advice | None = None


@dataclass(frozen=True)
class _Predictions:
    ids: list[str]
    classes: list[str]
    values: np.ndarray


def find_prediction_change(
    first: Path, second: Path, recorded: Sequence[str | None] = (None, None)
) -> PredictionChange:
    """How many numbers of two prediction files differ, by how much, of which images, and why.

    Args:
        first: A valid.csv or test.csv.
        second: The other run's.
        recorded: The SHA-256 that each run's member.json gives; None where it has none.
    """
    name = first.name
    try:
        changed = [
            letter
            for letter, path, digest in zip("AB", (first, second), recorded, strict=True)
            if digest is not None and sha256_file(path) != digest
        ]
        ours, theirs = (_read(path) for path in (first, second))
    except (OSError, ValueError, KeyError):
        return PredictionChange(f"{name}: cannot be read in both runs")
    if changed:
        which = " and ".join(changed)
        return PredictionChange(
            f"{name}: in {which} it is not the file that was recorded",
            cause=Advice(
                f"{name} in {which} was changed after it was written, so that its numbers tell "
                "nothing of the cause; what the two predicted differs all the same.",
                "put it back, or remove the member's folder and train it again",
            ),
        )
    if ours.ids != theirs.ids or ours.classes != theirs.classes:
        return PredictionChange(f"{name}: different images or classes")
    unequal = unequal_bits(ours.values, theirs.values)
    if not unequal.any():
        return PredictionChange(
            f"{name}: the same numbers; a file was written after the member was trained"
        )
    gap = measure_gap({(name, ""): ours.values}, {(name, ""): theirs.values})
    images = [ours.ids[row] for row in np.flatnonzero(unequal.any(axis=1))]
    which = (
        f"{len(images):,} of {len(ours.ids):,} images: {', '.join(shorten(images, 5))}"
        if len(images) < len(ours.ids)
        else f"all {len(images):,} images"
    )
    words = (
        f"{name}: {gap.differing:,} of {gap.total:,} numbers differ, by up to {gap.largest:.3g}, "
        f"of {which}"
    )
    return PredictionChange(words, gap, _find_swap(name, ours, theirs))


def _find_swap(name: str, ours: _Predictions, theirs: _Predictions) -> Advice | None:
    """The cause where the numbers are the same ones in other columns, or in other rows."""
    moved = _find_moved(ours.values.T, theirs.values.T)
    if moved:
        pairs = [f"{ours.classes[one]} of A is {ours.classes[two]} of B" for one, two in moved]
        return Advice(
            f"The columns of {name} are swapped: {', '.join(shorten(pairs, 4))}. The numbers are "
            "the same: classes and columns were put together in a different order.",
            f"look at what orders the classes after the network; {_PREDICT} says whose are right",
        )
    moved = _find_moved(ours.values, theirs.values)
    if moved:
        pairs = [f"{ours.ids[one]} of A is {ours.ids[two]} of B" for one, two in moved]
        return Advice(
            f"The rows of {name} are swapped: {', '.join(shorten(pairs, 4))}. The numbers are the "
            "same: images and predictions were put together in a different order.",
            f"look at what orders the images of a prediction; {_PREDICT} says whose are right",
        )
    return None


def _find_moved(first: np.ndarray, second: np.ndarray) -> list[tuple[int, int]]:
    """Which line of `first` is which of `second`, of those that moved; empty: not all are there."""
    places: dict[bytes, list[int]] = {}
    for place, line in enumerate(second):
        places.setdefault(line.tobytes(), []).append(place)
    moved = []
    for place, line in enumerate(first):
        found = places.get(line.tobytes(), [])
        if not found:
            return []
        # Equal lines stay where they are, as far as they can.
        there = place if place in found else found[0]
        found.remove(there)
        if there != place:
            moved.append((place, there))
    return moved


def _read(path: Path) -> _Predictions:
    import pyarrow as pa
    from pyarrow import csv

    # Not pandas, which takes longer to import than `twinrun diff` may take.
    text = csv.ConvertOptions(column_types={"id": pa.string(), "label": pa.string()})
    table = csv.read_csv(plain(path), convert_options=text)
    classes = [name for name in table.column_names if name not in ("id", "label")]
    numbers = [np.array(table[name].to_pylist(), np.float64) for name in classes]
    return _Predictions(table["id"].to_pylist(), classes, np.stack(numbers, axis=1))
