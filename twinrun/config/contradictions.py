"""Labels that are written twice, in a table and as folder names, and differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from twinrun.config.label_layout import Labelled
from twinrun.config.listing import Folder
from twinrun.errors import InputError, shorten
from twinrun.names import one_spelling

# So many images are named, and so many classes of each reading.
_SHOWN = 10


class Contradiction(InputError):
    """Two readings of the labels differ: whatever else can be read, the user decides."""


def folder_classes(
    paths: Collection[str], folders: Sequence[Folder], classes: Collection[str]
) -> dict[str, str]:
    """The classes that folders are named after, by the paths of the images below them.

    A folder that has another name says nothing of its images.

    Args:
        paths: Of the images.
        folders: Of the training images; only the names of folders below them count.
        classes: Known from a table or a sample submission.
    """
    tops = sorted((each.path for each in folders), key=len, reverse=True)
    found = {}
    for path in paths:
        top = next((each for each in tops if not each or path.startswith(f"{each}/")), "")
        between = path.removeprefix(top).strip("/").split("/")[:-1]
        named = [name for name in map(one_spelling, reversed(between)) if name in classes]
        if named:
            found[path] = named[0]
    return found


def find_contradictions(first: Mapping[str, str], second: Mapping[str, str]) -> list[str]:
    """The paths of the images that two readings label differently, sorted."""
    return sorted(path for path in first.keys() & second.keys() if first[path] != second[path])


def contradiction(
    where: Path, first: Labelled, second: Labelled, *, fix: str | Sequence[str]
) -> Contradiction:
    """The error for two readings that label images differently, with both shown.

    Args:
        where: The data folder.
        first: One reading.
        second: The other.
        fix: What to do.
    """
    wrong = find_contradictions(first.labels, second.labels)
    images = "image" if len(wrong) == 1 else "images"
    return Contradiction(
        f"{where}: {len(wrong):,} {images} labelled differently by {first.source} and by "
        f"{second.source}",
        details=[
            *(f"by {each.source}: {_classes(each)}" for each in (first, second)),
            *shorten(
                [f"{path}: {first.labels[path]} or {second.labels[path]}" for path in wrong],
                most=_SHOWN,
            ),
        ],
        fix=fix,
    )


def _classes(labelled: Labelled) -> str:
    counts = Counter(labelled.labels.values())
    return ", ".join(
        shorten([f"{name} ({n:,})" for name, n in sorted(counts.items())], most=_SHOWN)
    )
