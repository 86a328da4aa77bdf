"""Where the training images and their labels stand: decided by names, then by content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from twinrun.errors import InputError, shorten
from twinrun.names import one_spelling
from twinrun.scaffold.data_folder import DataFolder, all_of
from twinrun.scaffold.folders import Folder
from twinrun.scaffold.tables import (
    CsvTable,
    Ids,
    Match,
    Names,
    find_label_column,
    match,
    why_none_match,
)


@dataclass(frozen=True)
class TrainingImages:
    """The training images, and where their labels stand; `table` is None for class folders."""

    folder: Folder
    table: CsvTable | None = None
    id_column: str = ""
    label_column: str = "label"
    ids: Ids | None = None

    @property
    def layout(self) -> Literal["folders", "table"]:
        """As data.layout of the settings."""
        return "table" if self.table else "folders"

    @property
    def parts(self) -> list[Folder]:
        """The folders that hold the images: those of the classes, or the one of the table."""
        if self.table is not None:
            return [self.folder]
        return [folder for folder in self.folder.folders if folder.images]

    def labelled(self) -> dict[str, str]:
        """The label of each id of the table, in Unicode's form NFC; empty where there is none."""
        if self.table is None:
            return {}
        labels = self.table.frame[self.label_column].map(one_spelling)
        return dict(zip(self.table.frame[self.id_column], labels, strict=True))

    def counts(self) -> dict[str, int]:
        """How many images each class has."""
        if self.table is None:
            return {one_spelling(folder.name): len(folder.images) for folder in self.parts}
        here = Names.of(self.folder.images).as_ids(self.ids or "stem")
        counts: dict[str, int] = {}
        for image_id, label in self.labelled().items():
            if label:
                counts[label] = counts.get(label, 0) + (image_id in here)
        return counts

    def images(self) -> list[str]:
        """The paths of the training images, relative to the data folder, sorted."""
        return sorted(f"{folder.path}/{name}" for folder in self.parts for name in folder.images)


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
        candidates = named or _unnamed_training(data)
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
    raise all_of(data.root, problems) if problems else _no_training(data)


def _unnamed_training(data: DataFolder) -> list[Folder]:
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
    in_classes = len(folder.filled) > 1 and data.labels is None
    if not folder.images:
        if in_classes:
            return _by_folders(data, folder)
        raise InputError(
            f"no image directly in {data.root / folder.path}",
            fix="Put the training images there, or name their folder with --train.",
        )
    try:
        return _by_table(data, folder, asked, label_column)
    except InputError:
        # Stray images beside class folders: no table names them.
        if in_classes:
            return _by_folders(data, folder)
        raise


def _by_folders(data: DataFolder, folder: Folder) -> TrainingImages:
    deep = [folder.path for folder in folder.filled if not folder.images]
    if deep:
        raise InputError(
            f"class folders in {data.root / folder.path} whose images stand in folders below them:",
            details=shorten(deep),
            fix="Move the images of a class into its folder itself; take out folders that are no "
            "class. If a table labels the images, name their folder with --train.",
        )
    return TrainingImages(folder)


def _by_table(
    data: DataFolder, folder: Folder, asked: Sequence[str], label_column: str | None
) -> TrainingImages:
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
        try:
            found.append(_labelled(data, folder, table, match_, asked, label_column))
        except InputError as problem:
            problems.append(problem)
    if not found:
        if problems:
            raise all_of(data.root, problems)
        far += [problem.what for problem in data.unreadable.values()]
        raise InputError(
            f"no table labels the {len(folder.images):,} images in {data.root / folder.path}",
            details=shorten(far),
            fix="Put a CSV file with a column of ids and a column of labels into "
            f"{data.root}, or the images into a folder per class.",
        )
    if any(other.labelled() != found[0].labelled() for other in found):
        names_ = " or ".join(training.table.path for training in found if training.table)
        raise InputError(
            f"{data.root}: the labels of {folder.path}/ may be those in {names_}",
            fix="Name the table with --labels.",
        )
    return found[0]


def _why(table: CsvTable, names: Names) -> str:
    return next(filter(None, (why_none_match(table.values(c), names) for c in table.columns)), "")


def _labelled(
    data: DataFolder,
    folder: Folder,
    table: CsvTable,
    match_: Match,
    asked: Sequence[str],
    label_column: str | None,
) -> TrainingImages:
    where = data.root / table.path
    column = find_label_column(table, match_.column, asked, label_column, where)
    return TrainingImages(folder, table, match_.column, column, match_.ids)


def labels_beside_folders(data: DataFolder, training: TrainingImages) -> list[TrainingImages]:
    """The tables that label the images of class folders too, with the column that agrees best."""
    names = Names.of(name for folder in training.parts for name in folder.images)
    classes = set(training.counts())
    found: list[TrainingImages] = []
    for path, table in data.tables.items():
        match_ = match(table, names) if path not in data.samples else None
        if match_ is None:
            continue
        others = [column for column in table.columns if column != match_.column]
        column = max(others, key=lambda c: len(table.values(c) & classes), default=None)
        if column is not None and table.values(column) & classes:
            found.append(TrainingImages(training.folder, table, match_.column, column, match_.ids))
    return found
