"""Images that cannot be read, where the settings go on without them: data.unreadable = "prior".

Training images are left out. Test images stay in the index, marked, since the host asks for them;
nothing sees them, and each is given the share of every class among the training images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from twinrun.data.index import unreadable_images
from twinrun.errors import InputError, shorten

# A column of the index: why an image cannot be read; empty for all others. Not there where none is.
WHY = "unreadable"


@dataclass(frozen=True)
class LeftOut:
    """Images that cannot be read, and are in no index of those that are seen.

    Attributes:
        reasons: By path.
        train: Of the training images among them the SHA-256 of the file by id, sorted; empty where
            it cannot be opened, or is empty.
    """

    reasons: Mapping[str, str] = field(default_factory=dict)
    train: Mapping[str, str] = field(default_factory=dict)


def left_out(index: pd.DataFrame, reasons: Mapping[str, str]) -> LeftOut:
    """The images of an index that cannot be read.

    Args:
        index: From `list_images`.
        reasons: By path.
    """
    rows = index[(index["part"] == "train") & index["path"].isin(reasons)]
    return LeftOut(reasons, dict(sorted(zip(rows["id"], rows["sha256"], strict=True))))


def refuse_too_many(
    index: pd.DataFrame, reasons: Mapping[str, str], classes: Sequence[str], folder: Path
) -> None:
    """Check that enough is left without the images that cannot be read.

    Args:
        index: From `list_images`.
        reasons: Why images cannot be read, by path.
        classes: Of the settings.
        folder: The data folder.

    Raises:
        InputError: Of a class no image can be read, or no test image.
    """
    read = index[~index["path"].isin(reasons)]
    train = read[read["part"] == "train"]
    lost = [name for name in classes if name not in set(train["label"])]
    if lost or len(train) == len(read):
        what = f"of the class {', '.join(shorten(lost))}" if lost else "of the test images"
        error = unreadable_images(reasons, len(index), folder)
        raise InputError(
            f"{error.what.removesuffix(':')}, and none {what} is left:",
            details=error.details,
            fix="Fetch these files again.",
        )


def readable(index: pd.DataFrame) -> pd.DataFrame:
    """The rows of an index whose images are decoded."""
    return index[index[WHY] == ""].reset_index(drop=True) if WHY in index else index


def with_unread(
    index: pd.DataFrame, listed: pd.DataFrame, reasons: Mapping[str, str]
) -> pd.DataFrame:
    """An index with the test images that cannot be read.

    Args:
        index: Of the others, from `with_pixels`, as the audit's policy leaves it.
        listed: From `list_images`.
        reasons: Why images cannot be read, by path.

    Returns:
        Sorted as from `list_images`, with the column WHY; what decoding shows is 0 or empty for
        these. Without such images the index as it is.
    """
    left = listed[(listed["part"] == "test") & listed["path"].isin(reasons)]
    if left.empty:
        return index
    left = left.assign(**{WHY: [reasons[path] for path in left["path"]]})
    for name in index.columns.difference(left.columns):
        left[name] = _nothing(index[name])
    whole = pd.concat([index.assign(**{WHY: ""}), left[[*index.columns, WHY]]], ignore_index=True)
    keys = list(zip(whole["part"], whole["id"], strict=True))
    return whole.take(sorted(range(len(whole)), key=keys.__getitem__)).reset_index(drop=True)


def class_shares(index: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """The share of each class among the training images of an index: float64."""
    counts = index.loc[index["part"] == "train", "label"].value_counts()
    numbers = np.array([counts.get(name, 0) for name in classes], np.float64)
    shares: np.ndarray = numbers / numbers.sum()
    return shares


def add_shares(table: pd.DataFrame, index: pd.DataFrame, ids: Sequence[str]) -> pd.DataFrame:
    """Predictions with rows of the classes' shares behind them.

    Args:
        table: Ids in the first column, a column of probabilities per class.
        index: Of the run.
        ids: Of the rows to be added.

    Returns:
        Of the same columns and types.
    """
    id_column, *classes = table.columns
    given = pd.DataFrame(np.tile(class_shares(index, classes), (len(ids), 1)), columns=classes)
    given = given.astype(table.dtypes[classes].to_dict())
    given.insert(0, id_column, list(ids))
    return pd.concat([table, given], ignore_index=True)


def with_shares(table: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    """Predictions of test images, with the classes' shares for those that cannot be read.

    Args:
        table: Ids in the first column, a column of probabilities per class. It may hold rows of
            such images already, which are replaced.
        index: Of the run.

    Returns:
        Of the same columns and types; rows in the index's order where any was added.
    """
    if WHY not in index:
        return table
    id_column = table.columns[0]
    test = index[index["part"] == "test"]
    unread = test.loc[test[WHY] != "", "id"].tolist()
    whole = add_shares(table[~table[id_column].isin(unread)], index, unread)
    order = {image: row for row, image in enumerate(test["id"])}
    rows = whole[id_column].map(order).sort_values(kind="stable").index
    return whole.loc[rows].reset_index(drop=True)


def _nothing(column: pd.Series) -> str | int | bool:
    if column.dtype.kind == "b":
        return False
    return 0 if column.dtype.kind in "iuf" else ""
