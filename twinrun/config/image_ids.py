"""What an image's id is, and which image an id of somebody's table names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from twinrun.file_names import stem_of

# An image's id is its file's name without extension, with it, or its path in the data folder.
Ids = Literal["stem", "name", "path"]


def image_id(ids: Ids, path: str) -> str:
    """The id of an image.

    Args:
        ids: As data.ids.
        path: Of its file, relative to the data folder, with slashes.
    """
    if ids == "path":
        return path
    name = path.rpartition("/")[2]
    return stem_of(name) if ids == "stem" else name


def training_ids(ids: Ids, paths: Sequence[str]) -> list[str]:
    """The ids of the training images, each its own.

    Two folders may hold files of one name. No host asks for the training images' ids: of those that
    would share one, each has its path in place of it.
    """
    short = [image_id(ids, path) for path in paths]
    count = Counter(short)
    return [path if count[name] > 1 else name for name, path in zip(short, paths, strict=True)]


@dataclass(frozen=True)
class Names:
    """What the images of some folders are called.

    Attributes:
        paths: Relative to the data folder, with slashes.
        names: Of the files, with extension.
        stems: Without it.
    """

    paths: frozenset[str]
    names: frozenset[str]
    stems: frozenset[str]

    @classmethod
    def of(cls, paths: Iterable[str]) -> Names:
        """Take them from the images' paths."""
        whole = frozenset(paths)
        names = frozenset(path.rpartition("/")[2] for path in whole)
        return cls(whole, names, frozenset(map(stem_of, names)))

    def as_ids(self, ids: Ids) -> frozenset[str]:
        """The ids of these images."""
        return {"stem": self.stems, "name": self.names, "path": self.paths}[ids]


def match_values(values: Collection[str], images: Names) -> tuple[Ids, int]:
    """As which kind of id most of the values name images, and how many do."""
    kinds: tuple[Ids, ...] = ("stem", "name", "path")
    found: dict[Ids, int] = {kind: len(images.as_ids(kind).intersection(values)) for kind in kinds}
    best = max(kinds, key=lambda kind: found[kind])
    return best, found[best]


def why_none_match(values: Collection[str], images: Names) -> str:
    """Why ids name no image, if that can be seen, and what to do; otherwise an empty text."""
    plain = {value.replace("\\", "/").rpartition("/")[2] for value in values}
    if match_values(plain, images)[1]:
        return "The ids have other folders before the file name than the data folder has."
    lower = Names.of(path.lower() for path in images.paths)
    if match_values({value.lower() for value in values}, lower)[1]:
        return "Ids and file names differ in upper and lower case: make them the same."
    return ""


def find_images(values: Collection[str], paths: Collection[str]) -> dict[str, list[str]]:
    """Which images the values of a table's column name.

    A value is a file's name, with or without extension. It may have folders before the name: as
    many of them as the value and the image's path both have must agree, unless that is so for no
    value at all, as where the host's folders had other names.

    Args:
        values: Of the column.
        paths: Of the images, relative to the data folder, with slashes.

    Returns:
        The paths by value, for the values that name an image; more than one where folders hold
        files of the same name.
    """
    named: dict[str, list[str]] = {}
    stems: dict[str, list[str]] = {}
    for path in paths:
        name = path.rpartition("/")[2]
        named.setdefault(name, []).append(path)
        stems.setdefault(stem_of(name), []).append(path)
    found: dict[str, list[str]] = {}
    elsewhere: dict[str, list[str]] = {}
    for value in values:
        place, _, name = value.replace("\\", "/").rpartition("/")
        images = named.get(name) or stems.get(name)
        if not images:
            continue
        here = [path for path in images if _same_place(place, path)] if place else images
        if here:
            found[value] = here
        else:
            elsewhere[value] = images
    return found or elsewhere


def _same_place(place: str, path: str) -> bool:
    folders = [part for part in place.split("/") if part not in ("", ".", "..")]
    there = path.split("/")[:-1]
    common = min(len(folders), len(there))
    return common == 0 or folders[-common:] == there[-common:]
