"""What a data folder says about its competition: the answers to a new project's questions."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from twinrun.config.data_folder import DataFolder, join_errors
from twinrun.config.image_ids import Ids
from twinrun.config.label_layout import TrainingImages
from twinrun.config.listing import Folder, refuse_deep, setting_for
from twinrun.config.one_hot import ONE_PER_CLASS
from twinrun.data.decoding import read_header
from twinrun.data.opening import UNREADABLE
from twinrun.errors import InputError, shorten
from twinrun.names import one_spelling
from twinrun.scaffold.checks import (
    find_ids,
    refuse_classes,
    refuse_shared_ids,
    tell_apart,
)
from twinrun.scaffold.labels import Asked, choose_training, notes_on_overruled
from twinrun.scaffold.notes import notes_on
from twinrun.scaffold.sample import (
    TestData,
    TestFolders,
    choose_test_data,
    find_form,
    refuse_strangers,
)

# So many images are opened to see how large they are.
LOOKED_AT = 200
# Sides to train at, in pixels: the one of most pretrained networks, and the least that there is.
LARGEST_SUGGESTED = 224
SMALLEST_SUGGESTED = 32


@dataclass(frozen=True)
class Findings:
    """A data folder, in the words of competition.toml; paths are relative to `folder`.

    Attributes:
        folder: The folder that holds the data: the one that was named, or the one in it that an
            archive put everything into.
        layout: As data.layout.
        train, test: The folders of images, as data.train and data.test.
        classes: In the sample submission's order where its columns are the classes; otherwise
            sorted, by number if all are whole numbers. Of a single probability, the class that its
            column is named after comes last.
        unseen: Classes that the sample submission asks for and no training image is of.
        labels: The table of labels, its full path where it lies elsewhere; None for class folders.
        id_column: The table's column of ids, or the sample submission's for class folders.
        label_column: The table's column of labels; for class folders the sample submission's only
            column, or "label".
        ids: As data.ids: what the sample submission names images by.
        sample_submission: The file; its full path where it lies elsewhere.
        contradictions: As data.contradictions.
        columns: What the sample asks for, as submission.columns.
        train_images, test_images: How many there are.
        counts: Training images of each class, in the order of `classes`.
        width, height: Medians in pixels, as the files' headers say, not turned upright.
        shorter_side: Median of the images' shorter sides, in pixels.
        smallest, largest: The smallest and the largest side, in pixels.
        image_size: A side to train at, in pixels: a multiple of 32 that is at most 224 and not
            above the median shorter side, but at least 32.
        notes: What a user should know, a line each.
        questions: What the folder leaves open, a phrase each; not what no folder shows, such as the
            competition's name or its metric.
    """

    folder: Path
    layout: str
    train: str | list[str]
    test: str | list[str]
    classes: list[str]
    unseen: list[str]
    labels: str | None
    id_column: str
    label_column: str
    ids: Ids
    sample_submission: str
    contradictions: str
    columns: str
    train_images: int
    test_images: int
    counts: dict[str, int]
    width: int
    height: int
    shorter_side: int
    smallest: int
    largest: int
    image_size: int
    notes: list[str]
    questions: list[str]


def inspect(
    folder: Path,
    *,
    train: str | Sequence[str] = (),
    test: str | Sequence[str] = (),
    labels: str | None = None,
    sample: str | None = None,
    label_column: str | None = None,
    layout: str | None = None,
    unseen: Sequence[str] = (),
) -> Findings:
    """Look at a data folder: names first, and content where names leave several possibilities.

    Of at most 200 images the header is read. None is decoded but a few where a folder is called
    as masks are.

    Args:
        folder: The data folder.
        train: The folder of training images, or several, relative to the data folder, where others
            may be it.
        test: The folder of test images, or several, likewise.
        labels: The table of labels, likewise or anywhere else; it is used whatever folders say.
        sample: The sample submission, likewise or anywhere else.
        label_column: The table's column of labels, where several may be it.
        layout: The name of the layout, where a table and folders contradict each other.
        unseen: Classes that the sample submission asks for, and that no training image is to be of.

    Raises:
        InputError: The engine could not train on this, or what is meant cannot be decided; all of
            it in one message, with what to do about each.
    """
    data = DataFolder(folder, sample, labels)
    problems: list[InputError] = []
    questions: list[str] = []
    asked, training = TestData(None, None), None
    known = Asked((), _listed(train), layout, label_column, list(map(one_spelling, unseen)))
    try:
        asked = choose_test_data(data, _listed(test), problems)
    except InputError as problem:
        problems.append(problem)
    try:
        known = replace(known, columns=asked.columns)
        training = choose_training(data, known)
    except InputError as problem:
        problems.append(problem)
    refuse_deep(data.root, _looked_into(data, training, asked.test))
    if problems or training is None or asked.sample is None or asked.test is None:
        raise join_errors(data.root, problems)
    table, images = asked.sample, asked.test
    training, images = tell_apart(training, images)

    counts, paths, columns = training.counts, training.images, "classes"
    named = [one_spelling(name) for name in asked.columns]
    unseen = _find_unseen(training, named, known.unseen)
    classes = _order_classes(list(counts), [name for name in named if name not in unseen])
    ids: Ids = "stem"
    sides: list[tuple[int, int]] = []
    broken: list[str] = []
    try:
        refuse_classes(data, training, classes, named=known.label_column is not None)
        columns, table = find_form(
            data,
            table,
            images,
            [*classes, *unseen],
            questions,
            named=known.label_column is not None,
        )
        images = images.asked_by(table)
    except InputError as problem:
        problems.append(problem)
    try:
        refuse_strangers(data, table, images)
        ids = find_ids(table, images)
        refuse_shared_ids(data, images, ids)
    except InputError as problem:
        problems.append(problem)
    try:
        sides, broken = _sizes(data.root, paths)
    except InputError as problem:
        problems.append(problem)
    if problems:
        raise join_errors(data.root, problems)

    overruled = notes_on_overruled(data, training, known)
    notes = [
        *notes_on(data, training, table, images, ids),
        *overruled,
        *_notes_on_unseen(training, unseen, table.path),
    ]
    if broken:
        notes.insert(
            0,
            f"of {len(sides) + len(broken)} images looked at {len(broken)} cannot be read: "
            f"{', '.join(shorten(broken, 3))}; a run refuses this until it is fixed",
        )
    shorter = int(statistics.median(min(size) for size in sides))
    return Findings(
        folder=data.root,
        layout=training.layout,
        train=setting_for(training.folders),
        test=setting_for(images.folders),
        classes=classes,
        unseen=unseen,
        labels=training.table.path if training.table else None,
        id_column=training.id_column or table.columns[0],
        label_column=_label_column(training, asked),
        ids=ids,
        sample_submission=table.path,
        contradictions="ignore" if overruled else "error",
        columns=columns,
        train_images=len(paths),
        test_images=len(images.images),
        counts={name: counts[name] for name in classes},
        width=int(statistics.median(width for width, _ in sides)),
        height=int(statistics.median(height for _, height in sides)),
        shorter_side=shorter,
        smallest=min(min(size) for size in sides),
        largest=max(max(size) for size in sides),
        image_size=max(SMALLEST_SUGGESTED, min(LARGEST_SUGGESTED, shorter // 32 * 32)),
        notes=notes,
        questions=questions,
    )


def _find_unseen(
    training: TrainingImages, named: Sequence[str], chosen: Collection[str]
) -> list[str]:
    """Classes that the sample or the user names, and no training image is of."""
    none = {*training.unseen, *chosen} - training.counts.keys()
    return [name for name in dict.fromkeys([*named, *chosen]) if name in none]


def _notes_on_unseen(training: TrainingImages, asked: Sequence[str], sample: str) -> list[str]:
    """What a user should know of classes that no training image is of."""
    notes: list[str] = []
    never = [name for name in training.unseen if name not in asked]
    if training.table is not None and training.label_column == ONE_PER_CLASS:
        notes.append(f"{training.table.path} has a column of 0 and 1 for each class")
        if never:
            none = ", ".join(shorten(never, 3))
            notes.append(f"columns of 0 only in {training.table.path}, no classes: {none}")
    if asked:
        notes.append(
            f"no training image is of {', '.join(asked)}, which {sample} asks for: nothing of it "
            "can be learnt, and its probability is always 0"
        )
    return notes


def _looked_into(
    data: DataFolder, training: TrainingImages | None, test: TestFolders | None
) -> Sequence[Folder]:
    """The folders of the images; all, where some were not found."""
    return [*training.folders, *test.folders] if training and test else [data.listing]


def _listed(names: str | Sequence[str]) -> Sequence[str]:
    return [names] if isinstance(names, str) else names


def _label_column(training: TrainingImages, asked: TestData) -> str:
    if training.table is None and len(asked.columns) == 1:
        return asked.columns[0]
    return training.label_column


def _order_classes(classes: list[str], asked: Sequence[str]) -> list[str]:
    columns = list(asked)
    if len(columns) > 1 and sorted(columns) == sorted(classes):
        return columns
    try:
        ordered = sorted(classes, key=lambda name: (int(name), name))
    except ValueError:
        ordered = sorted(classes)
    if len(columns) == 1 and len(ordered) == 2:
        ordered.sort(key=lambda name: name.lower() == columns[0].lower())
    return ordered


def _sizes(root: Path, images: Sequence[str]) -> tuple[list[tuple[int, int]], list[str]]:
    """(width, height) in pixels of evenly spaced images, and the paths of the unreadable ones."""
    some = min(LOOKED_AT, len(images))
    sizes: list[tuple[int, int]] = []
    broken: list[str] = []
    for path in (images[number * len(images) // some] for number in range(some)):
        try:
            sizes.append(read_header(root / path)[:2])
        except UNREADABLE:
            broken.append(path)
    if not sizes:
        raise InputError(
            f"{root}: none of the {some} training images looked at can be read",
            details=shorten(broken),
            fix="Fetch these files again.",
        )
    return sizes, broken
