"""Which images, and which of their predictions, differ between two runs, from the runs' files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from twinrun.compare.bits import largest_gap, unequal_bits
from twinrun.errors import shorten
from twinrun.run_folder.paths import RunFolder

# (part, id)
_Key = tuple[str, str]


def list_changed_images(first: Path, second: Path, column: str) -> list[str]:
    """A line for each image that is not the same in the index.parquet of two runs.

    Args:
        first: A folder runs/<run>.
        second: The other one.
        column: "sha256" compares the files, "pixels" what they decode to, at the sizes that both
            runs have.

    Returns:
        What changed, then what only the first has, then what only the second has; by part and id.
        One line with the reason when the indexes do not show which.
    """
    import pyarrow as pa

    try:
        ours, theirs = (_read_index(RunFolder(run).index) for run in (first, second))
    except (OSError, pa.ArrowException, KeyError):
        return ["which images differ is not known: index.parquet is missing or damaged"]
    lines = [
        f"changed: {_label_image(key, row)}" + _same_pixels(row, theirs[key], column)
        for key, row in ours.items()
        if key in theirs and _differ(row, theirs[key], column)
    ]
    lines += [
        f"only in A: {_label_image(key, row)}" for key, row in ours.items() if key not in theirs
    ]
    lines += [
        f"only in B: {_label_image(key, row)}" for key, row in theirs.items() if key not in ours
    ]
    return lines or ["the runs' indexes are equal: one was written after the member was trained"]


def _read_index(path: Path) -> dict[_Key, dict[str, Any]]:
    """An index by part and id."""
    from pyarrow import parquet

    # Not read_table: it imports pandas, which takes longer than all the rest.
    file = parquet.ParquetFile(path)
    pixels = [name for name in file.schema_arrow.names if name.startswith("pixels_")]
    columns = ["part", "id", "path", "sha256", *pixels]
    table = file.read(columns=columns, use_threads=False)
    rows = sorted(table.to_pylist(), key=lambda row: (row["part"], row["id"]))
    return {
        (row["part"], row["id"]): row | {"pixels": {name: row[name] for name in pixels}}
        for row in rows
    }


def _differ(one: dict[str, Any], other: dict[str, Any], column: str) -> bool:
    if column != "pixels":
        return bool(one[column] != other[column])
    ours, theirs = one["pixels"], other["pixels"]
    return any(ours[size] != theirs[size] for size in ours.keys() & theirs.keys())


def _label_image(key: _Key, row: dict[str, Any]) -> str:
    return f"{key[1]} ({row['path']})"


def _same_pixels(one: dict[str, Any], other: dict[str, Any], column: str) -> str:
    same = column == "sha256" and not _differ(one, other, "pixels")
    return ", but decoded to the same pixels" if same else ""


def describe_changed_predictions(first: Path, second: Path) -> str:
    """How many numbers of two prediction files differ, by how much, and of which images.

    Args:
        first: A valid.csv or test.csv.
        second: The other run's.
    """
    try:
        (ids, ours), (other_ids, theirs) = (_read_predictions(path) for path in (first, second))
    except (OSError, ValueError, KeyError):
        return f"{first.name}: cannot be read in both runs"
    if ids != other_ids or ours.shape != theirs.shape:
        return f"{first.name}: different images or classes"
    unequal = unequal_bits(ours, theirs)
    if not unequal.any():
        return f"{first.name}: the same numbers; a file was written after the member was trained"
    gap = largest_gap(ours, theirs)
    images = [ids[row] for row in np.flatnonzero(unequal.any(axis=1))]
    return (
        f"{first.name}: {unequal.sum():,} of {unequal.size:,} numbers differ, by up to {gap:.3g}, "
        f"of {len(images):,} of {len(ids):,} images: {', '.join(shorten(images))}"
    )


def _read_predictions(path: Path) -> tuple[list[str], np.ndarray]:
    """Ids and probabilities, float64, a row per image."""
    import pyarrow as pa
    from pyarrow import csv

    text = csv.ConvertOptions(column_types={"id": pa.string(), "label": pa.string()})
    table = csv.read_csv(path, convert_options=text)
    classes = [name for name in table.column_names if name not in ("id", "label")]
    numbers = [np.array(table[name].to_pylist(), np.float64) for name in classes]
    return table["id"].to_pylist(), np.stack(numbers, axis=1)
