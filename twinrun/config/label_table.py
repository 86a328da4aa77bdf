"""The layout "table": train/<image>, and a CSV of ids and labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.config.csv_tables import (
    CsvTable,
    Match,
    Names,
    match,
    why_none_match,
)
from twinrun.config.data_folder import join_errors
from twinrun.config.label_layout import (
    Candidate,
    FoundClasses,
    LabelLayout,
    LabelledImage,
    TrainingImages,
    image_id,
)
from twinrun.config.layout import images_in, subfolder
from twinrun.config.listing import Folder
from twinrun.config.one_hot import ONE_PER_CLASS, never_marked
from twinrun.config.table_labels import choose_labels, with_labels
from twinrun.errors import InputError, shorten
from twinrun.files import read_csv
from twinrun.names import one_spelling

if TYPE_CHECKING:
    import pandas as pd

    from twinrun.config.sections import Data


class TableOfLabels(LabelLayout):
    """All training images in one folder, and a table that names them."""

    name = "table"
    words = "train/<image> and a CSV of ids and labels"
    answer = "table"
    settings = ("labels", "id_column", "label_column")

    def find_classes(self, data: Data, folder: Path) -> FoundClasses:
        """The different labels of the table."""
        labels = read_labels(data, folder, ())["label"]
        return FoundClasses(
            sorted({label for label in labels if label}),
            looked_at=f"the column {data.label_column!r} of {folder / data.labels}",
            fix="Set data.labels and data.label_column, or write the list of classes.",
        )

    def read_images(self, data: Data, folder: Path, classes: Sequence[str]) -> list[LabelledImage]:
        """As the base class says."""
        part = subfolder(folder, data.train, "data.train")
        path = folder / data.labels
        table = read_labels(data, folder, classes)
        labels: dict[str, str] = {}
        problems: list[str] = []
        for image, label in zip(table["id"], table["label"], strict=True):
            if image in labels:
                problems.append(f"{image}: stands in {path.name} more than once")
            if not label:
                problems.append(f"{image}: no label")
            elif label not in classes:
                problems.append(f"{image}: no class {label!r} in the settings")
            labels[image] = label
        unused = [name for name in classes if name not in labels.values()]
        problems += [f"{name}: a class of the settings without an image" for name in unused]
        names = {name: image_id(data, name) for name in images_in(part)}
        here = set(names.values())
        problems += [f"{image}: an image without a label" for image in sorted(here - set(labels))]
        problems += [
            f"{image}: a label without an image in {part}" for image in labels if image not in here
        ]
        if problems:
            raise InputError(
                f"{path} does not agree with the images and the settings:",
                details=shorten(problems),
                fix="Fix the table, the folder or competition.classes; if the table's ids end like "
                "file names, set data.ids to 'name'.",
            )
        place = part.relative_to(folder).as_posix()
        return [(image, labels[image], f"{place}/{name}") for name, image in names.items()]

    def recognise(self, candidate: Candidate) -> TrainingImages | None:
        """A folder of images that a table of the data folder names."""
        data, folder = candidate.data, candidate.folder
        if not folder.images:
            return None
        if data.labels is not None and data.labels in data.unreadable:
            raise data.unreadable[data.labels]
        names = Names.of(folder.images)
        found: list[TrainingImages] = []
        problems: list[InputError] = []
        far: list[str] = []
        for path, table in data.tables.items():
            if path != data.labels and (data.labels is not None or path in data.samples):
                continue
            match_ = match(table, names)
            if match_ is None:
                far.append(f"{path}: names too few of them. {_why(table, names)}".rstrip())
                continue
            where = data.root / table.path
            try:
                labelled, column = choose_labels(
                    table, match_.column, candidate.asked, candidate.label_column, where
                )
            except InputError as problem:
                problems.append(problem)
                continue
            found.append(label_by_table(folder, labelled, match_, column))
        if not found:
            if problems:
                raise join_errors(data.root, problems)
            far += [problem.what for problem in data.unreadable.values()]
            raise InputError(
                f"no table labels the {len(folder.images):,} images in {data.root / folder.path}",
                details=shorten(far),
                fix="Put a CSV file with a column of ids and a column of labels into "
                f"{data.root}, or the images into a folder per class.",
            )
        if any(other.labels != found[0].labels for other in found):
            tables = " or ".join(each.table.path for each in found if each.table)
            raise InputError(
                f"{data.root}: the labels of {folder.path}/ may be those in {tables}",
                fix="Name the table with --labels.",
            )
        return found[0]


def label_by_table(
    folder: Folder, table: CsvTable, found: Match, label_column: str
) -> TrainingImages:
    """The images of a folder that a table labels.

    Args:
        folder: Of the images.
        table: Of ids and labels.
        found: Its column of ids, and their kind.
        label_column: Its column of labels.
    """
    values = table.frame[label_column].map(one_spelling)
    labels = dict(zip(table.frame[found.column], values, strict=True))
    here = Names.of(folder.images).as_ids(found.ids)
    counts: dict[str, int] = {}
    for image, label in labels.items():
        if label:
            counts[label] = counts.get(label, 0) + (image in here)
    return TrainingImages(
        TableOfLabels.name,
        folder,
        (folder,),
        counts,
        table,
        found.column,
        label_column,
        found.ids,
        unseen=never_marked(table.frame) if label_column == ONE_PER_CLASS else (),
        labels=labels,
    )


def read_labels(data: Data, folder: Path, classes: Sequence[str]) -> pd.DataFrame:
    """Read the table of labels.

    Args:
        data: Names the file and its columns.
        folder: The data folder.
        classes: Of the settings; empty where they are to be found.

    Returns:
        A row per row of the file and two columns of text: id, and label in Unicode's form NFC,
        empty where there is none.

    Raises:
        InputError: The file is missing, cannot be read or lacks a column.
    """
    path = folder / data.labels
    table = read_csv(path, all_text=True)
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
    # A row that is cut short has a missing value in place of an empty one.
    return table.assign(label=table["label"].fillna("").map(one_spelling))


def _why(table: CsvTable, names: Names) -> str:
    return next(filter(None, (why_none_match(table.values(c), names) for c in table.columns)), "")
