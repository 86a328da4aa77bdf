"""How the data folder is laid out: image files, class folders, the table of labels."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.config.sections import Data
from twinrun.errors import InputError, shorten
from twinrun.files import read_csv
from twinrun.names import one_spelling

if TYPE_CHECKING:
    import pandas as pd

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


def read_labels(data: Data, folder: Path) -> pd.DataFrame:
    """Read the table of labels, as layout "table" has one.

    Args:
        data: Names the file and its columns.
        folder: The data folder.

    Returns:
        A row per row of the file and two columns of text: id, and label in Unicode's form NFC,
        empty where there is none.

    Raises:
        InputError: The file is missing, cannot be read or lacks a column.
    """
    path = folder / data.labels
    table = read_csv(path, text=(data.id_column, data.label_column))
    for column in (data.id_column, data.label_column):
        if column not in table.columns:
            raise InputError(
                f"{path}: no column {column!r}. Its columns: {', '.join(table.columns)}.",
                fix="Set data.id_column and data.label_column.",
            )
    table = table[[data.id_column, data.label_column]]
    table.columns = ["id", "label"]
    # A row that is cut short has a missing value in place of an empty one.
    return table.assign(label=table["label"].fillna("").map(one_spelling))


def found_classes(data: Data, folder: Path) -> list[str]:
    """The classes that the data folder holds: what `competition.classes = "auto"` stands for.

    Args:
        data: Layout, folder of training images, table of labels.
        folder: The data folder.

    Returns:
        Names in Unicode's form NFC, in the order of their characters' numbers: of the class folders
        with at least one image in them, or the distinct labels of the table.

    Raises:
        InputError: Fewer than two, or what holds them is missing or cannot be read.
    """
    if data.layout == "table":
        labels = read_labels(data, folder)["label"]
        found = sorted({label for label in labels if label})
        looked_at = f"at the column {data.label_column!r} of {folder / data.labels}"
        fix = "Set data.labels and data.label_column, or write the list of classes."
    else:
        part = subfolder(folder, data.train, "data.train")
        folders = class_folders(part)
        found = sorted(
            name for name, path in folders.items() if any(map(_is_image, _names_in(path)))
        )
        looked_at = f"at the folders with an image in them in {part}"
        fix = (
            "Put the images into a folder per class there. Where a table holds their labels, set "
            "data.layout = 'table'."
        )
    if len(found) < 2:
        number = f"only one, {found[0]!r}" if found else "none"
        raise InputError(
            f'competition.classes = "auto" needs at least two classes and finds {number}, looking '
            f"{looked_at}",
            fix=fix,
        )
    return found


def _names_in(folder: Path) -> list[str]:
    return os.listdir(folder)  # noqa: PTH208  (Path.iterdir takes ten times as long)


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
