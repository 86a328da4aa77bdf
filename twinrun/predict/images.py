"""Which images are to be predicted: those of a folder, or those that a table names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from twinrun.config.any_csv import read_any_csv
from twinrun.config.image_ids import image_id
from twinrun.config.listing import scan
from twinrun.config.sections import Data
from twinrun.errors import InputError, shorten

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
        Their ids are as the run's test images have them: of a path, below the folder of these.

    Raises:
        InputError: Nothing is there, no image, or two images have one id.
    """
    named = [each for place in places for each in _named(place, data)]
    _refuse_shared_ids(named)
    ids, files = zip(*sorted(named), strict=True)
    return NewImages(ids, files)


def _named(place: Path, data: Data) -> list[tuple[str, Path]]:
    """Ids and files of one folder or table; at least one."""
    if place.is_dir():
        named = [(_id(data, path, place), place / path) for path in scan(place, depth=_DEPTH).below]
    elif place.is_file():
        named = _of_table(place, data)
    else:
        raise InputError(
            f"no folder of images: {place}",
            fix="Name a folder of images, or a CSV with their paths, with --images.",
        )
    if not named:
        raise InputError(
            f"no image in {place}", fix="Name the folder that the new images are in with --images."
        )
    return named


def _id(data: Data, path: str, place: Path) -> str:
    """The id of an image of a folder, as if that were the one of the run's test images."""
    tests = [data.test] if isinstance(data.test, str) else data.test
    # Of several test folders the one of this name.
    alike = [test for test in tests if Path(test).name == place.resolve().name]
    test = (alike or tests)[0].strip("/")
    if data.ids != "path" or test == ".":
        return image_id(data.ids, path)
    return path if path.startswith(f"{test}/") else f"{test}/{path}"


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
    given = [str(name) for name in table[ID]] if ID in table.columns else None
    if given is not None and "" in given:
        raise InputError(f"{place}: row {given.index('') + 2} has no id")
    ids = [image_id(data.ids, path) for path in paths] if given is None else given
    return [(name, place.parent / path) for name, path in zip(ids, paths, strict=True)]


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
