"""What stacks share: one thread, logits to probabilities, classes that nothing was learnt of."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from twinrun.blend_methods.methods import ARITHMETIC, FitInput
from twinrun.errors import InputError
from twinrun.metrics import Numbers, Values


@contextmanager
def quiet_on_one_thread() -> Iterator[None]:
    """Within this context BLAS and OpenMP, of the libraries that are loaded, take one thread.

    How many share a sum decides its last bits. scikit-learn's warnings are left out: of many
    classes with few images each, and of a descent whose last steps change no score.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def seen_classes(found: FitInput) -> list[int]:
    """The numbers of the classes that the images are of, sorted."""
    return [int(number) for number in np.unique(found.labels)]


def side_by_side(values: Values) -> Values:
    """Members x images x classes as images x (member, class), in C's order."""
    return np.ascontiguousarray(values.transpose(1, 0, 2).reshape(values.shape[1], -1))


def shares_of(sizes: Values) -> Values:
    """Sizes, a member each, divided by their sum; equal ones where all are 0."""
    total = sizes.sum()
    return np.asarray(sizes / total) if total > 0 else np.full(len(sizes), 1 / len(sizes))


class Stacked(ABC):
    """A fitted model, for the probabilities of members in an order that is known.

    An image's bits depend on nothing beside it: all sums are taken number by number.

    Args:
        classes: How many there are.
        seen: The numbers of those that it was fitted to, sorted. Any other keeps its share of the
            members' weighted mean, since nothing was learnt of it.
    """

    def __init__(self, classes: int, seen: Sequence[int]) -> None:
        self.classes, self.seen = classes, list(seen)

    @abstractmethod
    def logits(self, members: Sequence[Values]) -> Values:
        """The logits of the classes of `seen`: images x them."""

    def combine(self, members: Iterable[Values], weights: Sequence[float]) -> Values:
        """As `Combination`; the weights are those of the classes that were not seen.

        Raises:
            InputError: The probabilities are of another number of classes.
        """
        given = list(members)
        images, classes = given[0].shape
        if classes != self.classes:
            raise no_stack(f"it is of {self.classes} classes, not of {classes}")
        shares = _softmax(self.logits(given))
        if len(self.seen) == classes:
            return shares
        mean = ARITHMETIC.combine(given, weights)
        total, known = np.zeros(images), np.zeros(images)
        for number in range(classes):
            total += mean[:, number]
            known += mean[:, number] if number in self.seen else 0.0
        result = np.divide(mean, total[:, None], out=np.zeros_like(mean), where=total[:, None] > 0)
        left = np.divide(known, total, out=np.ones_like(known), where=total > 0)
        result[:, self.seen] = shares * left[:, None]
        return result


def _softmax(logits: Values) -> Values:
    raised = np.exp(np.ascontiguousarray(logits - logits.max(axis=1, keepdims=True)))
    total = np.zeros(len(raised))
    for column in range(raised.shape[1]):
        total += raised[:, column]
    return np.asarray(raised / total[:, None])


def no_stack(why: object) -> InputError:
    """The error for numbers that are no such model, or one of other members."""
    return InputError(
        f"blend.json: its stack does not fit this run: {why}",
        fix="Blend the run again with `twinrun blend`.",
    )


def whole_numbers(values: Any, below: int) -> Numbers:
    """A list of whole numbers from 0 to less than `below`, as int64.

    Raises:
        ValueError: It is none.
    """
    found = np.array(values, dtype=np.int64)
    if found.ndim != 1 or ((found < 0) | (found >= below)).any():
        raise ValueError(f"not a list of whole numbers from 0 to {below - 1}")
    return found


def parts_of(model: Mapping[str, Any]) -> tuple[list[str], int, list[int]]:
    """Names of members, number of classes, and the seen ones of a model.

    Raises:
        ValueError: It has no such parts.
        KeyError: Likewise.
        TypeError: Likewise.
    """
    classes = int(model["classes"])
    seen = whole_numbers(model["seen"], classes).tolist()
    names = [str(name) for name in model["members"]]
    if not seen or sorted(set(seen)) != seen or len(set(names)) != len(names):
        raise ValueError("members or classes are named twice, or none is")
    return names, classes, seen
