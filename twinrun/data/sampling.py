"""Which images an epoch takes where classes are drawn more evenly than they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from twinrun.repro.keys import Key


def quotas(images: Sequence[int], power: float) -> list[int]:
    """How many images of each class an epoch takes; as many in all as there are.

    A class of n images has a share of n to the power of 1 - `power`: at 0 its own, at 1 that of
    every other. What is left when shares are rounded down goes to the largest remainders, of equals
    to the first.

    Args:
        images: Of each class; one of none gets none.
        power: From 0 to 1.
    """
    total = sum(images)
    raw = np.array([count ** (1.0 - power) if count else 0.0 for count in images])
    exact = total * raw / raw.sum()
    whole = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - whole), kind="stable")
    whole[order[: total - int(whole.sum())]] += 1
    return [int(count) for count in whole]


class ClassSampler:
    """Draws an epoch's images: a pure function of key, epoch, ids and labels.

    Of each class all images are taken equally often, or one time more than others: which, the key
    says, anew in each epoch.

    Args:
        ids: Of the training images.
        labels: Of each the number of its class.
        power: See `quotas`; above 0.
    """

    def __init__(self, ids: Sequence[str], labels: Sequence[int], power: float) -> None:
        found: dict[int, list[int]] = {}
        for position, label in enumerate(labels):
            found.setdefault(label, []).append(position)
        self._ids = list(ids)
        self._classes = [found[label] for label in sorted(found)]
        self._quotas = quotas([len(each) for each in self._classes], power)

    def draw(self, key: Key, epoch: int) -> list[tuple[int, int]]:
        """The images of an epoch in order: the position of each, and how often it came before.

        Args:
            key: The loader's.
            epoch: From 0.
        """
        drawn: list[tuple[int, int]] = []
        for positions, quota in zip(self._classes, self._quotas, strict=True):
            order = key.of("sample", epoch).order([self._ids[each] for each in positions])
            for number in range(quota):
                times, place = divmod(number, len(positions))
                drawn.append((positions[order[place]], times))

        def rank(each: tuple[int, int]) -> int:
            position, times = each
            own = key.of("order", epoch, self._ids[position])
            return (own.of(times) if times else own).integer(256)

        return sorted(drawn, key=rank)
