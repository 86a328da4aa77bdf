"""What a data folder is made of: image files, class folders, names that can be written."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from twinrun.errors import InputError, shorten
from twinrun.names import one_spelling

# A list of our own: the system's mime tables, which fastai asks, differ between machines.
IMAGE_SUFFIXES = (
    ".bmp",
    ".gif",
    ".jfif",
    ".jpeg",
    ".jpg",
    ".png",
    ".tif",
    ".tiff",
    ".webp",
)


def images_in(folder: Path) -> list[str]:
    """Names of the image files directly in a folder, sorted: the disk's order means nothing."""
    return sorted(filter(_is_image, _names_in(folder)))


def refuse_unspeakable_names(names: Iterable[str]) -> None:
    """Raise InputError for names that are not UTF-8: they can be neither printed nor written."""
    strange = [name for name in names if not _is_utf8(name)]
    if strange:
        raise InputError(
            "file names that are not UTF-8:",
            details=shorten(os.fsencode(n).decode("utf-8", "backslashreplace") for n in strange),
            fix="Rename these files.",
        )


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def class_folders(part: Path) -> dict[str, Path]:
    """The folders of classes in a folder of training images, by name in Unicode's form NFC.

    Hidden folders are passed over.

    Raises:
        InputError: Two folders whose names look the same.
    """
    folders: dict[str, Path] = {}
    for path in sorted(part.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            name = one_spelling(path.name)
            if name in folders:
                raise InputError(
                    f"two folders in {part} are called {name!r}, written with other characters",
                    fix="Put their images into one of them and remove the other.",
                )
            folders[name] = path
    return folders


def subfolder(folder: Path, name: str, key: str) -> Path:
    """A folder of images in the data folder.

    Args:
        folder: The data folder.
        name: The folder's name in it.
        key: The setting that holds this name.

    Raises:
        InputError: It is not there.
    """
    path = folder / name
    if not path.is_dir():
        raise InputError(f"no folder {path}", fix=f"Put the images there, or set {key}.")
    return path


def _names_in(folder: Path) -> list[str]:
    return os.listdir(folder)  # noqa: PTH208  (Path.iterdir takes ten times as long)


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
