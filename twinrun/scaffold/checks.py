"""What no project can be made from, though it is clear what the data folder holds."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from twinrun.config.csv_tables import MANY_CLASSES, CsvTable
from twinrun.config.data_folder import DataFolder
from twinrun.config.image_ids import Ids, Names, image_id, match_values
from twinrun.config.label_layout import TrainingImages
from twinrun.config.listing import words_for
from twinrun.config.measured import are_counted_up
from twinrun.errors import InputError, shorten
from twinrun.names import ClassName
from twinrun.scaffold.sample import TestFolders


def tell_apart(training: TrainingImages, test: TestFolders) -> tuple[TrainingImages, TestFolders]:
    """Training and test images that may lie in the same folder: those with a label are training.

    Raises:
        InputError: There is no test image.
    """
    there = set(test.images)
    images = tuple(path for path in test.images if path not in training.labels)
    if not images:
        raise InputError(
            f"all images in {words_for(test.folders)} are training images by {training.source}",
            fix="Name the folder of the test images with --test, or the table of labels with "
            "--labels.",
        )
    return training.beside(there), TestFolders(
        test.folders, images, shared=len(images) < len(there)
    )


def refuse_classes(
    data: DataFolder, training: TrainingImages, classes: Sequence[str], *, named: bool
) -> None:
    """Raise InputError when the settings could not hold these classes.

    Args:
        data: The data folder.
        training: Its training images.
        classes: Of them, and those that the sample submission asks for.
        named: Whether the user named the column of labels: it may have as many as it has rows.
    """
    where: object = words_for(training.folders)
    fix = (
        "Name a table of labels with --labels: it may lie in any folder, and give them other names."
    )
    if training.table is not None:
        where = data.root / training.table.path
        fix = (
            f"Fix the labels in the column {training.label_column!r}, or name a different one with "
            "--label-column."
        )
        rows = len(training.table.frame)
        most = max(MANY_CLASSES, rows / 2)
        if len(classes) > most and not named and not are_counted_up(classes):
            raise InputError(
                f"{where}: the column {training.label_column!r} has {len(classes):,} different "
                f"values in {rows:,} rows: no classes",
                fix="Name the column of labels with --label-column; this one, if each value is a "
                "class.",
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


def find_ids(sample: CsvTable, test: TestFolders) -> Ids:
    """How the sample submission names the test images."""
    return match_values(sample.ids, Names.of(test.images))[0]


def refuse_shared_ids(data: DataFolder, test: TestFolders, ids: Ids) -> None:
    """Raise InputError when two test images have one id."""
    owners: dict[str, list[str]] = {}
    for path in test.images:
        owners.setdefault(image_id(ids, path), []).append(path)
    problems = [f"{i}: {', '.join(paths)}" for i, paths in owners.items() if len(paths) > 1]
    if problems:
        what = {"stem": "file's name without extension", "name": "file's name", "path": "path"}
        raise InputError(
            f"{data.root}: several test images with one id, which is the {what[ids]}, as the "
            "sample submission names them:",
            details=shorten(problems),
            fix="Name the one folder with --test that the sample submission means.",
        )
