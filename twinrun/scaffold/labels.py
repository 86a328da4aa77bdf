"""Where the training images and their labels stand: decided by names, then by content."""

from __future__ import annotations

from collections.abc import Sequence

from twinrun.config.csv_tables import Names, match
from twinrun.config.data_folder import DataFolder, join_errors
from twinrun.config.label_layout import Candidate, TrainingImages
from twinrun.config.label_table import label_by_table
from twinrun.config.layouts import LAYOUTS
from twinrun.config.listing import Folder
from twinrun.errors import InputError, shorten


def choose_training(
    data: DataFolder, asked: Sequence[str], train: str | None, label_column: str | None
) -> TrainingImages:
    """Find the training images and their labels.

    Args:
        data: The data folder.
        asked: The columns of the sample submission after its ids; empty when it is not known.
        train: The folder that the user named.
        label_column: The column of labels that the user named.

    Raises:
        InputError: There are none, there are several, or they carry no labels.
    """
    if train is not None:
        candidates = [data.folder(train, "--train")]
    else:
        named = [folder for folder in data.listing.named("train") if folder.total]
        candidates = named or _find_unnamed_training(data)
    found: list[TrainingImages] = []
    problems: list[InputError] = []
    for candidate in candidates:
        try:
            found.append(_training(data, candidate.unwrapped(), asked, label_column))
        except InputError as problem:
            problems.append(problem)
    if len(found) == 1:
        return found[0]
    if found:
        names = " or ".join(f"{training.folder.path}/" for training in found)
        raise InputError(
            f"{data.root}: the training images may be those in {names}",
            fix="Name the folder with --train.",
        )
    raise join_errors(data.root, problems) if problems else _no_training(data)


def _find_unnamed_training(data: DataFolder) -> list[Folder]:
    """Folders that hold training images by their content, whatever their names are."""
    found: list[Folder] = []
    tables = [table for path, table in data.tables.items() if path not in data.samples]
    for folder in data.listing.walk():
        inside = any(folder.path.startswith(f"{other.path}/") for other in found)
        if not folder.path or folder.role == "test" or inside:
            continue
        names = Names.of(folder.images)
        labelled = bool(folder.images) and any(match(table, names) for table in tables)
        if labelled or len([below for below in folder.filled if not below.role]) > 1:
            found.append(folder)
    return found


def _no_training(data: DataFolder) -> InputError:
    loose = [folder.name for folder in data.listing.filled if not folder.role]
    if data.listing.images or len(loose) > 1:
        what = "images" if data.listing.images else f"class folders ({', '.join(shorten(loose))})"
        return InputError(
            f"the training {what} stand in {data.root} itself",
            fix="Move them into a folder train/ in it, and test images into a folder test/.",
        )
    return InputError(
        f"no folder of training images in {data.root}",
        fix="Put a folder train/ there, with a folder per class or with the images of a table of "
        "labels; or name the folder with --train.",
    )


def _training(
    data: DataFolder, folder: Folder, asked: Sequence[str], label_column: str | None
) -> TrainingImages:
    """The training images of a folder, in the layout that recognises itself in it."""
    candidate = Candidate(data, folder, asked, label_column)
    found: list[TrainingImages] = []
    problems: list[InputError] = []
    for layout in LAYOUTS:
        try:
            if (images := layout.recognise(candidate)) is not None:
                found.append(images)
        except InputError as problem:
            problems.append(problem)
    if found:
        return min(found, key=lambda images: not images.sure)
    if problems:
        raise join_errors(data.root, problems)
    raise InputError(
        f"no image directly in {data.root / folder.path}",
        fix="Put the training images there, or name their folder with --train.",
    )


def labels_beside_folders(data: DataFolder, training: TrainingImages) -> list[TrainingImages]:
    """The tables that label the images of class folders too, with the column that agrees best."""
    names = Names.of(name for folder in training.parts for name in folder.images)
    classes = set(training.counts)
    found: list[TrainingImages] = []
    for path, table in data.tables.items():
        match_ = match(table, names) if path not in data.samples else None
        if match_ is None:
            continue
        others = [column for column in table.columns if column != match_.column]
        column = max(others, key=lambda c: len(table.values(c) & classes), default=None)
        if column is not None and table.values(column) & classes:
            found.append(label_by_table(training.folder, table, match_, column))
    return found
