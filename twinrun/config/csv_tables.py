"""The CSV files of a data folder: which one names which images, and in which column."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from twinrun.config.listing import Folder
from twinrun.errors import InputError, nearest
from twinrun.file_names import stem_of
from twinrun.files import read_csv

if TYPE_CHECKING:
    import pandas as pd

# A folder with more of them holds a table per image, and none of the competition's.
_MOST_TABLES = 20

# What organisers call a column of labels.
_LABEL_NAMES = frozenset(
    (
        *("category", "categoryid", "class", "classid", "classname", "diagnosis", "disease"),
        *("label", "labels", "species", "target", "targets", "variety", "y"),
    )
)

Ids = Literal["stem", "name"]


@dataclass(frozen=True)
class CsvTable:
    """A CSV file, all of it text.

    Attributes:
        path: Relative to the data folder, with slashes.
        frame: Its rows; a missing value is an empty text.
    """

    path: str
    frame: pd.DataFrame

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        return list(self.frame.columns)

    @property
    def ids(self) -> set[str]:
        """The values of its first column, which are the ids of a sample submission."""
        return self.values(self.columns[0])

    def values(self, column: str) -> set[str]:
        """The values of a column that are not empty."""
        return set(self.frame[column]) - {""}


@dataclass(frozen=True)
class Names:
    """The names of a folder's images, with and without extension."""

    names: frozenset[str]
    stems: frozenset[str]

    @classmethod
    def of(cls, images: Iterable[str]) -> Names:
        """Take them from file names."""
        names = frozenset(images)
        return cls(names, frozenset(map(stem_of, names)))

    def as_ids(self, ids: Ids) -> frozenset[str]:
        """The ids of these images."""
        return self.stems if ids == "stem" else self.names


@dataclass(frozen=True)
class Match:
    """A column whose values are ids of a folder's images."""

    column: str
    ids: Ids
    found: int


def csv_paths(listing: Folder) -> list[str]:
    """All CSV files of a data folder that may be the competition's, the uppermost first."""
    found: list[str] = []
    for folder in listing.walk():
        tables = [name for name in folder.files if name.lower().endswith(".csv")]
        if len(tables) <= _MOST_TABLES:
            found += [f"{folder.path}/{name}".lstrip("/") for name in tables]
    return sorted(found, key=lambda path: (path.count("/"), path))


def read_table(root: Path, path: str) -> CsvTable:
    """Read a CSV file of the data folder.

    Raises:
        InputError: It is not a CSV file, or its values are not separated by commas.
    """
    file = root / path
    try:
        # A row that is cut short has missing values in place of empty ones.
        frame = read_csv(file, all_text=True).fillna("")
    except OSError as error:
        raise InputError(
            f"cannot read {file}: {error.strerror or error}", fix="Fix its permissions."
        ) from error
    if len(frame.columns) == 1 and re.search(r"[;\t|]", frame.columns[0]):
        raise InputError(
            f"{file}: its values are not separated by commas: {frame.columns[0]!r}",
            fix="Save it as comma-separated text in UTF-8.",
        )
    return CsvTable(path, frame)


def sample_paths(paths: Sequence[str]) -> list[str]:
    """The CSV files whose names say most clearly that they are a sample submission."""
    stems = {path: path.rpartition("/")[2].lower().rpartition(".")[0] for path in paths}
    clear = [path for path, stem in stems.items() if "sample" in stem and "sub" in stem]
    return clear or [p for p, stem in stems.items() if "sample" in stem or "submission" in stem]


def match_values(values: Collection[str], images: Names) -> tuple[Ids, int]:
    """As which kind of id more of the values name images, and how many do."""
    stems = len(images.stems.intersection(values))
    names = len(images.names.intersection(values))
    return ("name", names) if names > stems else ("stem", stems)


def match(table: CsvTable, images: Names) -> Match | None:
    """The column that names these images: half of its values do, or half of the images are named.

    Among several the one that names most, and of these the leftmost.
    """
    best: Match | None = None
    for column in table.columns:
        values = table.values(column)
        ids, found = match_values(values, images)
        enough = found and 2 * found >= min(len(values), len(images.names))
        if enough and (best is None or found > best.found):
            best = Match(column, ids, found)
    return best


def why_none_match(values: Collection[str], images: Names) -> str:
    """Why ids name no image, if that can be seen, and what to do; otherwise an empty text."""
    plain = {value.replace("\\", "/").rpartition("/")[2] for value in values}
    if match_values(plain, images)[1]:
        return "The ids have a folder before the file name: take it off."
    lower = Names.of(name.lower() for name in images.names)
    if match_values({value.lower() for value in values}, lower)[1]:
        return "Ids and file names differ in upper and lower case: make them the same."
    return ""


def find_label_column(
    table: CsvTable, id_column: str, asked: Sequence[str], chosen: str | None, where: Path
) -> str:
    """The column of a table that holds the labels.

    Args:
        table: A table of training images.
        id_column: Its column of ids.
        asked: The columns of the sample submission after its ids; empty when it is not known.
        chosen: The column that the user named.
        where: The table's full path, for messages.

    Raises:
        InputError: There is none, or there are several.
    """
    others = [column for column in table.columns if column != id_column]
    if chosen is not None:
        if chosen in others:
            return chosen
        raise InputError(
            f"{where}: no column of labels {chosen!r}. {nearest(chosen, others)}".rstrip(),
            fix=f"Its columns beside the ids: {', '.join(others) or 'none'}.",
        )
    if not others:
        raise InputError(f"{where} has a column of ids only", fix="Add a column of labels.")
    if len(others) == 1:
        return others[0]
    found = named_labels(table, others, asked) or possible_labels(table, others) or others
    if len(found) == 1:
        return found[0]
    raise InputError(
        f"{where}: its labels may stand in the column {', '.join(map(repr, found[:-1]))} "
        f"or {found[-1]!r}",
        fix="Name the column with --label-column.",
    )


def named_labels(table: CsvTable, columns: Sequence[str], asked: Sequence[str]) -> list[str]:
    """The columns of a table that are most surely those of labels; empty where none is named so.

    Args:
        table: A table of training images.
        columns: Of it, without that of the ids.
        asked: As for `find_label_column`.
    """
    labels = [column for column in columns if table.values(column)]
    hints = (
        [column for column in labels if len(asked) > 1 and table.values(column) == set(asked)],
        [column for column in labels if [column.lower()] == [n.lower() for n in asked]],
        [column for column in labels if _letters(column) in _LABEL_NAMES],
    )
    return next((hint for hint in hints if hint), [])


def possible_labels(table: CsvTable, columns: Sequence[str]) -> list[str]:
    """The columns in which the same values stand again and again.

    Args:
        table: A table of training images.
        columns: Of it, without that of the ids.
    """
    rows = len(table.frame)
    return [column for column in columns if 2 <= len(table.values(column)) <= rows / 2]


def _letters(column: str) -> str:
    return re.sub("[^a-z0-9]", "", column.lower())
