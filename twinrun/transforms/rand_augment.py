"""RandAugment: two of fourteen operations for each image (Cubuk et al., 2019, arXiv:1909.13719).

What is a map of places or a table of light joins those of the other transforms, so that an image
is still warped once; the rest comes after it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from pydantic import Field

from twinrun.transforms.pixels import greys
from twinrun.transforms.transform import PLAIN, BatchChanges, Transform

if TYPE_CHECKING:
    from torch import Tensor

# Of each image, as the paper and its followers have it; and the magnitude that is called 1 here.
_OPERATIONS, _LARGEST = 2, 30.0


def _shear(row: int, amount: float) -> np.ndarray:
    matrix = np.eye(3)
    matrix[row, 1 - row] = 0.3 * amount
    return matrix


def _translation(row: int, amount: float) -> np.ndarray:
    matrix = np.eye(3)
    # Places go from -1 to 1, so that a whole side is 2.
    matrix[row, 2] = 2 * 0.45 * amount
    return matrix


def _rotation(amount: float) -> np.ndarray:
    radians = np.radians(30 * amount)
    matrix = np.eye(3)
    matrix[:2, :2] = [[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]]
    return matrix


def _posterized(levels: np.ndarray, amount: float) -> np.ndarray:
    dropped = int(4 * abs(amount))
    found: np.ndarray = (np.rint(levels * 255).astype(int) >> dropped << dropped) / 255
    return found


def _solarized(levels: np.ndarray, amount: float) -> np.ndarray:
    return np.where(levels >= 1 - abs(amount), 1 - levels, levels)


def _contrasted(levels: np.ndarray, amount: float) -> np.ndarray:
    return np.clip(0.5 + (1 + 0.9 * amount) * (levels - 0.5), 0, 1)


def _brightened(levels: np.ndarray, amount: float) -> np.ndarray:
    return np.clip((1 + 0.9 * amount) * levels, 0, 1)


def _coloured(image: Tensor, amount: float) -> None:
    grey = greys(image)
    image.sub_(grey).mul_(1 + 0.9 * amount).add_(grey).clamp_(0, 1)


def _sharpened(image: Tensor, amount: float) -> None:
    """Towards, or away from, a mean of 3 x 3 in which the middle counts five of thirteen."""
    inner = image[:, 1:-1, 1:-1]
    around = inner * 4
    size = image.shape[-1]
    for row in range(3):
        for column in range(3):
            around.add_(image[:, row : size - 2 + row, column : size - 2 + column])
    around.mul_(1 / 13)
    inner.copy_((inner - around).mul_(1 + 0.9 * amount).add_(around).clamp_(0, 1))


def _stretched(image: Tensor, amount: float) -> None:  # noqa: ARG001
    """Each colour from 0 to 1."""
    lowest, highest = image.amin((1, 2), keepdim=True), image.amax((1, 2), keepdim=True)
    spread = highest - lowest
    # A colour of one value stays.
    flat = spread == 0
    image.sub_(lowest.masked_fill(flat, 0)).div_(spread.masked_fill(flat, 1))


def _equalized(image: Tensor, amount: float) -> None:  # noqa: ARG001
    """Each colour so that all its values are as frequent as can be."""
    for channel in image:
        values = (channel * 255).round_().long()
        counts = values.flatten().bincount(minlength=256).cpu().numpy()
        channel.copy_(image.new_tensor(equalizing_levels(counts))[values])


def equalizing_levels(counts: np.ndarray) -> np.ndarray:
    """What becomes of each value of a byte where all are to be as frequent as can be.

    Args:
        counts: int64, 256: how many pixels have each value.

    Returns:
        float64 from 0 to 1, 256; each value itself where one alone is there.
    """
    there = np.flatnonzero(counts)
    step = (counts.sum() - counts[there[-1]]) // 255
    if len(there) == 1 or step == 0:
        return PLAIN
    below = np.cumsum(counts) - counts
    found: np.ndarray = np.minimum((below + step // 2) // step, 255) / 255
    return found


class Operation(NamedTuple):
    """One of the fourteen; it has one of a map, a table and a change of pixels, or none.

    Attributes:
        name: As in the paper.
        matrix: The map from a place in the result to one in the image, of an amount from -1 to 1.
        levels: What becomes of the 256 values of a byte, each from 0 to 1.
        pixels: Changes an image, float32, 3 x size x size, in its place.
    """

    name: str
    matrix: Callable[[float], np.ndarray] | None = None
    levels: Callable[[np.ndarray, float], np.ndarray] | None = None
    pixels: Callable[..., None] | None = None


OPERATIONS = (
    Operation("identity"),
    Operation("autocontrast", pixels=_stretched),
    Operation("equalize", pixels=_equalized),
    Operation("rotate", matrix=_rotation),
    Operation("solarize", levels=_solarized),
    Operation("color", pixels=_coloured),
    Operation("posterize", levels=_posterized),
    Operation("contrast", levels=_contrasted),
    Operation("brightness", levels=_brightened),
    Operation("sharpness", pixels=_sharpened),
    Operation("shear_x", matrix=partial(_shear, 0)),
    Operation("shear_y", matrix=partial(_shear, 1)),
    Operation("translate_x", matrix=partial(_translation, 0)),
    Operation("translate_y", matrix=partial(_translation, 1)),
)


class RandAugment(Transform):
    """Two operations for each image, of one magnitude; draws for each which, and to which side."""

    name = "rand_augment"
    annotation = Annotated[float, Field(ge=0, le=_LARGEST)]
    default = 0.0
    neutral = 0.0
    help = "the magnitude, from 0 to 30, of two operations of RandAugment's on every image"
    draws = 2 * _OPERATIONS
    order = 65

    def magnification(self, value: float) -> float:  # noqa: ARG002
        return 1.0

    def apply(self, changes: BatchChanges, value: float, draws: np.ndarray) -> None:
        amounts = np.where(draws[_OPERATIONS:] < 0.5, -value, value) / _LARGEST
        numbers = (draws[:_OPERATIONS] * len(OPERATIONS)).astype(int)
        count = len(changes.matrices)
        changes.levels = np.broadcast_to(changes.levels, (count, 256)).copy()
        for row in range(count):
            for number, amount in zip(numbers[:, row], amounts[:, row].tolist(), strict=True):
                operation = OPERATIONS[number]
                if operation.matrix is not None:
                    changes.matrices[row] = changes.matrices[row] @ operation.matrix(amount)
                if operation.levels is not None:
                    changes.levels[row] = operation.levels(changes.levels[row], amount)
                if operation.pixels is not None:
                    changes.pixels.append((row, partial(operation.pixels, amount=amount)))
