"""What stands in a data folder: folders, images and other files."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from twinrun.config.layout import refuse_unspeakable_names
from twinrun.errors import InputError, shorten
from twinrun.file_names import suffix_of

# Deep enough for two folders that an archive added, images/train/<class>/ and one below.
SCAN_DEPTH = 6

# What the names of tables end with.
TABLES = (".csv", ".tsv")

# What macOS adds to archives.
JUNK = "__MACOSX"
# What differs in the names of shards.
_NUMBER = re.compile(r"[\s_-]*\d+")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")

Role = Literal["train", "test", ""]


@dataclass(frozen=True)
class Folder:
    """A folder with what is visible in it, sorted by name.

    Attributes:
        path: Relative to the data folder, with slashes; empty for the data folder itself.
        images: Names of what lies directly in it and is an image, or is called like one.
        files: Names of the other files directly in it.
        folders: The folders directly in it.
        deep: Whether it lies too deep, so that it was not looked into.
    """

    path: str
    images: tuple[str, ...]
    files: tuple[str, ...]
    folders: tuple[Folder, ...]
    deep: bool = False

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
    def own(self) -> list[str]:
        """The paths of the images directly in it."""
        return [f"{self.path}/{name}".lstrip("/") for name in self.images]

    @property
    def below(self) -> list[str]:
        """The paths of all images in it and in the folders below it."""
        return [path for folder in self.walk() for path in folder.own]

    @property
    def nearest(self) -> list[str]:
        """The paths of the images directly in it; where there are none, of those below it."""
        return self.own or self.below

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

    def without(self, paths: Collection[str]) -> Folder:
        """The same folder without those folders below it that have one of these paths."""
        kept = [each.without(paths) for each in self.folders if each.path not in paths]
        return replace(self, folders=tuple(kept))

    def unwrapped(self) -> Folder:
        """The folder below it that holds the images, where there is only one way to go.

        `train/train/<class>/` and `test/images/` come from archives with a folder of their own.
        """
        folder = self
        while not folder.images and len(folder.filled) == 1:
            folder = folder.filled[0]
        return folder


def setting_for(folders: Sequence[Folder]) -> str | list[str]:
    """What data.train or data.test says of these folders."""
    names = [folder.path or "." for folder in folders]
    return names[0] if len(names) == 1 else names


def stems(names: Iterable[str]) -> set[str]:
    """Names without the numbers in them: shards such as part1 and part2 have one stem."""
    return {_NUMBER.sub("", name) for name in names}


def words_for(folders: Sequence[Folder]) -> str:
    """What folders are called in messages."""
    return " and ".join(f"{folder.path or '.'}/" for folder in folders)


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
        tables = any(name.lower().endswith(TABLES) for name in here.files)
        if tables or here.images or len(here.folders) != 1 or here.folders[0].role:
            break
        folder = folder / here.folders[0].path
    return folder


def scan(root: Path, path: str = "", *, depth: int = SCAN_DEPTH) -> Folder:
    """List a data folder and what is below it, in time linear in the number of files.

    Hidden files and folders and those that macOS adds to archives are left out.

    Args:
        root: The data folder.
        path: The folder in it to begin with, relative to it, with slashes.
        depth: How many levels of folders below `root` are listed; deeper ones look empty, and are
            marked as `deep`.

    Raises:
        InputError: A folder cannot be read, or names of folders, images or tables are not UTF-8.
    """
    names: list[str] = []
    listing = _scan(root, path, depth - len(path.split("/")) if path else depth, names)
    refuse_unspeakable_names(names)
    return listing


def named_folders(root: Path, names: str | Sequence[str], key: str) -> list[Folder]:
    """The folders of a data folder that a setting names, listed.

    Args:
        root: The data folder.
        names: Relative to it; "." is the data folder itself.
        key: The setting that holds these names.

    Raises:
        InputError: One is not there, or not in the data folder; or as `scan`.
    """
    found: list[Folder] = []
    for name, place in places(root, names).items():
        if place.split("/")[0] == "..":
            raise InputError(
                f"{key}: {name} is not in the data folder {root}",
                fix="Let data.folder name a folder that both are in.",
            )
        if not (root / place).is_dir():
            raise InputError(f"no folder {root / name}", fix=f"Put the images there, or set {key}.")
        found.append(scan(root, place))
    refuse_deep(root, found)
    return found


def refuse_deep(root: Path, folders: Sequence[Folder]) -> None:
    """Raise InputError when folders below these lie too deep and are not empty.

    Args:
        root: The data folder.
        folders: Of it, as `scan` lists them from the data folder on.
    """
    deep = [below.path for folder in folders for below in folder.walk() if below.deep]
    lost = [path for path in deep if _is_filled(_scan(root, path, 1, []))]
    if lost:
        raise InputError(
            f"folders in {root} that lie more than {SCAN_DEPTH - 1} folders deep, and are not "
            "looked into:",
            details=shorten(lost),
            fix="Let the data folder be one that is nearer to the images (--data of init, "
            "data.folder of the settings): the table and the sample may lie in any folder.",
        )


def _is_filled(folder: Folder) -> bool:
    return bool(folder.images or folder.folders)


def places(root: Path, names: str | Sequence[str]) -> dict[str, str]:
    """The paths of folders as `Folder.path` has them, by the names that a setting gives them.

    Args:
        root: The data folder.
        names: Relative to it, or full paths.
    """
    found = {}
    for name in [names] if isinstance(names, str) else names:
        place = posixpath.relpath((root / name).as_posix(), root.as_posix())
        found[name] = "" if place == "." else place
    return found


def _scan(root: Path, path: str, depth: int, names: list[str]) -> Folder:
    from twinrun.image_files import is_image, suffixes  # imports Pillow

    images: list[str] = []
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(root / path) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name == JUNK:
                    continue
                # A folder that is called like an image is told with the images that cannot be read.
                if entry.is_dir() and suffix_of(entry.name) not in suffixes():
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
            _scan(root, name, depth - 1, names)
            if depth > 1
            else Folder(name, (), (), (), deep=True)
            for name in below
        ),
    )
