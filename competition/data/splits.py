"""Which training images are held out for validation."""

from __future__ import annotations

from collections.abc import Sequence

from competition.determinism.randomness import Key
from competition.errors import InputError


def held_out_count(images: int, share: float) -> int:
    """How many of so many images a share is: rounded down, as fastai does, but at least 1."""
    return max(1, int(share * images))


def validation_ids(ids: Sequence[str], *, share: float, seed: int) -> list[str]:
    """The ids that are held out, in sorted order: a random part of the given share.

    The seed and the id alone decide, so every member with one share holds out the same images, and
    a smaller share is a part of a larger one. The count is rounded down, as fastai does, but at
    least 1.

    Raises:
        InputError: Fewer than two training images would be left.
    """
    count = held_out_count(len(ids), share)
    if len(ids) - count < 2:
        raise InputError(
            f"{len(ids)} training images with a validation share of {share} leave "
            f"{len(ids) - count} to train on",
            mend="Add images, or set a smaller validation.share.",
        )
    order = Key((seed, "split")).order(ids)
    return sorted(ids[position] for position in order[:count])
