"""What a user should know about a data folder, in a line each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from twinrun.config.csv_tables import CsvTable, Ids, Names
from twinrun.config.data_folder import DataFolder
from twinrun.config.label_layout import TrainingImages
from twinrun.config.listing import Folder
from twinrun.errors import shorten
from twinrun.names import one_spelling
from twinrun.scaffold.labels import labels_beside_folders

# A class with fewer images leaves hardly any to hold out.
FEW = 10

_REFUSED = "a run refuses this until it is fixed"


def notes_on(
    data: DataFolder, training: TrainingImages, sample: CsvTable, test: Folder, ids: Ids
) -> list[str]:
    """Everything that is left out, or that a run will refuse, or that is scarce."""
    counts = training.counts
    smallest = min(counts, key=lambda name: counts[name])
    notes = [*_find_refused(training, sample, test, ids), *_find_left_out(data, training, test)]
    if counts[smallest] < FEW:
        notes.append(f"the smallest class, {smallest}, has {counts[smallest]} images")
    if training.folder not in training.parts:
        notes += _disagreements(data, training)
    if data.root.resolve() != data.given.resolve():
        notes.append(f"the data stands in {data.root}")
    return notes


def _find_refused(
    training: TrainingImages, sample: CsvTable, test: Folder, ids: Ids
) -> Iterator[str]:
    if training.table is not None:
        here = Names.of(training.folder.images).as_ids(ids)
        labels = training.labels
        column = training.table.frame[training.id_column]
        what, where = training.table.path, f"{training.folder.path}/"
        yield from _some(here - set(labels), "image", f"in {where} without a row in {what}")
        yield from _some(set(labels) - here, "id", f"of {what} without an image in {where}")
        yield from _some({i for i in labels if not labels[i]}, "id", f"of {what} without a label")
        yield from _some(set(column[column.duplicated()]), "id", f"of {what} more than once")
    there = Names.of(test.images).as_ids(ids)
    column = sample.frame[sample.columns[0]]
    what, where = sample.path, f"{test.path}/"
    yield from _some(set(column) - there, "id", f"of {what} without an image in {where}")
    yield from _some(there - set(column), "image", f"in {where} that {what} does not name")
    yield from _some(set(column[column.duplicated()]), "id", f"of {what} more than once")


def _some(ids: Collection[str], what: str, where: str) -> Iterator[str]:
    if ids:
        yield f"{_many(len(ids), what)} {where}: {_examples(sorted(ids))}; {_REFUSED}"


def _find_left_out(data: DataFolder, training: TrainingImages, test: Folder) -> Iterator[str]:
    for top, parts in ((training.folder, training.parts), (test, [test])):
        strays = [
            path
            for folder in {part.path: part for part in [top, *parts]}.values()
            for path in _paths(folder, folder.files)
            if path not in data.tables
        ]
        if strays:
            are = "are not images" if len(strays) > 1 else "is not an image"
            short = [path.removeprefix(f"{top.path}/") for path in strays]
            yield f"{_many(len(strays), 'file')} in {top.path}/ {are}: {_examples(short)}"
        if top not in parts and top.images:
            count = _many(len(top.images), "image")
            yield f"{count} directly in {top.path}/, outside the class folders: not used"
        below = [folder for part in parts for folder in part.filled]
        if below:
            count = _many(sum(folder.total for folder in below), "image")
            places = _examples([f"{folder.path}/" for folder in below])
            yield f"{count} in folders below {top.path}/ that are not looked into: {places}"
    if training.folder not in training.parts:
        empty = [folder.name for folder in training.folder.folders if not folder.total]
        if empty:
            yield f"folders in {training.folder.path}/ without an image, no classes: " + _examples(
                empty
            )
    others = list(_find_unused(data.listing, [training.folder.path, test.path]))
    if others:
        names = [f"{folder.path}/ ({folder.total:,})" for folder in others]
        yield f"folders of images that are not used: {_examples(names)}"


def _find_unused(listing: Folder, taken: list[str]) -> Iterator[Folder]:
    """The uppermost folders with images that are none of these, nor above or below one of them."""
    for folder in listing.filled:
        if folder.path in taken:
            continue
        if any(path.startswith(f"{folder.path}/") for path in taken):
            yield from _find_unused(folder, taken)
        else:
            yield folder


def _disagreements(data: DataFolder, training: TrainingImages) -> Iterator[str]:
    """Where a table beside class folders labels images otherwise than their folders."""
    for other in labels_beside_folders(data, training):
        labels = other.labels
        wrong = [
            image_id
            for folder in training.parts
            for image_id in sorted(Names.of(folder.images).as_ids(other.ids or "stem"))
            if image_id in labels and labels[image_id] != one_spelling(folder.name)
        ]
        if other.table is None:
            continue
        said = f"labels {len(wrong)} images otherwise" if wrong else "gives the same labels"
        yield f"{other.table.path} {said}; the class folders are taken"
        if wrong:
            yield f"labelled otherwise in {other.table.path}: {_examples(wrong)}"


def _paths(folder: Folder, names: Iterable[str]) -> list[str]:
    return [f"{folder.path}/{name}" for name in names]


def _examples(names: Iterable[str]) -> str:
    return ", ".join(shorten(names, most=3))


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
