"""Tables with a column of 0 and 1 for each class, read as one column of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twinrun.names import one_spelling

if TYPE_CHECKING:
    import pandas as pd

# What data.label_column says of such a table, and what the column of labels is called.
ONE_PER_CLASS = "one per class"

_ONES = frozenset(("1", "1.0", "1.", "true"))
_ZEROS = frozenset(("0", "0.0", "0.", "false", ""))


@dataclass(frozen=True)
class OneHot:
    """What the columns of classes say, row by row.

    Attributes:
        labels: The class of each row, in Unicode's form NFC: empty where there is none, all of them
            with ` and ` between them where there are several.
        several: The rows' numbers where there are several.
        never: The columns without a 1, in Unicode's form NFC.
    """

    labels: list[str]
    several: list[int]
    never: list[str]

    @property
    def none(self) -> list[int]:
        """The rows' numbers where there is no class."""
        return [row for row, label in enumerate(self.labels) if not label]


def find_marks(frame: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Those of some columns that hold 0 and 1 only, and not nothing at all.

    Args:
        frame: A table, all of it text.
        columns: Of it.
    """
    found = []
    for column in columns:
        values = {value.strip().lower() for value in frame[column].unique()}
        if values - {""} and values <= _ONES | _ZEROS:
            found.append(column)
    return found


def fold(frame: pd.DataFrame, columns: Sequence[str]) -> OneHot:
    """Read columns of 0 and 1 as one column of labels.

    Args:
        frame: A table, all of it text.
        columns: Of classes, from `find_marks`.
    """
    names = [one_spelling(column) for column in columns]
    ones = [[v.strip().lower() in _ONES for v in frame[column].tolist()] for column in columns]
    rows = list(zip(*ones, strict=True))
    classes = [[name for name, one in zip(names, row, strict=True) if one] for row in rows]
    return OneHot(
        [" and ".join(each) for each in classes],
        [row for row, each in enumerate(classes) if len(each) > 1],
        [name for name, column in zip(names, ones, strict=True) if not any(column)],
    )


def never_marked(frame: pd.DataFrame) -> list[str]:
    """The columns that hold 0 only, in Unicode's form NFC: of classes that no image is of.

    Args:
        frame: A table, all of it text.
    """
    return fold(frame, find_marks(frame, list(frame.columns))).never
