"""Which images are to be predicted: those of a folder, or those that a table names."""

from __future__ import annotations

import os
import posixpath
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from twinrun.config.any_csv import read_any_csv
from twinrun.config.image_ids import image_id
from twinrun.config.listing import scan
from twinrun.config.sections import Data
from twinrun.errors import InputError, shorten
from twinrun.image_files import is_image

if TYPE_CHECKING:
    import pandas as pd

# Deeper than a data folder is looked into: nothing is told here from how folders lie.
_DEPTH = 64
# The columns of a table of images.
PATH, ID = "path", "id"


@dataclass(frozen=True)
class NewImages:
    """Images that are to be predicted.

    Attributes:
        ids: Each once, sorted.
        paths: Of their files, in the same order.
        left_out: How many more there were that nobody asked for.
    """

    ids: tuple[str, ...]
    paths: tuple[Path, ...]
    left_out: int = 0

    def asked(self, ids: Collection[str]) -> NewImages:
        """Those of them that have one of these ids."""
        kept = [pair for pair in zip(self.ids, self.paths, strict=True) if pair[0] in ids]
        names, paths = zip(*kept, strict=True) if kept else ((), ())
        return NewImages(names, paths, len(self.ids) - len(kept))


def find_images(places: Sequence[Path], data: Data) -> NewImages:
    """The images of folders, nested or not, or those that CSVs name; none is opened.

    Args:
        places: Folders, or CSVs. A CSV's column `path` names the files, relative to the CSV's
            folder; a column `id`, if there is one, their ids.
        data: Of the run's settings: what an image's id is.

    Returns:
        Their ids are as the run's test images have them. Where those are paths in the data folder,
        a folder stands for the test folder, unless it is the data folder itself; and a CSV's paths
        are such paths as they are written.

    Raises:
        InputError: Nothing is there, no image, or two images have one id; a CSV names a file that
            is not there, or none, or gives no id.
    """
    named = [each for place in places for each in _named(place, data)]
    _refuse_shared_ids(named)
    ids, files = zip(*sorted(named), strict=True)
    return NewImages(ids, files)


def _named(place: Path, data: Data) -> list[tuple[str, Path]]:
    """Ids and files of one folder or table; at least one."""
    if place.is_dir():
        before = _stands_for(place, data)
        below = scan(place, depth=_DEPTH).below
        named = [(image_id(data.ids, f"{before}{path}"), place / path) for path in below]
        fix = "Name the folder that the new images are in with --images."
    elif place.is_file() and is_image(place.parent, place.name):
        raise InputError(
            f"{place} is an image itself",
            fix=f"Name its folder with --images, or a CSV with a column {PATH!r}.",
        )
    elif place.is_file():
        named = _of_table(place, data)
        fix = "Give it a row for each image."
    else:
        raise InputError(
            f"no folder of images: {place}",
            fix="Name a folder of images, or a CSV with their paths, with --images.",
        )
    if not named:
        raise InputError(f"no image in {place}", fix=fix)
    return named


def _stands_for(place: Path, data: Data) -> str:
    """What stands before the path of a folder's image in its path in the data folder.

    The folder may be one of the run's test folders, the data folder, or one between; told by its
    name and by what is in it. Any other folder stands for the first test folder.
    """
    tests = [data.test] if isinstance(data.test, str) else data.test
    parts = [PurePosixPath(test).parts for test in tests]
    end = place.resolve().parts
    known = [
        test[:deep]
        for test in parts
        for deep in range(len(test) + 1)
        if end[len(end) - deep :] == test[:deep] and place.joinpath(*test[deep:]).is_dir()
    ]
    alike = [test for test in parts if test[-1:] == end[-1:]]
    found = max(known, key=len, default=(alike or parts)[0])
    return "".join(f"{part}/" for part in found)


def _of_table(place: Path, data: Data) -> list[tuple[str, Path]]:
    table, _ = read_any_csv(place)
    if PATH not in table.columns:
        raise InputError(
            f"{place} has the columns {', '.join(map(str, table.columns))}, and none {PATH!r}",
            fix=f"Name the column of the images' files {PATH!r}; a column {ID!r} may give ids.",
        )
    paths = [str(path).replace("\\", "/") for path in table[PATH]]
    if "" in paths:
        raise InputError(f"{place}: row {paths.index('') + 2} names no file")
    files = [place.parent / path for path in paths]
    # A mistake of the table: what data.unreadable says is for images that are there.
    gone = [
        f"row {row}: {path}"
        for row, (path, file) in enumerate(zip(paths, files, strict=True), 2)
        if not os.path.isfile(file)  # noqa: PTH113  (raises nothing, whatever the table names)
    ]
    if gone:
        raise InputError(
            f"{place} names files that are not there, {len(gone):,} of {len(files):,}:",
            details=shorten(gone),
            fix=f"A path is relative to the folder of the table, {place.absolute().parent}.",
        )
    return list(zip(_ids_of_table(table, paths, place, data), files, strict=True))


def _ids_of_table(table: pd.DataFrame, paths: Sequence[str], place: Path, data: Data) -> list[str]:
    if ID in table.columns:
        given = [str(name) for name in table[ID]]
        if "" in given:
            raise InputError(f"{place}: row {given.index('') + 2} has no id")
        return given
    plain = [posixpath.normpath(path) for path in paths]
    for row, path in enumerate(plain, 2):
        if data.ids == "path" and path.startswith(("/", "../")):
            raise InputError(
                f"{place}: row {row} names {paths[row - 2]}, which is no path in a data folder; "
                'such paths are the ids of this run (data.ids = "path")',
                fix=f"Add a column {ID!r}.",
            )
    return [image_id(data.ids, path) for path in plain]


def _refuse_shared_ids(named: Sequence[tuple[str, Path]]) -> None:
    owners: dict[str, list[str]] = defaultdict(list)
    for name, path in named:
        owners[name].append(str(path))
    shared = [f"{name}: {', '.join(paths)}" for name, paths in owners.items() if len(paths) > 1]
    if shared:
        raise InputError(
            "two images with one id:",
            details=shorten(shared),
            fix=f"Name a CSV with --images, whose columns {PATH} and {ID} give each its own.",
        )
