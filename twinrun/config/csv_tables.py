"""The tables of a data folder: which one names which images, and in which column."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.config.any_csv import read_any_csv, said_of
from twinrun.config.image_ids import find_images
from twinrun.config.listing import TABLES, Folder
from twinrun.config.one_hot import ONE_PER_CLASS
from twinrun.errors import InputError, nearest

if TYPE_CHECKING:
    import pandas as pd

# A folder with more of them holds a table per image, and none of the competition's.
_MOST_TABLES = 20

# More different values than this, and more than every second row has its own: no classes.
MANY_CLASSES = 20

# What organisers call a column of labels.
_LABEL_NAMES = frozenset(
    (
        *("category", "categoryid", "class", "classid", "classname", "diagnosis", "disease"),
        *("label", "labels", "species", "target", "targets", "variety", "y"),
    )
)


@dataclass(frozen=True)
class CsvTable:
    """A CSV file, all of it text.

    Attributes:
        path: Relative to the data folder, with slashes; the full path of one that lies elsewhere.
        frame: Its rows; a missing value is an empty text.
        separator: What its values are separated by.
    """

    path: str
    frame: pd.DataFrame
    separator: str = ","

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        return list(self.frame.columns)

    @property
    def said(self) -> list[str]:
        """How it is read, where that is not usual, a line each."""
        return said_of(self.name, self.separator)

    @property
    def ids(self) -> set[str]:
        """The values of its first column, which are the ids of a sample submission."""
        return self.values(self.columns[0])

    def values(self, column: str) -> set[str]:
        """The values of a column that are not empty."""
        return set(self.frame[column]) - {""}


@dataclass(frozen=True)
class Match:
    """A column whose values name images, and how many images they name."""

    column: str
    found: int


def csv_paths(listing: Folder) -> list[str]:
    """All tables of a data folder that may be the competition's, the uppermost first."""
    found: list[str] = []
    for folder in listing.walk():
        tables = [name for name in folder.files if name.lower().endswith(TABLES)]
        if len(tables) <= _MOST_TABLES:
            found += [f"{folder.path}/{name}".lstrip("/") for name in tables]
    return sorted(found, key=lambda path: (path.count("/"), path))


def read_table(root: Path, path: str) -> CsvTable:
    """Read a table of a data folder, whatever its values are separated by.

    Raises:
        InputError: It is not a table.
    """
    file = root / path
    try:
        frame, separator = read_any_csv(file)
    except OSError as error:
        raise InputError(
            f"cannot read {file}: {error.strerror or error}", fix="Fix its permissions."
        ) from error
    return CsvTable(path, frame, separator)


def sample_paths(paths: Sequence[str]) -> list[str]:
    """The CSV files whose names say most clearly that they are a sample submission."""
    stems = {path: path.rpartition("/")[2].lower().rpartition(".")[0] for path in paths}
    clear = [path for path, stem in stems.items() if "sample" in stem and "sub" in stem]
    return clear or [p for p, stem in stems.items() if "sample" in stem or "submission" in stem]


def match(table: CsvTable, images: Sequence[str]) -> Match | None:
    """The column that names these images: half of its values do, or half of the images are named.

    Among several the one that names most, and of these the leftmost.

    Args:
        table: The table.
        images: The images' paths, relative to the data folder.
    """
    best: Match | None = None
    for column in table.columns:
        values = table.values(column)
        named = find_images(values, images)
        found = len({path for paths in named.values() for path in paths})
        enough = found and 2 * found >= min(len(values), len(images))
        if enough and (best is None or found > best.found):
            best = Match(column, found)
    return best


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


def says_labels(
    table: CsvTable,
    column: str,
    asked: Collection[str],
    folders: Collection[str],
) -> bool:
    """Whether a column surely holds labels, and no property of the images such as their camera.

    Folders are named after the classes too, so a table beside them need not be one of labels.

    Args:
        table: A table of images.
        column: The column.
        asked: The columns of the sample submission after its ids, or the classes that it names.
        folders: The names of the folders.
    """
    values = table.values(column)
    if len(asked) > 1 and values.isdisjoint(asked):
        return False
    if column == ONE_PER_CLASS or not values.isdisjoint({*asked, *folders}):
        return True
    called_so = _letters(column) in _LABEL_NAMES or column.lower() in map(str.lower, asked)
    few = 2 <= len(values) <= max(MANY_CLASSES, len(table.frame) / 2)
    return few and (called_so or len(table.columns) == 2)


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
