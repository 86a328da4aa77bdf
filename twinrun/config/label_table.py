"""The layout "table": images in any folders, and a table of ids and labels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.config.annotations import find_other_task
from twinrun.config.any_csv import read_any_csv, said_of
from twinrun.config.csv_tables import CsvTable, match, named_labels, says_labels
from twinrun.config.data_folder import join_errors
from twinrun.config.image_ids import Names, why_none_match
from twinrun.config.label_layout import (
    Candidate,
    FoundClasses,
    LabelLayout,
    Labelled,
    NoTable,
    TrainingImages,
    test_images,
    training_folders,
)
from twinrun.config.listing import Folder, words_for
from twinrun.config.measured import may_be_measured
from twinrun.config.one_hot import ONE_PER_CLASS, never_marked
from twinrun.config.table_labels import choose_labels, with_labels
from twinrun.config.table_rows import TableRows, read_rows
from twinrun.errors import InputError, shorten
from twinrun.files import is_there
from twinrun.names import one_spelling

if TYPE_CHECKING:
    import pandas as pd

    from twinrun.config.sections import Data


class TableOfLabels(LabelLayout):
    """Training images in any folders, and a table that names them, whatever folders are called."""

    name = "table"
    words = "images in train/ or folders below it, and a table of ids and labels"
    answer = "table"
    settings = ("labels", "id_column", "label_column")

    def find_classes(
        self,
        data: Data,
        folder: Path,
        unseen: Collection[str] = (),  # noqa: ARG002
    ) -> FoundClasses:
        """The different labels of the table."""
        labels = read_labels(data, folder, ())[0]["label"]
        return FoundClasses(
            sorted({label for label in labels if label}),
            looked_at=f"the column {data.label_column!r} of {data.labels_path(folder)}",
            fix="Set data.labels and data.label_column, or write the list of classes.",
        )

    def read_images(
        self,
        data: Data,
        folder: Path,
        classes: Sequence[str],
        unseen: Collection[str] = (),  # noqa: ARG002
    ) -> Labelled:
        """As the base class says."""
        parts = training_folders(data, folder)
        table, said = read_labels(data, folder, classes)
        name = Path(data.labels).name
        rows = rows_of_images(table["id"].tolist(), table["label"].tolist(), parts)
        # Where training and test images lie together, the table tells them apart.
        rows = rows.beside(set(test_images(data, folder)))
        where = words_for(parts)
        problems = [
            f"{image}: stands in {name} more than once, as {' and '.join(map(repr, labels))}"
            for image, labels in rows.conflicting.items()
        ]
        problems += [f"{image}: names {', '.join(names)}" for image, names in rows.unclear.items()]
        problems += [f"{image}: no label" for image in rows.unlabelled]
        problems += [
            f"{image}: no class {label!r} in the settings"
            for image, label in dict(zip(table["id"], table["label"], strict=True)).items()
            if label and label not in classes
        ]
        used = set(rows.labels.values())
        problems += [
            f"{name}: a class of the settings without an image"
            for name in classes
            if name not in used
        ]
        problems += [f"{path}: an image without a label" for path in rows.missing]
        problems += [f"{image}: a label without an image in {where}" for image in rows.strangers]
        path = data.labels_path(folder)
        if problems:
            raise InputError(
                f"{path} does not agree with the images and the settings:",
                details=shorten(problems),
                fix="Correct data.id_column, data.label_column or competition.classes; or let "
                "data.labels name a corrected table. It may lie in any folder: local.toml names "
                "it by its full path.",
            )
        return Labelled(
            rows.labels,
            parts,
            f"{name}, column {data.label_column!r}",
            [*said, *rows.said(name)],
        )

    def recognise(self, candidate: Candidate) -> TrainingImages | None:
        """Folders of images that a table names, of the data folder or of the user's."""
        data, folders = candidate.data, candidate.folders
        images = [path for folder in folders for path in folder.below]
        if not images:
            return None
        if data.labels is not None and data.labels in data.unreadable:
            raise data.unreadable[data.labels]
        found: list[TrainingImages] = []
        problems: list[InputError] = []
        far: list[str] = []
        for path, table in data.tables.items():
            if path != data.labels and (data.labels is not None or path in data.samples):
                continue
            match_ = match(table, images)
            if match_ is None:
                far.append(f"{path}: names too few of them. {_why(table, images)}".rstrip())
                continue
            where = data.root / table.path
            try:
                labelled, column = choose_labels(
                    table, match_.column, candidate.asked, candidate.label_column, where
                )
            except InputError as problem:
                problems.append(problem)
                continue
            found.append(label_by_table(folders, labelled, match_.column, column))
        chosen = data.labels is not None or (found and candidate.label_column is not None)
        if not chosen and not any(_is_named(each, candidate.asked) for each in found):
            other = find_other_task(data.root, data.listing, folders)
            if other is not None:
                raise join_errors(data.root, [other, *problems])
        if not found:
            if problems:
                raise join_errors(data.root, problems)
            far += [problem.what for problem in data.unreadable.values()]
            raise NoTable(
                f"no table labels the {len(images):,} images in {words_for(folders)}",
                details=shorten(far),
                fix="Write a table with a column of ids and a column of labels, in any folder, and "
                "name it with --labels.",
            )
        found = [each for each in found if _is_sure(each, candidate)] or found
        if any(other.labels != found[0].labels for other in found):
            tables = " or ".join(each.table.path for each in found if each.table)
            raise InputError(
                f"{data.root}: the labels of {words_for(folders)} may be those in {tables}",
                fix="Name the table with --labels.",
            )
        return replace(found[0], said=[*found[0].said, *_doubts(found[0], candidate)])


def rows_of_images(
    ids: Sequence[str], labels: Sequence[str], folders: Sequence[Folder]
) -> TableRows:
    """The rows of a table beside the images of some folders and of those below them.

    A folder of which the table names no image is passed over where it stands above or below all
    images that the table names. Beside them it was forgotten, as is one that data.train names.

    Args:
        ids: Of the rows.
        labels: Of the rows, in Unicode's form NFC.
        folders: As data.train names them.
    """
    parts = [part for folder in folders for part in folder.walk() if part.images]
    rows = read_rows(ids, labels, list(dict.fromkeys(path for part in parts for path in part.own)))
    missing = set(rows.missing)
    named = {part.path for part in parts if not missing.issuperset(part.own)}
    tops = {folder.path for folder in folders}
    asked = {
        path
        for part in parts
        if part.path in tops or not all(_is_above(part.path, each) for each in named)
        for path in part.own
    }
    return replace(rows, missing=[path for path in rows.missing if path in asked])


def _is_above(one: str, other: str) -> bool:
    """Whether one of two different folders stands above the other."""
    short, long = sorted((one, other), key=len)
    return one != other and (not short or long.startswith(f"{short}/"))


def label_by_table(
    folders: Sequence[Folder], table: CsvTable, id_column: str, label_column: str
) -> TrainingImages:
    """The images of some folders that a table labels.

    Args:
        folders: Of the images, which may lie in folders below them.
        table: Of ids and labels.
        id_column: Its column of ids.
        label_column: Its column of labels.
    """
    labels = [one_spelling(label) for label in table.frame[label_column]]
    rows = rows_of_images(table.frame[id_column].tolist(), labels, folders)
    # A label that no image has is a class too: the settings are to name it, and a run refuses it.
    counts = dict.fromkeys(filter(None, labels), 0)
    for label in rows.labels.values():
        counts[label] += 1
    name = table.name
    return TrainingImages(
        rows.labels,
        [each for each in folders if any(path in rows.labels for path in each.below)],
        f"{name}, column {label_column!r}",
        [*table.said, *rows.said(name)],
        layout=TableOfLabels.name,
        counts=counts,
        unseen=never_marked(table.frame) if label_column == ONE_PER_CLASS else (),
        table=table,
        id_column=id_column,
        label_column=label_column,
        rows=rows,
    )


def read_labels(data: Data, folder: Path, classes: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Read the table of labels.

    Args:
        data: Names the file and its columns.
        folder: The data folder.
        classes: Of the settings; empty where they are to be found.

    Returns:
        A row per row of the file and two columns of text: id, and label in Unicode's form NFC,
        empty where there is none; and how the file is read, where that is not usual.

    Raises:
        InputError: The file is missing, cannot be read or lacks a column.
    """
    path = data.labels_path(folder)
    if not is_there(path):
        raise InputError(
            f"no table of labels: {path}",
            fix="It may lie in any folder: write `labels` and its path under [data] into "
            "local.toml, or give --set data.labels=PATH.",
        )
    table, separator = read_any_csv(path)
    if data.id_column in table.columns and data.label_column == ONE_PER_CLASS:
        table = with_labels(table, data.id_column, classes, path)
    for column in (data.id_column, data.label_column):
        if column not in table.columns:
            raise InputError(
                f"{path}: no column {column!r}. Its columns: {', '.join(table.columns)}.",
                fix="Set data.id_column and data.label_column.",
            )
    table = table[[data.id_column, data.label_column]]
    table.columns = ["id", "label"]
    table = table.assign(label=table["label"].map(one_spelling))
    return table, said_of(path.name, separator)


def _is_named(found: TrainingImages, asked: Sequence[str]) -> bool:
    """Whether a table's labels are called as labels are, or are what the sample asks for."""
    assert found.table is not None
    column = found.label_column
    return column == ONE_PER_CLASS or bool(named_labels(found.table, [column], asked))


def _is_sure(found: TrainingImages, candidate: Candidate) -> bool:
    """Whether a table is one of labels, and not of what else is known of the images."""
    assert found.table is not None
    return candidate.label_column is not None or says_labels(
        found.table, found.label_column, candidate.asked, ()
    )


def _doubts(found: TrainingImages, candidate: Candidate) -> list[str]:
    """What is to be said of labels that may be no classes: a line, or none."""
    assert found.table is not None
    values = list(found.table.values(found.label_column))
    # The user or the sample submission calls them classes.
    told = candidate.label_column is not None or set(values).issubset(candidate.asked)
    if told or not may_be_measured(found.label_column, values):
        return []
    return [
        f"{found.source}: {len(values):,} different numbers, each taken as a class; if they are "
        "measured or counted, name a table with a label for each range of them (--labels, "
        "data.labels)"
    ]


def _why(table: CsvTable, images: Sequence[str]) -> str:
    names = Names.of(images)
    return next(filter(None, (why_none_match(table.values(c), names) for c in table.columns)), "")
