"""The training images of a data folder with their labels: one reading, checked against the other.

Labels may be written twice, in a table and as the names of folders. What the settings name is
read; where the other one says something else, nothing is read at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.config.contradictions import contradiction, find_contradictions, folder_classes
from twinrun.config.csv_tables import (
    CsvTable,
    csv_paths,
    match,
    named_labels,
    read_table,
    sample_paths,
    says_labels,
)
from twinrun.config.image_ids import find_images
from twinrun.config.label_layout import Labelled, TrainingImages
from twinrun.config.label_table import TableOfLabels, label_by_table
from twinrun.config.layouts import LAYOUTS
from twinrun.config.listing import Folder, scan, words_for
from twinrun.config.table_labels import choose_labels
from twinrun.errors import InputError
from twinrun.submission_forms import FORMS

if TYPE_CHECKING:
    from twinrun.config.settings import Settings

_FIX = (
    "Correct the one that is wrong: data.labels may name a corrected table in any folder.",
    "Or set data.contradictions = 'ignore': what data.layout names is then taken.",
)


def read_training(settings: Settings) -> Labelled:
    """Every training image with its label, as the settings' layout has it.

    Raises:
        InputError: Folder and settings do not agree; or a table and the folders' names do not, and
            data.contradictions does not say to ignore that.
    """
    data, folder = settings.data, settings.data_folder
    found = LAYOUTS.get(data.layout).read_images(
        data, folder, settings.classes, settings.submission.unseen
    )
    if data.contradictions == "ignore":
        return found
    if data.layout == TableOfLabels.name:
        others: Iterator[Labelled] = iter([by_folders(found, settings.classes)])
    else:
        others = _tables_beside(settings, found)
    for other in others:
        if find_contradictions(found.labels, other.labels):
            raise contradiction(folder, found, other, fix=_FIX)
    return found


def by_folders(found: Labelled, classes: Collection[str]) -> Labelled:
    """What the names of folders say of images that a table labels.

    Args:
        found: By a table.
        classes: That folders may be named after.
    """
    return Labelled(
        folder_classes(found.labels, found.folders, classes),
        found.folders,
        f"the folders in {words_for(found.folders)}",
    )


def _tables_beside(settings: Settings, found: Labelled) -> Iterator[TrainingImages]:
    """The tables of labels in the data folder itself and in the folders of training images."""
    root = settings.data_folder
    listing = [scan(root, depth=1), *(folder for folder in found.folders if folder.path)]
    paths = [path for folder in listing for path in csv_paths(_alone(folder))]
    samples = {settings.data.sample_submission, *sample_paths(paths)}
    form = FORMS.get(settings.submission.columns)
    # A form that not any one column will do for asks for the classes by their names.
    asked = settings.classes if form.sample_problem(["?"], settings.asked_classes)[0] else []
    for path in paths:
        if path in samples:
            continue
        try:
            table = read_table(root, path)
        except InputError:  # it is not what the settings name
            continue
        if (other := find_labels(root, table, found, asked)) is not None:
            yield other


def _alone(folder: Folder) -> Folder:
    return Folder(folder.path, folder.images, folder.files, ())


def find_labels(
    root: Path, table: CsvTable, found: Labelled, asked: Sequence[str]
) -> TrainingImages | None:
    """What a table says of images that their folders label, if it is a table of labels.

    Args:
        root: The data folder.
        table: Any table of it.
        found: By the folders.
        asked: The classes that the sample submission names; empty where it names none.

    Returns:
        What it says; of several columns that may hold labels the one that agrees with the folders,
        or else the first. None where no column is one of labels.
    """
    images = list(found.labels)
    match_ = match(table, images)
    if match_ is None:
        return None
    classes = set(found.labels.values())
    try:
        table, column = choose_labels(table, match_.column, asked, None, root / table.path)
        columns = [column]
    except InputError:  # several columns may be it, or an image has several labels
        others = [each for each in table.columns if each != match_.column]
        named = named_labels(table, others, asked)
        columns = [*named, *(each for each in others if _are_classes(table, each, classes))]
    readings = [
        with_all_labels(label_by_table(found.folders, table, match_.column, each))
        for each in columns
        if says_labels(table, each, asked, classes)
    ]
    agreeing = (each for each in readings if not find_contradictions(each.labels, found.labels))
    return next(agreeing, readings[0] if readings else None)


def _are_classes(table: CsvTable, column: str, classes: Collection[str]) -> bool:
    values = table.values(column)
    return bool(values) and values.issubset(classes)


def with_all_labels(found: TrainingImages) -> TrainingImages:
    """A reading in which an image whose rows differ has all its labels, and so agrees with none.

    Args:
        found: By a table.
    """
    conflicting = found.rows.conflicting if found.rows else {}
    if not conflicting:
        return found
    paths = find_images(set(conflicting), [path for each in found.folders for path in each.below])
    several = {paths[name][0]: " and ".join(labels) for name, labels in conflicting.items()}
    return replace(found, labels={**found.labels, **several})
