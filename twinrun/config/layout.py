"""What a data folder is made of: image files, class folders, names that can be written."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from twinrun.errors import InputError, shorten
from twinrun.names import one_spelling


def images_in(folder: Path) -> list[str]:
    """Names of the image files directly in a folder, sorted: the disk's order means nothing."""
    from twinrun.image_files import is_image  # imports Pillow

    visible = (name for name in _names_in(folder) if not name.startswith("."))
    return sorted(name for name in visible if is_image(folder, name))


def no_image_in(folder: Path) -> str:
    """What is said of a folder without an image: what its files are, where it has any."""
    from twinrun.image_files import look_into

    there = [folder / name for name in sorted(_names_in(folder)) if not name.startswith(".")]
    files = [path for path in there if not path.is_dir()]
    kinds = Counter(other for path in files if (other := look_into(str(path))))
    if not kinds:
        return "no image in it"
    told = "; ".join(f"{count:,} {other}" for other, count in kinds.most_common())
    return f"no image in it that can be read: {told}"


def refuse_unread_classes(folders: Iterable[Path]) -> None:
    """Raise InputError for folders without an image all of whose pictures cannot be read here.

    They would be no classes, in silence.

    Args:
        folders: Of classes, those without an image.
    """
    from twinrun.image_files import look_into

    lost = [
        f"{folder}: {no_image_in(folder)}"
        for folder in folders
        for names in [_names_in(folder)]
        if any((other := look_into(f"{folder}/{name}")) and other.advice for name in names)
    ]
    if lost:
        raise InputError(
            "folders of classes whose files are all passed over:",
            details=shorten(lost),
            fix="Make images of them that can be read, or name the classes without them in "
            "competition.classes.",
        )


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
