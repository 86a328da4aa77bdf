"""What a random change of training images is, and what the changes of a batch add up to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

PLAIN = np.arange(256) / 255


class _NeverNeutral:
    """Equal to no value of a setting."""

    def __repr__(self) -> str:
        return "never"


# For `Transform.neutral`: at no value of its setting does the transform do nothing.
NEVER_NEUTRAL = _NeverNeutral()


@dataclass
class BatchChanges:
    """What is to be done to each image of a batch: one map, one table of light, and what is left.

    Attributes:
        matrices: float64, batch x 3 x 3: from a place in the result to one in the image, as
            `warp_and_light` takes them.
        levels: float64 from 0 to 1, batch x 256 or 1 x 256: what becomes of each value of a byte.
        pixels: What comes after these, in this order: the image's number in the batch, and what
            changes it in its place, float32 from 0 to 1, 3 x size x size.
    """

    matrices: np.ndarray
    levels: np.ndarray = field(default_factory=lambda: PLAIN[None])
    pixels: list[tuple[int, Callable[[Tensor], None]]] = field(default_factory=list)

    @classmethod
    def none(cls, count: int) -> BatchChanges:
        """No change of so many images."""
        return cls(np.tile(np.eye(3), (count, 1, 1)))

    @property
    def tables(self) -> np.ndarray:
        """The light as `warp_and_light` takes it: float32 from 0 to 1, batch x 256."""
        return np.broadcast_to(self.levels, (len(self.matrices), 256)).astype(np.float32)


class Transform(ABC):
    """A random change of a training image, with all that any room asks of it.

    It draws from a child key of its own, the image's key and its name: no other transform's numbers
    are moved by it, nor by a change of how many it draws.

    Attributes:
        name: Of its setting in a recipe, and of its draws.
        annotation: The setting's type and bounds, as pydantic takes them.
        default: The setting's value where a recipe says nothing.
        neutral: The value at which it does nothing: it is not applied then, and the setting stands
            in no member's identity. NEVER_NEUTRAL where there is none.
        help: What its setting means, in a line.
        draws: How many uniform numbers it draws for an image.
        order: Where it stands among the transforms: one of a lower order is applied nearer to the
            image as it lies in the cache. Of equals the name decides.
    """

    name: str
    annotation: Any
    default: Any
    neutral: Any
    help: str
    draws: int
    order: int

    @abstractmethod
    def magnification(self, value: Any) -> float:
        """The most by which it enlarges an image: decides the size that images are cached in.

        Args:
            value: Of the setting.
        """

    @abstractmethod
    def apply(self, changes: BatchChanges, value: Any, draws: np.ndarray) -> None:
        """Add what it does to each image of a batch.

        Args:
            changes: Of the transforms of lower order; they are changed.
            value: Of the setting.
            draws: float64 in [0, 1), `draws` x batch.
        """


class GeometryTransform(Transform):
    """A transform that moves the places of an image."""

    def apply(self, changes: BatchChanges, value: Any, draws: np.ndarray) -> None:
        changes.matrices = changes.matrices @ self.matrices(value, draws)

    @abstractmethod
    def matrices(self, value: Any, draws: np.ndarray) -> np.ndarray:
        """For each image the projective map from a place in the result to one in the image.

        Args:
            value: Of the setting.
            draws: float64 in [0, 1), `draws` x batch.

        Returns:
            float64, batch x 3 x 3, of places (x, y, 1) with x and y from -1 to 1.
        """


class LightTransform(Transform):
    """A transform that changes the values of an image's pixels, wherever they are."""

    def magnification(self, value: Any) -> float:  # noqa: ARG002
        return 1.0

    def apply(self, changes: BatchChanges, value: Any, draws: np.ndarray) -> None:
        changes.levels = self.levels(changes.levels, value, draws)

    @abstractmethod
    def levels(self, levels: np.ndarray, value: Any, draws: np.ndarray) -> np.ndarray:
        """For each image what becomes of each of the 256 values of a byte.

        Args:
            levels: float64 from 0 to 1, batch x 256 or 1 x 256: what has become of them so far.
            value: Of the setting.
            draws: float64 in [0, 1), `draws` x batch.

        Returns:
            float64 from 0 to 1, batch x 256.
        """


class PixelTransform(Transform):
    """A transform that neither a map nor a table can make: it changes some images after them.

    What it does must give the same bits with any number of threads: no sum over many pixels is
    left to a library.
    """

    def magnification(self, value: Any) -> float:  # noqa: ARG002
        return 1.0

    def apply(self, changes: BatchChanges, value: Any, draws: np.ndarray) -> None:
        for row in np.flatnonzero(draws[0] < self.probability(value)).tolist():
            change = partial(self.change, value=value, draws=draws[:, row])
            changes.pixels.append((row, change))

    @abstractmethod
    def probability(self, value: Any) -> float:
        """How probable it is that it changes an image: its first number is the gate.

        Args:
            value: Of the setting.
        """

    @abstractmethod
    def change(self, image: Tensor, value: Any, draws: np.ndarray) -> None:
        """Change an image in its place.

        Args:
            image: float32 from 0 to 1, 3 x size x size, on any device; its values stay in there.
            value: Of the setting.
            draws: float64 in [0, 1), `draws`.
        """


def where_drawn(
    gate: np.ndarray, drawn: np.ndarray, probability: float, neutral: float
) -> np.ndarray:
    """What was drawn, for those images whose gate is open; what does nothing for the others.

    Args:
        gate: float64 in [0, 1): open below the probability.
        drawn: Of the same shape.
        probability: Of a change.
        neutral: What does nothing.
    """
    return np.where(gate < probability, drawn, neutral)
