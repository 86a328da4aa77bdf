"""Tables of tasks that are not one class an image: recognised, and refused with the reason."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.config.csv_tables import CsvTable
from twinrun.config.measured import are_measured, are_numbers
from twinrun.config.one_hot import find_marks
from twinrun.errors import InputError, shorten, shortened

if TYPE_CHECKING:
    import pandas as pd

ONE_CLASS = "Twinrun trains on one class an image."

# Columns of boxes by their names, in small letters and without what stands between these.
_CORNERS = (
    frozenset(("xmin", "ymin", "xmax", "ymax")),
    frozenset(("x1", "y1", "x2", "y2")),
    frozenset(("x", "y", "w", "h")),
    frozenset(("x", "y", "width", "height")),
    frozenset(("xcenter", "ycenter", "width", "height")),
)
_BOXES = frozenset(("bbox", "bboxes", "box", "boxes", "boundingbox", "boundingboxes"))
_MASKS = frozenset(
    (
        *("encodedpixels", "encoding", "mask", "masks", "maskrle", "polygon", "rle", "rlemask"),
        "segmentation",
    )
)
_NUMBERS = re.compile(r"[\s\[\](){},;]*(?:-?\d+(?:\.\d+)?[\s\[\](){},;]+){3,}-?\d+(?:\.\d+)?\W*")

# Where this share of the images has rows of different labels, that is no slip.
_MANY_CONFLICTS = 0.1


def refuse_objects(table: CsvTable, id_column: str, where: Path, *, labelled: bool) -> None:
    """Raise InputError when a table tells where in the images something is.

    A table with one row per image and a column of classes is one of classes, whatever else it
    tells of the images.

    Args:
        table: Of images.
        id_column: Its column of ids.
        where: Its full path, for messages.
        labelled: Whether a column of it may be one of labels.
    """
    frame = table.frame
    repeated = frame[id_column].duplicated()
    if labelled and not repeated.any():
        return
    others = [column for column in frame.columns if column != id_column]
    marks = find_marks(frame, others)
    names = {
        column: re.sub("[^a-z0-9]", "", column.lower()) for column in others if column not in marks
    }
    lists = [column for column in names if _are_lists(frame[column].tolist())]
    corners = [
        column
        for column, name in names.items()
        if any(name in each and each <= set(names.values()) for each in _CORNERS)
        and are_numbers(list(table.values(column)))
    ]
    if not (lists or corners):
        return
    columns = lists or corners
    masks = any(names[column] in _MASKS for column in columns)
    boxes = bool(corners) or any(names[column] in _BOXES for column in columns)
    what = "masks" if masks else "boxes" if boxes else "boxes or masks"
    again = frame.loc[repeated, id_column].tolist()
    rows = f"; {again[0]} has several rows" if again else ""
    raise InputError(
        f"{where} tells where in the images something is ({what}, in "
        f"{', '.join(map(repr, columns))}{rows}): a task of detection or segmentation",
        fix=(
            f"{ONE_CLASS} If that is the task, name the column of classes with --label-column, or "
            "a table with one label an image, which may lie in any folder, with --labels.",
        ),
    )


def _are_lists(values: Sequence[str]) -> bool:
    """Whether most of a column's cells are lists of four numbers or more."""
    given = [value for value in values if value]
    return 2 * sum(_NUMBERS.fullmatch(value) is not None for value in given) > len(given)


def refuse_other_values(
    table: CsvTable, id_column: str, label_column: str, asked: Collection[str], where: Path
) -> None:
    """Raise InputError when a column of labels does not hold one class for each image.

    Args:
        table: Of images.
        id_column: Its column of ids.
        label_column: The column that may be the labels'.
        asked: The columns of the sample submission after its ids.
        where: The table's full path, for messages.
    """
    frame = table.frame
    values = list(dict.fromkeys(value for value in frame[label_column].tolist() if value))
    column = f"the column {label_column!r} of {where}"
    asks_for_them = len(asked) > 1 and set(values).issubset(asked)
    if not asks_for_them and are_measured(label_column, values, len(frame)):
        examples = ", ".join(shorten(values, 3))
        raise InputError(
            f"{column} holds {len(values):,} different numbers ({examples}): a task of regression",
            fix=(
                f"{ONE_CLASS} To train on ranges of them, write a table with a label for each "
                "range, in any folder, and name it with --labels. If each is a class, name the "
                f"column: --label-column {label_column!r}.",
            ),
        )
    lists = _joined_labels(values)
    # What a column of the sample is called like is a class.
    if joined := {text: parts for text, parts in lists.items() if text not in asked}:
        text, parts = next(iter(joined.items()))
        raise InputError(
            f"{column} holds several labels for one image: {shortened(text)!r} is "
            f"{' and '.join(map(repr, parts))}",
            fix=(
                f"{ONE_CLASS} To train on each combination as a class of its own, name the column "
                f"with --label-column {label_column!r}.",
            ),
        )
    conflicting = _conflicting(frame, id_column, label_column)
    images = frame[id_column].nunique()
    if len(conflicting) > max(1.0, _MANY_CONFLICTS * images):
        image, labels = next(iter(conflicting.items()))
        raise InputError(
            f"{where}: {len(conflicting):,} of {images:,} images have rows with different labels: "
            f"{image} is {' and '.join(map(repr, shorten(labels, 3)))}",
            fix=(
                f"{ONE_CLASS} If the task is that, name a table with one label an image with "
                "--labels; it may lie in any folder.",
            ),
        )


def several_classes(where: Path, images: Sequence[str], labels: Sequence[str]) -> InputError:
    """The error for a table whose columns of 0 and 1 give an image several classes.

    Args:
        where: The table's full path.
        images: The ids of the images with several.
        labels: Of these images their classes.
    """
    return InputError(
        f"{where}: {_many(images)} several classes at once, a 1 in several columns:",
        details=shorten(f"{i}: {label}" for i, label in zip(images, labels, strict=True)),
        fix=(
            f"{ONE_CLASS} To train on one of them as 0 or 1, name its column with --label-column.",
        ),
    )


def no_class(where: Path, images: Sequence[str]) -> InputError:
    """The error for a table whose columns of 0 and 1 give an image no class.

    Args:
        where: The table's full path.
        images: The ids of these images.
    """
    return InputError(
        f"{where}: {_many(images)} no class, a 0 in every column of one:",
        details=shorten(images),
        fix=(
            f"{ONE_CLASS} Write a table with a column for those of none, in any folder, and name "
            "it with --labels.",
        ),
    )


def _many(images: Sequence[str]) -> str:
    return "1 image is of" if len(images) == 1 else f"{len(images):,} images are of"


def _joined_labels(values: Sequence[str]) -> Mapping[str, list[str]]:
    """Values that are several of the other values, with a separator between them."""
    alone = set(values)
    for separator in ("|", ";", ",", " "):
        parts = {
            value: [part.strip() for part in value.split(separator) if part.strip()]
            for value in values
            if separator in value.strip()
        }
        joined = {
            value: each
            for value, each in parts.items()
            if len(each) > 1 and len(set(each)) == len(each) and alone.issuperset(each)
        }
        if joined:
            return joined
        # Lists of names that seldom stand alone: few names, many and uneven lists of them.
        names = [name for each in parts.values() for name in each]
        lengths = {len(each) for each in parts.values()}
        lists = {value: each for value, each in parts.items() if len(each) > 1}
        if len(lengths) > 1 and len(lists) >= 2 * len(set(names)) and not alone.isdisjoint(names):
            return lists
    return {}


def _conflicting(frame: pd.DataFrame, id_column: str, label_column: str) -> dict[str, list[str]]:
    """The images whose rows have different labels, with these."""
    pairs = frame[[id_column, label_column]].drop_duplicates()
    again = pairs[pairs[id_column].duplicated(keep=False)]
    found: dict[str, list[str]] = {}
    for image, label in zip(again[id_column].tolist(), again[label_column].tolist(), strict=True):
        found.setdefault(image, []).append(label)
    return found
