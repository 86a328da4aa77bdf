"""What stands in a data folder: folders, images and other files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from twinrun.config.layout import refuse_unspeakable_names
from twinrun.errors import InputError

# Deep enough for two folders that an archive added, images/train/<class>/ and one below.
SCAN_DEPTH = 6

_JUNK = "__MACOSX"
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")

Role = Literal["train", "test", ""]


@dataclass(frozen=True)
class Folder:
    """A folder with what is visible in it, sorted by name.

    Attributes:
        path: Relative to the data folder, with slashes; empty for the data folder itself.
        images: Names of the image files directly in it.
        files: Names of the other files directly in it.
        folders: The folders directly in it.
    """

    path: str
    images: tuple[str, ...]
    files: tuple[str, ...]
    folders: tuple[Folder, ...]

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    @property
    def role(self) -> Role:
        """What its name says that it holds: "train", "test", or nothing of the kind."""
        words = [word.lower() for word in _WORD.findall(self.name)]
        train = any(word.startswith("train") for word in words)
        test = any(word.startswith("test") for word in words)
        if train == test:
            return ""
        return "train" if train else "test"

    @cached_property
    def total(self) -> int:
        """How many images it and the folders below it hold."""
        return len(self.images) + sum(folder.total for folder in self.folders)

    @property
    def filled(self) -> list[Folder]:
        """The folders directly in it that hold images, themselves or below."""
        return [folder for folder in self.folders if folder.total]

    def walk(self) -> Iterator[Folder]:
        """Itself and all folders below it, a folder before what is in it."""
        yield self
        for folder in self.folders:
            yield from folder.walk()

    def named(self, role: Role) -> Iterator[Folder]:
        """The uppermost folders below it whose names give them this role."""
        for folder in self.folders:
            if folder.role == role:
                yield folder
            elif not folder.role:
                yield from folder.named(role)

    def unwrapped(self) -> Folder:
        """The folder below it that holds the images, where there is only one way to go.

        `train/train/<class>/` and `test/images/` come from archives with a folder of their own.
        """
        folder = self
        while not folder.images and len(folder.filled) == 1:
            folder = folder.filled[0]
        return folder


def data_root(folder: Path) -> Path:
    """The folder that holds the data: `folder`, or the one that an archive put everything into.

    Raises:
        InputError: There is no such folder, or it cannot be read.
    """
    if not folder.is_dir():
        raise InputError(
            f"no data folder: {folder}", fix="Name the folder that the data was unpacked into."
        )
    for _ in range(SCAN_DEPTH):
        here = scan(folder, depth=1)
        tables = any(name.lower().endswith(".csv") for name in here.files)
        if tables or here.images or len(here.folders) != 1 or here.folders[0].role:
            break
        folder = folder / here.folders[0].path
    return folder


def scan(root: Path, *, depth: int = SCAN_DEPTH) -> Folder:
    """List a data folder and what is below it, in time linear in the number of files.

    Hidden files and folders and those that macOS adds to archives are left out.

    Args:
        root: The data folder.
        depth: How many levels of folders below it are listed; deeper ones look empty.

    Raises:
        InputError: A folder cannot be read, or names of folders, images or tables are not UTF-8.
    """
    names: list[str] = []
    listing = _scan(root, "", depth, names)
    refuse_unspeakable_names(names)
    return listing


def _scan(root: Path, path: str, depth: int, names: list[str]) -> Folder:
    from twinrun.image_files import is_image  # imports Pillow

    images: list[str] = []
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(root / path) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name == _JUNK:
                    continue
                if entry.is_dir():
                    kind = folders
                elif is_image(root / path, entry.name):
                    kind = images
                else:
                    kind = files
                kind.append(entry.name)
                names.append(f"{path}/{entry.name}".lstrip("/"))
    except OSError as error:
        raise InputError(
            f"cannot read the folder {root / path}: {error.strerror or error}",
            fix="Fix its permissions, or take it out of the data folder.",
        ) from error
    below = [f"{path}/{name}".lstrip("/") for name in sorted(folders)]
    return Folder(
        path,
        tuple(sorted(images)),
        tuple(sorted(files)),
        tuple(
            _scan(root, name, depth - 1, names) if depth > 1 else Folder(name, (), (), ())
            for name in below
        ),
    )
