"""Which images differ between two runs, from the runs' files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twinrun.errors import InputError
from twinrun.plain_files import plain
from twinrun.run_folder.manifest import is_as_recorded
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
    except (OSError, pa.ArrowException, KeyError, InputError):
        return ["which images: not known, index.parquet is missing or damaged"]
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

    is_as_recorded(path.parent, path, fix="")
    # Not read_table: it imports pandas, which takes longer than all the rest.
    file = parquet.ParquetFile(plain(path))
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
