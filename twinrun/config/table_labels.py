"""The labels of a table of images: in one column, or in a column of 0 and 1 for each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.config.csv_tables import (
    CsvTable,
    find_label_column,
    named_labels,
    possible_labels,
)
from twinrun.config.one_hot import ONE_PER_CLASS, OneHot, find_marks, fold
from twinrun.config.other_tasks import (
    no_class,
    refuse_objects,
    refuse_other_values,
    several_classes,
)
from twinrun.errors import InputError
from twinrun.names import one_spelling

if TYPE_CHECKING:
    import pandas as pd


def choose_labels(
    table: CsvTable, id_column: str, asked: Sequence[str], chosen: str | None, where: Path
) -> tuple[CsvTable, str]:
    """Find the column of labels; one is added where the table has a column for each class.

    Args:
        table: A table of training images.
        id_column: Its column of ids.
        asked: The columns of the sample submission after its ids; empty when it is not known.
        chosen: The column that the user named.
        where: The table's full path, for messages.

    Returns:
        The table, and its column of labels.

    Raises:
        InputError: There is none, there are several, or the table is of a task that is not one
            class an image.
    """
    others = [column for column in table.columns if column != id_column]
    if chosen is None or chosen == ONE_PER_CLASS:
        named = named_labels(table, others, asked)
        possible = [each for each in possible_labels(table, others) if each not in named]
        texts = [each for each in possible if not _are_numbers(table, each)]
        refuse_objects(table, id_column, where, labelled=bool(named or texts))
        columns = _class_columns(table, others, named, possible, asked)
        if columns:
            frame = _labelled(table.frame, id_column, columns, where)
            return replace(table, frame=frame), ONE_PER_CLASS
    column = find_label_column(table, id_column, asked, chosen, where)
    if chosen is None:
        refuse_other_values(table, id_column, column, asked, where)
    return table, column


def _are_numbers(table: CsvTable, column: str) -> bool:
    try:
        return bool([float(value) for value in table.values(column)])
    except ValueError:
        return False


def _class_columns(
    table: CsvTable,
    others: Sequence[str],
    named: Sequence[str],
    possible: Sequence[str],
    asked: Sequence[str],
) -> list[str]:
    """The columns of 0 and 1 that are a class each; empty where the table has a column of labels.

    Args:
        table: Of training images.
        others: Its columns without that of the ids.
        named: Those of them that are named as labels.
        possible: Those of the others that may hold labels.
        asked: As for `choose_labels`.
    """
    marks = find_marks(table.frame, others)
    if len(marks) < 2 or set(named) - set(marks):
        return []
    classes = {one_spelling(name) for name in asked}
    found = [each for each in marks if one_spelling(each) in classes]
    if len(found) > 1 and len(found) == len(classes):
        return found
    whole = _is_whole(fold(table.frame, marks))
    if len(marks) == len(others) > 2 and whole:
        return marks
    if named or set(possible) - set(marks):
        return []
    # Two may be properties of an image, such as the place and the season.
    return marks if len(marks) > 2 or whole else []


def _is_whole(found: OneHot) -> bool:
    return not found.several and not found.none


def with_labels(
    frame: pd.DataFrame, id_column: str, classes: Sequence[str], where: Path
) -> pd.DataFrame:
    """A table that the settings call one with a column per class, with a column of labels.

    Args:
        frame: The table, all of it text.
        id_column: Its column of ids.
        classes: Of the settings; empty where they are to be found.
        where: The table's full path, for messages.

    Raises:
        InputError: A class has no column; or an image has no class, or several, and the settings
            name none.
    """
    if ONE_PER_CLASS in frame.columns:
        return frame
    others = [column for column in frame.columns if column != id_column]
    marks = find_marks(frame, others)
    columns = [each for each in marks if one_spelling(each) in classes] if classes else marks
    lacking = sorted(set(classes) - {one_spelling(each) for each in columns})
    if lacking or len(columns) < 2:
        raise InputError(
            f"{where}: no column of 0 and 1 for {', '.join(lacking) or 'each class'}. Its columns: "
            f"{', '.join(frame.columns)}.",
            fix="Set data.label_column and competition.classes.",
        )
    if not classes:
        return _labelled(frame, id_column, columns, where)
    return frame.assign(**{ONE_PER_CLASS: fold(frame, columns).labels})


def _labelled(
    frame: pd.DataFrame, id_column: str, columns: Sequence[str], where: Path
) -> pd.DataFrame:
    """A table with a column of labels beside the columns of classes; one for each image."""
    found = fold(frame, columns)
    ids = frame[id_column].tolist()
    if found.several:
        labels = [found.labels[row] for row in found.several]
        raise several_classes(where, [ids[row] for row in found.several], labels)
    if found.none:
        raise no_class(where, [ids[row] for row in found.none])
    return frame.assign(**{ONE_PER_CLASS: found.labels})
