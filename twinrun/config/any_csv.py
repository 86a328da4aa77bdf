"""A table as hosts write them: separated by commas, semicolons, tabs or bars, blanks after them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.files import is_there, read_csv
from twinrun.plain_files import open_plain

if TYPE_CHECKING:
    import pandas as pd

# By their names in messages, in the order in which they are tried.
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}

# A header and a few rows are shorter, and so many rows are looked at.
_START, _ROWS = 1 << 16, 20


def read_any_csv(path: Path) -> tuple[pd.DataFrame, str]:
    """Read a table, all of it text.

    Blanks after a separator are no part of a value, unless they stand in quotes. A row that is cut
    short has empty values.

    Returns:
        Its rows, and what its values are separated by.

    Raises:
        OSError: It cannot be opened.
        InputError: As `read_csv`.
    """
    separator = separator_of(path)
    return read_csv(path, all_text=True, separator=separator, strip=True).fillna(""), separator


def read_sample_csv(path: Path, *, leading: int = 1, all_text: bool = False) -> pd.DataFrame:
    """Read the host's sample submission, as it was read when the project was made.

    Args:
        path: The file.
        leading: How many of its first columns are text.
        all_text: All columns are text.

    Raises:
        OSError: It cannot be opened.
        InputError: As `read_csv`.
    """
    separator = separator_of(path)
    return read_csv(path, leading=leading, all_text=all_text, separator=separator, strip=True)


def said_of(name: str, separator: str) -> list[str]:
    """What is to be said of a table that is not separated by commas: a line, or none."""
    return [] if separator == "," else [f"{name} is read as separated by {SEPARATORS[separator]}"]


def said_of_sample(name: str, separator: str) -> list[str]:
    """As `said_of`, of a sample submission."""
    return [f"{line}, and submissions are written so" for line in said_of(name, separator)]


def separator_of(path: Path) -> str:
    """What the values of a table are separated by; a comma where no table is there.

    It is the sign that its first rows have as often as its header: of several the one of which that
    has most. Where rows differ, the header alone tells.

    Raises:
        OSError: It cannot be opened.
    """
    if not is_there(path):
        return ","
    with open_plain(path) as file:
        start = file.read(_START)
    lines = start.decode("utf-8-sig", "replace").lstrip("\r\n").splitlines(keepends=True)
    # The last one may be cut.
    lines = lines[:-1] if len(start) == _START and len(lines) > 1 else lines
    many = {each: _count(lines, each) for each in SEPARATORS}
    header = max(SEPARATORS, key=lambda each: many[each][0])
    even = [each for each in SEPARATORS if len(set(many[each])) == 1 and many[each][0] > 1]
    return max(even, key=lambda each: many[each][0], default=header)


def _count(lines: Sequence[str], separator: str) -> list[int]:
    """How many values the first rows have; at least the number of the header's."""
    rows = csv.reader(lines, delimiter=separator)
    return [len(row) for row in islice((row for row in rows if row), _ROWS)] or [0]
