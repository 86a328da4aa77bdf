"""The layout "folders": train/<class>/<image>."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.config.label_layout import (
    Candidate,
    FoundClasses,
    LabelLayout,
    LabelledImage,
    TrainingImages,
    image_id,
)
from twinrun.config.layout import (
    class_folders,
    images_in,
    no_image_in,
    refuse_unread_classes,
    subfolder,
)
from twinrun.config.other_tasks import refuse_masks
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

    def find_classes(self, data: Data, folder: Path) -> FoundClasses:
        """The class folders with at least one image in them."""
        part = subfolder(folder, data.train, "data.train")
        folders = class_folders(part)
        names = sorted(name for name, path in folders.items() if images_in(path))
        refuse_unread_classes(path for name, path in folders.items() if name not in names)
        return FoundClasses(
            names,
            looked_at=f"the folders with an image in them in {part}",
            fix="Put the images into a folder per class there. Where a table holds their labels, "
            "set data.layout = 'table'.",
        )

    def read_images(self, data: Data, folder: Path, classes: Sequence[str]) -> list[LabelledImage]:
        """As the base class says."""
        part = subfolder(folder, data.train, "data.train")
        folders = class_folders(part)
        problems = [
            f"{path}: no such class in the settings, {nearest(name, classes)}".rstrip(", ")
            for name, path in folders.items()
            # A folder without an image takes nothing away from the training.
            if name not in classes and images_in(path)
        ]
        found: list[LabelledImage] = []
        for name in classes:
            if name not in folders:
                problems.append(f"{part / name}: no such folder, but {name!r} is in the settings")
                continue
            images = images_in(folders[name])
            if not images:
                problems.append(f"{folders[name]}: {no_image_in(folders[name])}")
            place = folders[name].relative_to(folder).as_posix()
            found += [(image_id(data, image), name, f"{place}/{image}") for image in images]
        if problems:
            raise InputError(
                "the class folders and the settings do not agree:",
                details=shorten(problems),
                fix="Fix competition.classes or the folders.",
            )
        return found

    def recognise(self, candidate: Candidate) -> TrainingImages | None:
        """Several folders with images; not sure where there are images beside them."""
        folder = candidate.folder
        if len(folder.filled) < 2 or candidate.data.labels is not None:
            return None
        deep = [below.path for below in folder.filled if not below.images]
        if deep:
            raise InputError(
                f"class folders in {candidate.data.root / folder.path} whose images stand in "
                "folders below them:",
                details=shorten(deep),
                fix="Move the images of a class into its folder itself; take out folders that are "
                "no class. If a table labels the images, name their folder with --train.",
            )
        parts = tuple(below for below in folder.folders if below.images)
        refuse_masks(candidate.data.root, parts)
        counts = {one_spelling(part.name): len(part.images) for part in parts}
        # Stray images beside class folders, unless a table names them.
        unseen = [one_spelling(below.name) for below in folder.folders if not below.total]
        return TrainingImages(
            self.name, folder, parts, counts, unseen=unseen, sure=not folder.images
        )
