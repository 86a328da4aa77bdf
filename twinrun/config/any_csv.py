"""A table as hosts write them: separated by commas, semicolons, tabs or bars, blanks after them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.errors import InputError
from twinrun.files import is_there, read_csv
from twinrun.plain_files import open_plain

if TYPE_CHECKING:
    import pandas as pd

# By their names in messages, in the order in which they are tried.
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}

# A header is shorter.
_HEADER = 1 << 16


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
    separator = _separator(path) if is_there(path) else ","
    return read_csv(path, all_text=True, separator=separator).fillna(""), separator


def read_sample_csv(path: Path, *, leading: int = 1, all_text: bool = False) -> pd.DataFrame:
    """Read the host's sample submission, as it was read when the project was made.

    Args:
        path: The file.
        leading: How many of its first columns are text.
        all_text: All columns are text.

    Raises:
        OSError: It cannot be opened.
        InputError: As `read_csv`; or commas do not separate its values, as in what is handed in.
    """
    separator = _separator(path) if is_there(path) else ","
    table = read_csv(path, leading=leading, all_text=all_text, separator=separator)
    if separator != ",":
        raise not_commas(path, table, separator)
    return table


def not_commas(path: Path, table: pd.DataFrame, separator: str) -> InputError:
    """The error for a sample submission whose values something else separates."""
    return InputError(
        f"{path}: its values are not separated by commas: {separator.join(table.columns)!r}",
        fix="Save a copy as comma-separated text in UTF-8, in any folder, and name it with "
        "--sample (init, validate, blend) or data.sample_submission.",
    )


def said_of(name: str, separator: str) -> list[str]:
    """What is to be said of a table that is not separated by commas: a line, or none."""
    return [] if separator == "," else [f"{name} is read as separated by {SEPARATORS[separator]}"]


def _separator(path: Path) -> str:
    """The one of which the header has most; a comma where it has none, or as many."""
    with open_plain(path) as file:
        start = file.read(_HEADER)
    header = start.decode("utf-8-sig", "replace").lstrip("\r\n").splitlines()[:1]
    columns = {each: len(next(csv.reader(header, delimiter=each), [])) for each in SEPARATORS}
    return max(SEPARATORS, key=lambda each: columns[each])
