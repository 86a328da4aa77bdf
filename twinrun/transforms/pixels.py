"""Changes that no map of places and no table of light can make: erasing, greys, blur, noise.

They come after the one warp, of the few images that draw them. All of it is made of operations that
every processor rounds alike (sums, products, comparisons of one element), never of a library's sum
over many: the bits depend on no number of threads, and a GPU gives those of a CPU.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from twinrun.transforms.transform import PixelTransform

if TYPE_CHECKING:
    from torch import Tensor

Probability = Annotated[float, Field(ge=0, le=1)]

# ImageNet's mean colour: what is near to nothing after the pixels are normalised.
_MEAN = (0.485, 0.456, 0.406)
# Shares of red, green and blue in the light that is seen (ITU-R BT.601, 1982).
_SEEN = (0.299, 0.587, 0.114)
# Of blur and noise: how many images have any.
_SOME = 0.25
# Of the area of an image that is erased, and of the sides of what is (Zhong et al., 2017).
_AREA, _SIDES = (0.02, 0.33), (0.3, 1 / 0.3)
# The deviation of the sum of four bytes, each drawn from 0 to 255.
_FOUR_BYTES = (4 * (256**2 - 1) / 12) ** 0.5


class Erasing(PixelTransform):
    """A rectangle of a mean colour (Zhong et al., "Random erasing data augmentation", 2017).

    Draws a gate, the area, the ratio of the sides, and the place's x and y.
    """

    name = "erasing"
    annotation = Probability
    default = 0.0
    neutral = 0.0
    help = "how probable it is that a rectangle of an image, 2 to 33 percent of it, is erased"
    draws = 5
    order = 90

    def probability(self, value: float) -> float:
        return value

    def change(self, image: Tensor, value: float, draws: np.ndarray) -> None:  # noqa: ARG002
        _, area, sides, x, y = draws
        smallest, largest = _SIDES
        ratio = smallest * (largest / smallest) ** sides
        share = _AREA[0] + (_AREA[1] - _AREA[0]) * area
        size = image.shape[-1]
        height = min(max(round(size * (share * ratio) ** 0.5), 1), size)
        width = min(max(round(size * (share / ratio) ** 0.5), 1), size)
        top, left = int(y * (size - height + 1)), int(x * (size - width + 1))
        for channel, mean in enumerate(_MEAN):
            image[channel, top : top + height, left : left + width] = mean


class Grayscale(PixelTransform):
    """An image without its colours; draws a gate."""

    name = "grayscale"
    annotation = Probability
    default = 0.0
    neutral = 0.0
    help = "how probable it is that an image loses its colours"
    draws = 1
    order = 70

    def probability(self, value: float) -> float:
        return value

    def change(self, image: Tensor, value: float, draws: np.ndarray) -> None:  # noqa: ARG002
        image.copy_(greys(image).expand_as(image))


class Blur(PixelTransform):
    """A Gaussian blur of every fourth image; draws a gate and how far."""

    name = "blur"
    annotation = Annotated[float, Field(ge=0, le=20)]
    default = 0.0
    neutral = 0.0
    help = "the most by which every fourth image is blurred: a deviation, in pixels of image_size"
    draws = 2
    order = 75

    def probability(self, value: float) -> float:  # noqa: ARG002
        return _SOME

    def change(self, image: Tensor, value: float, draws: np.ndarray) -> None:
        weights = gaussian_weights(value * draws[1], image.shape[-1] - 1)
        image.copy_(smoothed(smoothed(image, weights, 1), weights, 2))


class Noise(PixelTransform):
    """Noise upon every fourth image; draws a gate, how much, and the noise's own key.

    Each value gets the sum of four random bytes, less its mean: as good as normal, and the same
    bits wherever NumPy's Philox is.
    """

    name = "noise"
    annotation = Annotated[float, Field(ge=0, le=1)]
    default = 0.0
    neutral = 0.0
    help = "the most noise that every fourth image gets: a deviation, as a share of white"
    draws = 3
    order = 80

    def probability(self, value: float) -> float:  # noqa: ARG002
        return _SOME

    def change(self, image: Tensor, value: float, draws: np.ndarray) -> None:
        numbers = np.random.Philox(key=int(draws[2] * 2**53)).random_raw(image.numel() // 2 + 1)
        # Little-endian on every machine that torch runs on.
        four = numbers.view(np.uint8)[: 4 * image.numel()].reshape(*image.shape, 4)
        sums = four.sum(3, dtype=np.int16).astype(np.float32) - np.float32(2 * 255)
        scaled = sums * np.float32(value * draws[1] / _FOUR_BYTES)
        image.add_(image.new_tensor(scaled)).clamp_(0, 1)


def greys(image: Tensor) -> Tensor:
    """The light of each place: float32, 1 x height x width, of 3 x height x width."""
    grey: Tensor = image[:1] * _SEEN[0]
    for channel in (1, 2):
        grey.add_(image[channel : channel + 1] * _SEEN[channel])
    return grey


def gaussian_weights(deviation: float, most: int) -> np.ndarray:
    """What a place and its neighbours to one side count in a Gaussian blur, the place itself first.

    Args:
        deviation: In pixels; 0 gives the place alone.
        most: How many neighbours there are at the most.

    Returns:
        float64, so that the first and twice the others make 1; up to three deviations.
    """
    reach = min(ceil(3 * deviation), most)
    weights = np.exp(-0.5 * (np.arange(reach + 1) / max(deviation, 1e-9)) ** 2)
    shares: np.ndarray = weights / (weights[0] + 2 * weights[1:].sum())
    return shares


def smoothed(image: Tensor, weights: np.ndarray, axis: int) -> Tensor:
    """Each place as a mean of its neighbours along an axis; mirrored beyond the edges.

    Args:
        image: float32, channels x height x width.
        weights: As `gaussian_weights` gives them.
        axis: 1 or 2.
    """
    size, reach = image.shape[axis], len(weights) - 1
    places = np.abs(np.arange(-reach, size + reach))
    places = np.where(places >= size, 2 * (size - 1) - places, places)
    wide = image[:, places] if axis == 1 else image[:, :, places]
    found = image * float(weights[0])
    for far, weight in enumerate(weights[1:].tolist(), 1):
        # Not `alpha` of an addition: some processors round such a product and sum once, not twice.
        both = wide.narrow(axis, reach - far, size) + wide.narrow(axis, reach + far, size)
        found.add_(both.mul_(weight))
    return found
