"""Where the training images and their labels stand: tables outrank the names of folders."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from twinrun.config.contradictions import Contradiction, contradiction, find_contradictions
from twinrun.config.csv_tables import CsvTable, match, says_labels
from twinrun.config.data_folder import DataFolder, join_errors
from twinrun.config.label_layout import Candidate, Labelled, NoTable, TrainingImages
from twinrun.config.label_table import TableOfLabels
from twinrun.config.layouts import LAYOUTS
from twinrun.config.listing import Folder, stems, words_for
from twinrun.config.training_data import by_folders, find_labels, with_all_labels
from twinrun.errors import InputError, shorten


@dataclass(frozen=True)
class Asked:
    """What is known of the labels before the training images are looked at.

    Attributes:
        columns: The columns of the sample submission after its ids; empty when it is not known.
        train: The folders that the user named.
        layout: The name of the layout that the user named.
        label_column: The column of labels that the user named.
        unseen: Classes that the user goes without.
    """

    columns: Sequence[str]
    train: Sequence[str] = ()
    layout: str | None = None
    label_column: str | None = None
    unseen: Collection[str] = ()


def choose_training(data: DataFolder, asked: Asked) -> TrainingImages:
    """Find the training images and their labels.

    Args:
        data: The data folder.
        asked: What is known before.

    Raises:
        InputError: There are none, there are several, they carry no labels, or a table and the
            names of folders contradict each other.
    """
    if data.labels is not None and asked.layout not in (None, TableOfLabels.name):
        raise InputError(
            f"--labels {data.labels} says that the table is right, and "
            f"layout={LAYOUTS.get(asked.layout).answer!r} that the folders are",
            fix="Give one of the two.",
        )
    if asked.train:
        candidates = [data.folder(each, "--train").unwrapped() for each in asked.train]
        return _training(data, candidates, asked)
    named = [folder.unwrapped() for folder in data.listing.named("train") if folder.total]
    candidates = named or _find_unnamed_training(data)
    if not candidates:
        raise InputError(
            f"no folder of training images in {data.root}",
            fix="Name the folder with --train: it holds a folder per class, or images that a table "
            "labels.",
        )
    if len(candidates) > 1 and (together := _together(data, candidates, asked)):
        return together
    found: list[TrainingImages] = []
    problems: list[InputError] = []
    for candidate in candidates:
        try:
            found.append(_training(data, [candidate], asked))
        except Contradiction as problem:
            if len(candidates) == 1:
                raise
            more = "If other folders hold the training images: --train, with their names."
            raise InputError(
                problem.what, details=problem.details, fix=(*problem.fixes, more)
            ) from None
        except InputError as problem:
            problems.append(problem)
    if len(found) == 1:
        return found[0]
    if found:
        names = " or ".join(words_for(training.folders) for training in found)
        raise InputError(
            f"{data.root}: the training images may be those in {names}",
            fix="Name the folder with --train; it may be given several times.",
        )
    raise join_errors(data.root, problems)


def _together(
    data: DataFolder, candidates: Sequence[Folder], asked: Asked
) -> TrainingImages | None:
    """Several folders as one: a table names images of them, or their names differ in a number."""
    shards = len(stems(folder.path for folder in candidates)) == 1
    try:
        found = _training(data, candidates, asked)
    except InputError:
        if shards:
            raise
        return None
    if found.rows is None:
        return found if shards else None
    return None if found.rows.unclear else found


def _find_unnamed_training(data: DataFolder) -> list[Folder]:
    """Folders that hold training images by their content, whatever their names are."""
    found: list[Folder] = []
    tables = [table for path, table in data.tables.items() if path not in data.samples]
    for folder in data.listing.walk():
        inside = any(folder.path.startswith(f"{other.path}/") for other in found)
        if not folder.path or folder.role == "test" or inside:
            continue
        labelled = bool(folder.images) and any(match(table, folder.own) for table in tables)
        if labelled or len([below for below in folder.filled if not below.role]) > 1:
            found.append(folder)
    if found:
        return found
    tests = [folder.path for folder in data.listing.named("test")]
    root = data.listing.without(tests)
    return [root] if root.images or len(root.filled) > 1 else []


def _training(data: DataFolder, folders: Sequence[Folder], asked: Asked) -> TrainingImages:
    """The training images of some folders, in the layout that recognises itself in them."""
    candidate = Candidate(data, folders, asked.columns, asked.label_column, asked.unseen)
    found: list[TrainingImages] = []
    problems: list[InputError] = []
    # Whoever names a table of labels has named the layout.
    chosen = asked.layout or (TableOfLabels.name if data.labels else None)
    for layout in LAYOUTS:
        if chosen not in (None, layout.name):
            continue
        try:
            if (images := layout.recognise(candidate)) is not None:
                found.append(images)
        except InputError as problem:
            problems.append(problem)
    tables = [each for each in found if each.table is not None]
    others = [each for each in found if each.table is None]
    if tables and others:
        taken = _decide(data, tables[0], min(others, key=lambda each: not each.sure), asked)
    elif found:
        taken = min(found, key=lambda images: not images.sure)
    elif problems:
        told = [each for each in problems if not isinstance(each, NoTable) or each.details]
        raise join_errors(data.root, told or problems)
    else:
        raise InputError(
            f"no image in {words_for(folders)}",
            fix="Name the folder of training images with --train.",
        )
    if chosen is None and taken.table is None:
        _refuse_rivals(data, taken, asked, problems)
    return taken


def _refuse_rivals(
    data: DataFolder, folders: TrainingImages, asked: Asked, problems: Sequence[InputError]
) -> None:
    """Refuse class folders that a table speaks against, also one that cannot be read as it is.

    Args:
        data: The data folder.
        folders: By the names of folders.
        asked: What is known before.
        problems: Why no table labels these images.
    """
    for table, other in _tables_beside(data, folders, asked):
        if find_contradictions(other.labels, folders.labels):
            raise contradiction(
                data.root, other, folders, fix=_ways_out(table.path, folders.layout)
            )
    # part1 and part2 are shards, and a table that names their images is one of labels.
    shards = stems(folders.counts)
    if len(shards) > 1 or "" in shards or set(folders.counts).issubset(asked.columns):
        return
    images = list(folders.labels)
    tables = [table for path, table in data.tables.items() if path not in data.samples]
    if problems and any(len(table.columns) > 1 and match(table, images) for table in tables):
        error = join_errors(data.root, problems)
        ways = (*error.fixes, _ways_out("", folders.layout)[1])
        raise InputError(error.what, details=error.details, fix=ways)


def _ways_out(table: str, layout: str) -> tuple[str, str]:
    return (
        f"If the table is right: --labels {table} (a corrected one may lie in any folder).",
        f"If the folders are: --answer layout={LAYOUTS.get(layout).answer!r}.",
    )


def _tables_beside(
    data: DataFolder, folders: TrainingImages, asked: Asked
) -> Iterator[tuple[CsvTable, TrainingImages]]:
    """The tables of labels of images that their folders label, with what they say of them."""
    columns = asked.columns if len(asked.columns) > 1 else []
    for path, table in data.tables.items():
        if path not in data.samples:
            found = find_labels(data.root, table, folders, columns)
            if found is not None:
                yield table, found


def _decide(
    data: DataFolder, table: TrainingImages, folders: TrainingImages, asked: Asked
) -> TrainingImages:
    """A table that covers the images decides; folders count where their names are its classes.

    Raises:
        InputError: Folders that are named after classes say something else than the table.
    """
    assert table.table is not None
    columns, names = asked.columns, list(folders.counts)
    name = table.table.path
    if asked.label_column is None and not says_labels(
        table.table, table.label_column, columns, names
    ):
        note = f"{name} names the images too, but no column of it surely holds labels; "
        return replace(folders, said=[*folders.said, f"{note}the class folders are taken"])
    known = {*table.counts, *(columns if len(columns) > 1 else ())}
    named = by_folders(table, known)
    shown = with_all_labels(table)
    if find_contradictions(shown.labels, named.labels):
        raise contradiction(data.root, shown, named, fix=_ways_out(name, folders.layout))
    if folders.sure and known.issuperset(names) and folders.labels.keys() >= table.labels.keys():
        more = len(folders.labels) - len(table.labels)
        of = f" for {len(table.labels):,} images and none for {more:,} more" if more else ""
        same = f"{name} gives the same labels{of}; the class folders are taken"
        return replace(folders, said=[*folders.said, same])
    strange = [each for each in names if each not in known]
    if not strange:
        return table
    note = f"{name} labels the images; the names of the folders are not looked at: "
    return replace(table, said=[*table.said, note + ", ".join(shorten(strange, most=3))])


def notes_on_overruled(data: DataFolder, training: TrainingImages, asked: Asked) -> list[str]:
    """Which labels the user's word overrules, a line each; empty where nothing is contradicted."""
    if asked.layout is None and data.labels is None:
        return []
    others: list[Labelled]
    if training.table is not None:
        others = [by_folders(training, training.counts)]
    else:
        others = [other for _, other in _tables_beside(data, training, asked)]
    wrong = [(other, len(find_contradictions(training.labels, other.labels))) for other in others]
    return [
        f"{number:,} {'image' if number == 1 else 'images'} labelled differently by "
        f"{other.source}; {training.source} decides, as you said"
        for other, number in wrong
        if number
    ]
