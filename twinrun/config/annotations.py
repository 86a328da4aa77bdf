"""Boxes, masks and points in files beside the images: recognised, and refused with the reason."""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from twinrun.config.listing import Folder, words_for
from twinrun.config.mask_images import are_masks
from twinrun.config.other_tasks import ONE_CLASS
from twinrun.errors import InputError
from twinrun.file_names import stem_of, suffix_of
from twinrun.plain_files import open_descriptor, open_plain

_WORDS = ("annotation", "groundtruth", "gt", "label", "mask", "seg", "segmentation")
_MASK_FOLDERS = frozenset(word + end for word in _WORDS for end in ("", "s"))
# What a mask's name has after the image's.
_MASK_END = re.compile(f"[^a-z0-9]+(?:{'|'.join(_WORDS)})s?$")

# Of files with an image's name so many are read, and of each so many bytes.
_LOOKED_AT = 20
_START = 1 << 16

# A line of YOLO: a class, and the numbers of a box, which may have its certainty, or of an outline.
_YOLO = re.compile(r"\d+((?:\s+(?:0?\.\d+|[01](?:\.\d*)?)(?:[eE][+-]?\d+)?){4,})\s*")
_MOST_OF_A_BOX = 5
_NAMES = re.compile(rb'"file_name"\s*:\s*"([^"\\]*)"')


class _Told(NamedTuple):
    """What files tell of where something is: "boxes" in files "of YOLO"."""

    what: str
    form: str

    @property
    def task(self) -> str:
        return {"boxes": "detection", "masks": "segmentation"}.get(self.what, "keypoints")


# Of a file of COCO, what an annotation has beside the image and the class.
_COCO = {
    "boxes": re.compile(rb'"bbox"\s*:\s*\[\s*[-\d.]'),
    "masks": re.compile(rb'"segmentation"\s*:\s*[\[{]'),
    "points": re.compile(rb'"keypoints"\s*:\s*\[\s*[-\d.]'),
}


def refuse_masks(root: Path, folders: Sequence[Folder], asked: Collection[str]) -> list[str]:
    """Raise InputError when one of some class folders holds masks of the others' images.

    Args:
        root: The data folder.
        folders: Each called like a class.
        asked: The columns or labels that the sample submission asks for: a folder that is called
            like one of them is a class, whatever it is called.

    Returns:
        What is to be said where that cannot be told, a line each.
    """
    if any(folder.name in asked for folder in folders):
        return []
    doubts: list[str] = []
    for folder, others, sure in _mask_folders(root, folders, folders):
        if sure:
            raise _masks_in(root, folder, others)
        doubts.append(
            f"{folder.path}/ is taken as a class, and its images may be masks of those in "
            f"{words_for(others)}; if they are, the task is segmentation"
        )
    return doubts


def find_other_task(root: Path, listing: Folder, folders: Sequence[Folder]) -> InputError | None:
    """The error for images of which files beside them tell where in them something is.

    Args:
        root: The data folder.
        listing: All of it.
        folders: Of the images.

    Returns:
        None where no such file is there.
    """
    for folder, others, sure in _mask_folders(root, list(listing.walk()), folders):
        if sure:
            return _masks_in(root, folder, others)
    return _masks_beside(root, folders) or _objects(root, listing, folders)


def _mask_folders(
    root: Path, folders: Sequence[Folder], asked: Sequence[Folder]
) -> Iterator[tuple[Folder, list[Folder], bool]]:
    """The folders with masks of the images in others, if one of them is asked for; how surely."""
    below = [each for top in asked for each in top.walk()]
    named = [each for each in folders if each.images and _is_called_masks(each)]
    # `mask` and `no_mask` are two classes.
    rest = [each for each in folders if each not in named]
    for folder in named:
        own = {_image_of(path): root / path for path in folder.own}
        others = [each for each in rest if not own.keys().isdisjoint(_stems(each.images))]
        images = _by_stem(root, others)
        pairs = [(path, images[stem]) for stem, path in own.items() if stem in images]
        here = any(each in below for each in (folder, *others))
        # Images of classes too are numbered from 1 in each folder.
        if here and 2 * len(pairs) > len(own) and (told := are_masks(pairs)) is not False:
            yield folder, others, told is True


def _masks_in(root: Path, folder: Folder, others: Sequence[Folder]) -> InputError:
    return _segmentation(f"{root / folder.path} holds a mask of each", others)


def _masks_beside(root: Path, folders: Sequence[Folder]) -> InputError | None:
    """The error for a folder of images and of masks, which are called `1.png` and `1_mask.png`."""
    for folder in (each for top in folders for each in top.walk()):
        images = _by_stem(root, [folder])
        masks = [path for path in folder.own if _is_mask(path, images)]
        pairs = [(root / path, images[_image_of(path)]) for path in masks]
        if 2 * len(masks) >= len(folder.images) - len(masks) and are_masks(pairs):
            example = f", such as {masks[0]}"
            return _segmentation(f"{root / folder.path} holds a mask of each", [folder], example)
    return None


def _is_called_masks(folder: Folder) -> bool:
    return not _MASK_FOLDERS.isdisjoint(re.split("[^a-z]+", folder.name.lower()))


def _is_mask(path: str, images: Collection[str]) -> bool:
    image = _image_of(path)
    return image != _stem(path) and image in images


def _image_of(mask: str) -> str:
    return _MASK_END.sub("", _stem(mask))


def _stem(path: str) -> str:
    return stem_of(path.rpartition("/")[2]).lower()


def _stems(paths: Iterable[str]) -> set[str]:
    return {_stem(path) for path in paths}


def _by_stem(root: Path, folders: Sequence[Folder]) -> Mapping[str, list[Path]]:
    """The images in some folders, by their names without suffix."""
    found: dict[str, list[Path]] = {}
    for path in (path for folder in folders for path in folder.own):
        found.setdefault(_stem(path), []).append(root / path)
    return found


def _segmentation(start: str, folders: Sequence[Folder], example: str = "") -> InputError:
    return InputError(
        f"{start} image in {words_for(folders)}{example}: a task of segmentation",
        fix=f"{ONE_CLASS} If a table has one label an image, name it with --labels; it may lie in "
        "any folder.",
    )


def _objects(root: Path, listing: Folder, folders: Sequence[Folder]) -> InputError | None:
    images = {path.rpartition("/")[2] for folder in folders for path in folder.below}
    files = [f"{each.path}/{name}".lstrip("/") for each in listing.walk() for name in each.files]
    for where, told in _told(root, files, images):
        return InputError(
            f"{root}: files tell where in the images something is ({told.what}, in {where}): a "
            f"task of {told.task}",
            fix=f"{ONE_CLASS} If that is the task, write a table with one label an image, in any "
            "folder, and name it with --labels.",
        )
    return None


def _told(root: Path, files: Sequence[str], images: set[str]) -> Iterator[tuple[str, _Told]]:
    """What files tell of objects in images, and which do, in words."""
    stems = set(map(stem_of, images))
    for suffix, tell in (".xml", _tell_xml), (".txt", _tell_txt), (".json", _tell_json):
        there = [path for path in files if suffix_of(path) == suffix]
        own = [path for path in there if stem_of(path.rpartition("/")[2]) in stems]
        if own and 2 * len(own) >= min(len(images), len(there)):
            texts = [_start_of(root / path) for path in own[:_LOOKED_AT]]
            if (told := tell(texts)) is not None:
                many = f"{len(own):,} files" if len(own) > 1 else "a file"
                yield f"{many} {told.form} such as {own[0]}", told
    names = {name.encode() for name in images}
    for path in files:
        if suffix_of(path) == ".json" and (told := _tell_coco(root / path, names)) is not None:
            yield f"{path}, a file {told.form}", told


def _start_of(path: Path) -> str:
    try:
        with open_plain(path) as file:
            return file.read(_START).decode("utf-8", "replace")
    except OSError:  # it tells nothing
        return ""


def _tell_xml(texts: Sequence[str]) -> _Told | None:
    marks: Mapping[str, str] = {"boxes": "<bndbox>", "masks": "<polygon>"}
    for what, mark in marks.items():
        if any("<annotation" in text and "<object>" in text and mark in text for text in texts):
            return _Told(what, "of Pascal VOC")
    return None


def _tell_txt(texts: Sequence[str]) -> _Told | None:
    # The last line of a long file may be cut.
    lines = [line for text in texts for line in text.splitlines() if len(text) < _START]
    found = [_YOLO.fullmatch(line) for line in lines if line.strip()]
    if not found or not all(found):
        return None
    boxes = all(each and len(each[1].split()) <= _MOST_OF_A_BOX for each in found)
    return _Told("boxes" if boxes else "masks", "of YOLO")


def _tell_json(texts: Sequence[str]) -> _Told | None:
    if not any('"shapes"' in text and '"points"' in text for text in texts):
        return None
    boxes = all("polygon" not in text and '"rectangle"' in text for text in texts if text)
    return _Told("boxes" if boxes else "masks", "of LabelMe")


def _tell_coco(path: Path, images: set[bytes]) -> _Told | None:
    """What a file of COCO, which may be very large, tells of some images."""
    # An empty file cannot be mapped.
    with suppress(OSError, ValueError):
        number = open_descriptor(path)
        try:
            with mmap.mmap(number, 0, access=mmap.ACCESS_READ) as text:
                return _tell_mapped(text, images)
        finally:
            os.close(number)
    return None


def _tell_mapped(text: mmap.mmap, images: set[bytes]) -> _Told | None:
    if text.find(b'"annotations"') < 0:
        return None
    named = (match[1].rpartition(b"/")[2] for match in _NAMES.finditer(text))
    if not any(name in images for name in named):
        return None
    found = (what for what, mark in _COCO.items() if mark.search(text))
    return next((_Told(what, "of COCO") for what in found), None)
