"""The layout "folders": train/<class>/<image>."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.config.annotations import refuse_masks
from twinrun.config.label_layout import (
    Candidate,
    FoundClasses,
    LabelLayout,
    Labelled,
    TrainingImages,
    training_folders,
)
from twinrun.config.layout import no_image_in, refuse_unread_classes
from twinrun.config.listing import Folder, stems, words_for
from twinrun.errors import InputError, nearest, shorten
from twinrun.names import one_spelling

if TYPE_CHECKING:
    from twinrun.config.sections import Data


class FolderPerClass(LabelLayout):
    """A folder per class, which has its name."""

    name = "folders"
    words = "train/<class>/<image>"
    answer = "folder per class"
    settings = ()

    def find_classes(self, data: Data, folder: Path, unseen: Collection[str] = ()) -> FoundClasses:
        """The class folders with at least one image in them."""
        parts = training_folders(data, folder)
        found = class_folders(folder, parts)
        names = sorted(name for name, places in found.items() if _total(places))
        _refuse_unread(folder, found, unseen)
        return FoundClasses(
            names,
            looked_at="the folders with an image in them in "
            + " and ".join(str(folder / part.path) for part in parts),
            fix="Put the images into a folder per class there. Where a table holds their labels, "
            "set data.layout = 'table'.",
        )

    def read_images(
        self, data: Data, folder: Path, classes: Sequence[str], unseen: Collection[str] = ()
    ) -> Labelled:
        """As the base class says."""
        parts = training_folders(data, folder)
        found = class_folders(folder, parts)
        problems = [
            f"{folder / place.path}: no such class in the settings, "
            f"{nearest(name, classes)}".rstrip(", ")
            for name, places in found.items()
            for place in places
            # A folder without an image takes nothing away from the training.
            if name not in classes and place.total
        ]
        labels: dict[str, str] = {}
        for name in classes:
            places = found.get(name, [])
            if not places:
                where = folder / parts[0].path / name
                problems.append(f"{where}: no such folder, but {name!r} is in the settings")
            elif not _total(places):
                problems += [
                    f"{path}: {no_image_in(path)}"
                    for path in (folder / place.path for place in places)
                ]
            labels |= {path: name for place in places for path in place.nearest}
        _refuse_unread(folder, found, {*classes, *unseen})
        if problems:
            raise InputError(
                "the class folders and the settings do not agree:",
                details=shorten(problems),
                fix="Fix competition.classes or the folders. If a table holds the labels, set "
                "data.layout = 'table' and data.labels.",
            )
        return Labelled(labels, parts, f"the folders in {words_for(parts)}")

    def recognise(self, candidate: Candidate) -> TrainingImages | None:
        """Several folders with images; not sure where there are images beside them."""
        parts = _above_the_classes(candidate)
        if not parts:
            return None
        filled = [below for part in parts for below in part.filled]
        doubts = refuse_masks(candidate.data.root, filled, _asked(candidate))
        found = class_folders(candidate.data.root, parts)
        _refuse_unread(candidate.data.root, found, candidate.unseen)
        labels = {
            path: name for name, places in found.items() for part in places for path in part.nearest
        }
        if len(set(labels.values())) < 2:
            return None
        counts = {name: sum(len(part.nearest) for part in found[name]) for name in found}
        return TrainingImages(
            labels,
            parts,
            f"the folders in {words_for(parts)}",
            doubts,
            layout=self.name,
            counts={name: number for name, number in counts.items() if number},
            unseen=[name for name, number in counts.items() if not number],
            # Stray images beside class folders, unless a table names them.
            sure=not any(part.images for part in parts),
        )


def class_folders(root: Path, parts: Sequence[Folder]) -> dict[str, list[Folder]]:
    """The folders directly in some folders of training images, by name in Unicode's form NFC.

    Args:
        root: The data folder.
        parts: The folders of training images.

    Raises:
        InputError: Two folders in one whose names look the same.
    """
    found: dict[str, list[Folder]] = {}
    for part in parts:
        here: set[str] = set()
        for folder in part.folders:
            name = one_spelling(folder.name)
            if name in here:
                raise InputError(
                    f"two folders in {root / part.path} are called {name!r}, written with other "
                    "characters",
                    fix="Put their images into one of them and remove the other.",
                )
            here.add(name)
            found.setdefault(name, []).append(folder)
    return found


def _refuse_unread(
    root: Path, found: Mapping[str, Sequence[Folder]], others: Collection[str]
) -> None:
    """Raise InputError for classes without an image whose pictures cannot be read here.

    Args:
        root: The data folder.
        found: The folders of each class.
        others: Classes that are not looked at.
    """
    refuse_unread_classes(
        {
            name: [root / below.path for place in places for below in place.walk()]
            for name, places in found.items()
            if name not in others and not _total(places)
        }
    )


def _total(folders: Sequence[Folder]) -> int:
    return sum(folder.total for folder in folders)


def _asked(candidate: Candidate) -> set[str]:
    """What the sample submission asks for: its columns, or the labels in its only one."""
    asked = set(candidate.asked)
    if len(asked) == 1:
        tables = candidate.data.tables
        for table in (tables[path] for path in candidate.data.samples if path in tables):
            asked |= {v for name in asked & set(table.columns) for v in table.values(name)}
    return set(map(one_spelling, asked))


def _above_the_classes(candidate: Candidate) -> list[Folder]:
    """The folders whose folders are the classes: the candidates, or the shards in them.

    Raises:
        InputError: It cannot be told which.
    """
    tops = list(candidate.folders)
    filled = [below for top in tops for below in top.filled]
    if any(below.images for below in filled) or not filled:
        return tops if filled else []
    # Every folder in them holds folders only.
    inside = [{one_spelling(each.name) for each in below.filled} for below in filled]
    names = {one_spelling(below.name) for below in filled}
    asked = _asked(candidate)
    if names.isdisjoint(asked) != set().union(*inside).isdisjoint(asked):
        return filled if names.isdisjoint(asked) else tops
    numbered = len(stems(names)) == 1 and "" not in stems(names)
    if numbered and len(inside[0]) > 1 and all(each == inside[0] for each in inside):
        return filled
    if all(len(each) == 1 for each in inside):
        return tops
    raise InputError(
        f"class folders in {' and '.join(str(candidate.data.root / top.path) for top in tops)} "
        "whose images stand in folders below them:",
        details=shorten(below.path for below in filled),
        fix="If these are the classes, or those below them, name the folders above the classes "
        "with --train. If a table labels the images, name it with --labels.",
    )
