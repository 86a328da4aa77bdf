"""What a user should know about a data folder, in a line each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import PurePath

from twinrun.config.any_csv import said_of_sample
from twinrun.config.csv_tables import CsvTable
from twinrun.config.data_folder import DataFolder
from twinrun.config.image_ids import Ids, image_id, training_ids
from twinrun.config.label_layout import TrainingImages
from twinrun.config.listing import Folder, words_for
from twinrun.console import count_of
from twinrun.data.passed_over import kinds, way_to_read
from twinrun.errors import shorten
from twinrun.image_files import look_into
from twinrun.scaffold.sample import TestFolders

# A class with fewer images leaves hardly any to hold out.
FEW = 10

_REFUSED = "a run refuses this until it is fixed"


def notes_on(
    data: DataFolder, training: TrainingImages, sample: CsvTable, test: TestFolders, ids: Ids
) -> list[str]:
    """Everything that is left out, or that a run will refuse, or that is scarce."""
    counts = training.counts
    smallest = min(counts, key=lambda name: counts[name])
    notes = [
        *_find_refused(training, sample, test, ids),
        *training.said,
        *said_of_sample(sample.name, sample.separator),
        *_find_left_out(data, training, test),
    ]
    if counts[smallest] < FEW:
        notes.append(f"the smallest class, {smallest}, has {count_of(counts[smallest], 'image')}")
    images = training.images
    named = zip(images, training_ids(ids, images), strict=True)
    if shared := [path for path, name in named if name != image_id(ids, path)]:
        notes.append(
            f"{count_of(len(shared), 'training image')} of the same file names in several folders: "
            f"their ids are their paths: {_examples(shared)}"
        )
    for what, path in (("table of labels", training.table), ("sample submission", sample)):
        if path is not None and PurePath(path.path).is_absolute():
            notes.append(f"the {what} lies outside the data folder, which is only read")
    if data.root.resolve() != data.given.resolve():
        notes.append(f"the data stands in {data.root}")
    return notes


def _find_refused(
    training: TrainingImages, sample: CsvTable, test: TestFolders, ids: Ids
) -> Iterator[str]:
    rows = training.rows
    if training.table is not None and rows is not None:
        what, where = training.table.path, words_for(training.folders)
        yield from _some(rows.missing, "image", f"in {where} without a row in {what}")
        yield from _some(rows.strangers, "id", f"of {what} without an image in {where}")
        yield from _some(rows.unlabelled, "id", f"of {what} without a label")
        yield from _some(rows.conflicting, "id", f"of {what} with different labels")
        yield from _some(rows.unclear, "id", f"of {what} of several images")
    there = {image_id(ids, path) for path in test.images}
    column = sample.frame[sample.columns[0]]
    what, where = sample.path, words_for(test.folders)
    yield from _some(set(column) - there, "id", f"of {what} without an image in {where}")
    yield from _some(there - set(column), "image", f"in {where} that {what} does not name")
    yield from _some(set(column[column.duplicated()]), "id", f"of {what} more than once")


def _some(ids: Collection[str], what: str, where: str) -> Iterator[str]:
    if ids:
        yield f"{count_of(len(ids), what)} {where}: {_examples(sorted(ids))}; {_REFUSED}"


def _find_left_out(data: DataFolder, training: TrainingImages, test: TestFolders) -> Iterator[str]:
    training_images = set(training.images)
    for tops, images in ((training.folders, training_images), (test.folders, set(test.images))):
        where = words_for(tops)
        walked = [folder for top in tops for folder in top.walk()]
        strays = [
            path
            for folder in walked
            if folder in tops or not images.isdisjoint(folder.own)
            for path in _paths(folder, folder.files)
            if path not in data.tables
        ]
        others = {path: look_into(f"{data.root}/{path}") for path in strays}
        for kind, paths in kinds({path: other for path, other in others.items() if other}):
            way = way_to_read(kind)
            names = _examples(_short(paths, tops))
            yield f"passed over in {where}: {len(paths):,} {kind.words}: {names}" + (
                way and f"; {way}"
            )
        # Together with what is in the other part's folders.
        used = training_images.union(test.images)
        for folder in walked:
            left = [path for path in folder.own if path not in used]
            if left:
                verb = "is" if len(left) == 1 else "are"
                yield f"{count_of(len(left), 'image')} in {folder.path or '.'}/ {verb} not used"
        empty = [folder.name for top in tops for folder in top.folders if not folder.total]
        if empty and images is training_images and training.table is None:
            yield f"folders in {where} without an image, no classes: {_examples(empty)}"
    taken = [folder.path for folder in (*training.folders, *test.folders)]
    unused = list(_find_unused(data.listing, taken)) if "" not in taken else []
    if unused:
        places = [f"{folder.path}/ ({folder.total:,})" for folder in unused]
        yield f"folders of images that are not used: {_examples(places)}"


def _short(paths: Sequence[str], tops: Sequence[Folder]) -> list[str]:
    """Without the folder in front, where there is one only."""
    return [path.removeprefix(f"{tops[0].path}/") for path in paths] if len(tops) == 1 else [*paths]


def _find_unused(listing: Folder, taken: list[str]) -> Iterator[Folder]:
    """The uppermost folders with images that are none of these, nor above or below one of them."""
    for folder in listing.filled:
        if folder.path in taken:
            continue
        if any(path.startswith(f"{folder.path}/") for path in taken):
            yield from _find_unused(folder, taken)
        else:
            yield folder


def _paths(folder: Folder, names: Iterable[str]) -> list[str]:
    return [f"{folder.path}/{name}" for name in names]


def _examples(names: Iterable[str]) -> str:
    return ", ".join(shorten(names, most=3))
