"""What stands among the images and is not read: counted and named at every run."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from twinrun.config.extras import how_to_install
from twinrun.config.listing import JUNK, places
from twinrun.config.settings import Settings
from twinrun.console import Line, count_of
from twinrun.errors import shorten
from twinrun.image_files import look_into
from twinrun.image_formats import Other

# An image all the same: no layout looks there, or no label names it.
_UNUSED = Other("image that is not asked for")
# Of each kind so many are named in a run's lines.
_SHOWN = 3


def passed_over(settings: Settings, images: Iterable[str]) -> dict[str, Other]:
    """What the folders of training and test images hold beside the images that are read.

    Hidden files and folders and those that macOS adds to archives are left out, and so are the
    tables that the settings name.

    Args:
        settings: Of the run.
        images: The paths of the images that are read, relative to the data folder.

    Returns:
        What each file is, by path, sorted.
    """
    root, data = settings.data_folder, settings.data
    known = {*images, data.sample_submission, data.labels}
    named = [place for key in (data.train, data.test) for place in places(root, key).values()]
    found = {path for place in named for path in _files(root, place)} - known
    return {path: look_into(f"{root}/{path}") or _UNUSED for path in sorted(found)}


def lines_on(others: Mapping[str, Other]) -> list[Line]:
    """A few lines for a run: of each kind how many, which, and what to do about them."""
    if not others:
        return []
    lines: list[Line] = [
        (("passed", "yellow"), f"    over {count_of(len(others), 'file')} beside the images:")
    ]
    for other, paths in kinds(others):
        lines.append(
            (f"          {len(paths):,} {other.words}: {', '.join(shorten(paths, _SHOWN))}",)
        )
        if way := way_to_read(other):
            lines.append((f"            {way}",))
    return lines


def kinds(others: Mapping[str, Other]) -> list[tuple[Other, list[str]]]:
    """The paths of files by what they are, the most frequent kind first.

    Args:
        others: What each is, by path.
    """
    found: dict[Other, list[str]] = defaultdict(list)
    for path, other in others.items():
        found[other].append(path)
    return sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))


def way_to_read(other: Other) -> str:
    """What to do about files of a kind that are pictures; empty where they are none."""
    return f"to read them: {how_to_install(other.package)}" if other.package else other.advice


def _files(root: Path, place: str) -> Iterator[str]:
    """The paths of all visible files in a folder and below it, relative to the data folder."""
    for folder, below, names in os.walk(root / place):
        below[:] = [name for name in below if not name.startswith(".") and name != JUNK]
        where = Path(folder).relative_to(root).as_posix()
        start = "" if where == "." else f"{where}/"
        yield from (start + name for name in names if not name.startswith("."))
