"""What no project can be made from, though it is clear what the data folder holds."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from twinrun.config.csv_tables import CsvTable, Ids, Names, match_values
from twinrun.config.data_folder import DataFolder
from twinrun.config.label_layout import TrainingImages
from twinrun.config.listing import Folder
from twinrun.errors import InputError, shorten
from twinrun.file_names import stem_of
from twinrun.names import ClassName

# More different values than this, and more than every second row has its own: no classes.
_MANY_CLASSES = 20


def refuse_mixed(
    data: DataFolder, training: TrainingImages, sample: CsvTable, test: Folder
) -> None:
    """Raise InputError when training and test images are in one folder."""
    if test.path != training.folder.path:
        return
    folder = data.root / test.path
    raise InputError(
        f"training and test images stand together in {folder}",
        fix=f"Move the {len(sample.ids):,} images that {data.root / sample.path} names into "
        f"a folder {data.root / 'test'}.",
    )


def refuse_classes(data: DataFolder, training: TrainingImages, classes: Sequence[str]) -> None:
    """Raise InputError when the settings could not hold these classes."""
    where = data.root / training.folder.path
    fix = "Rename these class folders."
    if training.table is not None:
        where = data.root / training.table.path
        fix = (
            f"Fix the labels in the column {training.label_column!r}, or name a different one with "
            "--label-column."
        )
        rows = len(training.table.frame)
        if len(classes) > max(_MANY_CLASSES, rows / 2):
            raise InputError(
                f"{where}: the column {training.label_column!r} has {len(classes):,} different "
                f"values in {rows:,} rows: no classes",
                fix="Name the column of labels with --label-column.",
            )
    if len(classes) < 2:
        raise InputError(
            f"{where} has only one class: {', '.join(classes)}",
            fix="There must be two or more of them.",
        )
    problems = [problem for name in classes if (problem := _not_allowed(name))]
    lower: dict[str, str] = {}
    for name in classes:
        other = lower.setdefault(name.lower(), name)
        if other != name:
            problems.append(f"{other!r} and {name!r} differ only in upper and lower case")
    if problems:
        raise InputError(f"{where}: classes that cannot be:", details=shorten(problems), fix=fix)


def _not_allowed(name: str) -> str:
    try:
        TypeAdapter(ClassName).validate_python(name)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        return f"{name!r}, allowed: {message}"
    return ""


def find_ids(data: DataFolder, training: TrainingImages, sample: CsvTable, test: Folder) -> Ids:
    """How the sample submission names the test images.

    Raises:
        InputError: The table of labels names the training images otherwise.
    """
    ids, _ = match_values(sample.ids, Names.of(test.images))
    if training.table is not None and training.ids != ids:
        table, other = data.root / training.table.path, data.root / sample.path
        without, with_ = (other, table) if ids == "stem" else (table, other)
        raise InputError(
            f"{with_} has ids with the files' extension, {without} without it",
            fix=f"Make both the same: write the ids of {table} as {other} does.",
        )
    return ids


def refuse_shared_ids(data: DataFolder, training: TrainingImages, test: Folder, ids: Ids) -> None:
    """Raise InputError when two images of a part have one id."""
    problems: list[str] = []
    for part in (training.parts, [test]):
        owners: dict[str, list[str]] = {}
        for folder in part:
            for name in folder.images:
                image_id = stem_of(name) if ids == "stem" else name
                owners.setdefault(image_id, []).append(f"{folder.path}/{name}")
        problems += [f"{i}: {', '.join(paths)}" for i, paths in owners.items() if len(paths) > 1]
    if problems:
        extension = "without" if ids == "stem" else "with"
        raise InputError(
            f"{data.root}: several images with one id, which is the file's name {extension} "
            "extension and without its folder:",
            details=shorten(problems),
            fix="Rename all but one, for example with the class in front, or remove them.",
        )
