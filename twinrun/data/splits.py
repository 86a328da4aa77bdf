"""Which training images are held out for validation."""

from __future__ import annotations

from collections.abc import Sequence

from twinrun.errors import InputError
from twinrun.repro.keys import Key


def held_out_count(images: int, share: float) -> int:
    """How many of so many images a share is: rounded down, as fastai does, but at least 1."""
    return max(1, int(share * images))


def validation_ids(
    ids: Sequence[str], *, share: float, seed: int, groups: Sequence[str] | None = None
) -> list[str]:
    """The ids that are held out, in sorted order: a random part of the given share.

    The seed and the id alone decide, so every member with one share holds out the same images, and
    a smaller share is a part of a larger one. The count is rounded down, as fastai does, but at
    least 1.

    Images of one group are held out together: the last group may bring more than the count. Without
    groups of several images the split is the one that it is without groups.

    Args:
        ids: Of the training images.
        share: To be held out.
        seed: Of the run.
        groups: The group of each image; each is alone when None.

    Raises:
        InputError: Fewer than two training images would be left.
    """
    count = held_out_count(len(ids), share)
    together: dict[str, list[str]] = {}
    for image, group in zip(ids, ids if groups is None else groups, strict=True):
        together.setdefault(group, []).append(image)
    # A group is ranked by its smallest id: what a group is called decides nothing.
    by_first = {min(images): images for images in together.values()}
    firsts = list(by_first)
    held_out: list[str] = []
    for position in Key((seed, "split")).order(firsts):
        if len(held_out) >= count:
            break
        held_out += by_first[firsts[position]]
    if len(ids) - max(count, len(held_out)) < 2:
        largest = max(map(len, together.values()), default=0)
        copies = f", since {largest} of them are copies of each other" if largest > 1 else ""
        raise InputError(
            f"{len(ids)} training images with a validation share of {share} leave "
            f"{max(0, len(ids) - max(count, len(held_out)))} to train on{copies}",
            fix="Add images, or set a smaller validation.share."
            + (" data.duplicates = 'keep' holds copies apart." if copies else ""),
        )
    return sorted(held_out)
