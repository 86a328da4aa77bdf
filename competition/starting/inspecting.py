"""What a data folder shows: the answers to a new project's questions, or all that is wrong."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image, UnidentifiedImageError

from competition.errors import InputError, shorten
from competition.starting.asking import (
    Asked,
    Columns,
    choose_asked,
    refuse_strangers,
    what_is_asked,
)
from competition.starting.gathering import DataFolder, all_of
from competition.starting.labelling import Training, choose_training, labels_beside_folders
from competition.starting.listing import Folder
from competition.starting.tables import Ids, Names, match_values

# Of so many images the sizes are read: enough for a median.
_SIZES = 200
# A class with fewer images can hardly be learnt or judged.
_FEW = 10


@dataclass(frozen=True)
class Findings:
    """What was seen, in the terms of the engine's settings.

    Attributes:
        folder: The data folder; the one in it that an archive put everything into.
        layout: As data.layout.
        train: The folder of training images, relative to `folder`; `test` likewise.
        classes: In the order of the sample submission's columns; otherwise sorted, as numbers if
            all are.
        labels: The CSV of labels, relative to `folder`; None for class folders.
        id_column: Of the labels, or of the sample submission.
        label_column: Of the labels, or of a sample submission with one column besides the ids.
        ids: As data.ids.
        sample_submission: Relative to `folder`.
        columns: As submission.columns.
        train_images: Number of training images; `test_images` likewise.
        counts: Training images of each class.
        width: Median of a sample of the training images, in pixels; `height` likewise.
        smallest: The shortest side of these images, in pixels; `largest` the longest.
        image_size: Side to train at, in pixels: a multiple of 32, at most 224.
        notes: What a user should know.
        questions: What the folder leaves open.
    """

    folder: Path
    layout: Literal["folders", "table"]
    train: str
    test: str
    classes: list[str]
    labels: str | None
    id_column: str
    label_column: str
    ids: Ids
    sample_submission: str
    columns: Columns
    train_images: int
    test_images: int
    counts: dict[str, int]
    width: int
    height: int
    smallest: int
    largest: int
    image_size: int
    notes: list[str]
    questions: list[str]


def inspect(
    folder: Path,
    *,
    train: str | None = None,
    test: str | None = None,
    labels: str | None = None,
    sample: str | None = None,
    label_column: str | None = None,
) -> Findings:
    """Look at a data folder; no image is decoded.

    Args:
        folder: As it was unpacked.
        train: The folder of training images, where its name does not tell.
        test: The folder of test images, likewise.
        labels: The CSV of labels, where several would do.
        sample: The sample submission, where its name does not tell.
        label_column: The column of the labels, where several would do.

    Raises:
        InputError: The engine could not train on it; everything that is wrong is listed at once.
    """
    problems: list[InputError] = []
    data = DataFolder(folder, sample=sample, labels=labels)
    asked = choose_asked(data, test, problems)
    training: Training | None = None
    try:
        refuse_strangers(data, asked)
    except InputError as problem:
        problems.append(problem)
    try:
        training = choose_training(data, asked.columns, train, label_column)
    except InputError as problem:
        problems.append(problem)
    if problems or training is None or asked.sample is None or asked.test is None:
        raise all_of(data.root, problems)
    counts = {name: number for name, number in training.counts().items() if number}
    if len(counts) < 2:
        raise InputError(
            f"{data.root}: the training images are of {len(counts)} class "
            f"({', '.join(counts) or 'none'}); two are needed",
            mend="Look into the labels, or name their column with --label-column.",
        )
    questions: list[str] = []
    classes = _in_order(counts, asked.columns)
    columns = what_is_asked(data, asked.sample, classes, questions)
    images = training.images()
    width, height, smallest, largest = _sizes(data.root, images)
    return Findings(
        folder=data.root,
        layout=training.layout,
        train=training.folder.path,
        test=asked.test.path,
        classes=classes,
        labels=training.table.path if training.table else None,
        id_column=training.id_column or asked.sample.columns[0],
        label_column=_label_column(training, asked, columns),
        ids=_ids(data, training, asked, asked.test),
        sample_submission=asked.sample.path,
        columns=columns,
        train_images=len(images),
        test_images=len(asked.test.images),
        counts={name: counts[name] for name in classes},
        width=width,
        height=height,
        smallest=smallest,
        largest=largest,
        image_size=min(224, max(32, min(width, height) // 32 * 32)),
        notes=_notes(data, training, asked.test, counts),
        questions=questions,
    )


def _in_order(counts: Mapping[str, int], columns: Sequence[str]) -> list[str]:
    if set(columns) == set(counts):
        return list(columns)
    if all(name.isascii() and name.isdecimal() for name in counts):
        return sorted(counts, key=lambda name: (int(name), name))
    return sorted(counts)


def _label_column(training: Training, asked: Asked, columns: Columns) -> str:
    if training.table is None and columns != "classes":
        return asked.columns[0]
    return training.label_column


def _ids(data: DataFolder, training: Training, asked: Asked, test: Folder) -> Ids:
    """How ids name image files, by the sample submission; a table must do it alike.

    Raises:
        InputError: It does not: the engine has one rule for all files.
    """
    ids = match_values(asked.ids, Names.of(test.images))[0]
    if training.ids is not None and training.ids != ids and asked.sample and training.table:
        ending = {"stem": "without", "name": "with"}
        raise InputError(
            f"{data.root}: ids are file names {ending[training.ids]} extension in "
            f"{training.table.path}, {ending[ids]} it in {asked.sample.path}",
            mend=f"Write those of {training.table.path} {ending[ids]} extension.",
        )
    return ids


def _sizes(root: Path, images: Sequence[str]) -> tuple[int, int, int, int]:
    """Median width and height, shortest and longest side, of evenly chosen images, in pixels."""
    step = max(1, len(images) // _SIZES)
    sizes = []
    for name in images[::step][:_SIZES]:
        try:
            with Image.open(root / name) as image:
                sizes.append(image.size)
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
            continue
    if not sizes:
        raise InputError(
            f"none of the training images in {root} can be read",
            details=shorten(images),
            mend="Fetch the data again.",
        )
    widths, heights = zip(*sizes, strict=True)
    sides = [*widths, *heights]
    return int(statistics.median(widths)), int(statistics.median(heights)), min(sides), max(sides)


def _notes(
    data: DataFolder, training: Training, test: Folder, counts: Mapping[str, int]
) -> list[str]:
    notes = []
    fewest = min(counts, key=lambda name: (counts[name], name))
    if counts[fewest] < _FEW:
        notes.append(f"the smallest class, {fewest}, has {counts[fewest]} images")
    folders = [training.folder, test]
    if training.table is None:
        folders += training.folder.folders
        if training.folder.images:
            notes.append(f"images directly in {training.folder.path}/ belong to no class: ignored")
    else:
        here = Names.of(training.folder.images).as_ids(training.ids or "stem")
        labelled = {image_id for image_id, label in training.labelled().items() if label}
        for what, strays in (
            ("images without a label", here - labelled),
            ("labels without an image", labelled - here),
        ):
            if strays:
                notes.append(f"{len(strays)} {what}: {', '.join(shorten(sorted(strays), 3))}")
    for folder in folders:
        if folder.files:
            others = ", ".join(shorten(folder.files, 3))
            notes.append(f"{len(folder.files)} files in {folder.path}/ are no images: {others}")
    if test.folders:
        notes.append(f"folders in {test.path}/ are ignored")
    if training.table is None:
        notes += _notes_on_tables(data, training)
    return notes


def _notes_on_tables(data: DataFolder, training: Training) -> list[str]:
    """What tables say otherwise of the images of class folders: the folders decide."""
    notes = []
    by_folder = {name: folder.name for folder in training.folder.folders for name in folder.images}
    for table in labels_beside_folders(data, training):
        labels = table.labelled()
        by_name = table.ids == "name"
        other = [
            name
            for name, label in by_folder.items()
            if labels.get(name if by_name else name.rpartition(".")[0], label) != label
        ]
        path = table.table.path if table.table else ""
        said = f"{path} labels {len(other)} images otherwise; " if other else f"{path} agrees; "
        notes.append(f"{said}the class folders are taken")
    return notes
