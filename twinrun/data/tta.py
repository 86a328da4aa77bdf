"""Test-time augmentation: the passes in which an image is seen, each with a change of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from twinrun.config.recipe import Member
from twinrun.data.augment import Augmentation
from twinrun.repro.keys import Key

# Of an image's square, the part that a crop takes: 224 of 256 pixels, as Krizhevsky et al.,
# "ImageNet classification with deep convolutional neural networks", 2012, section 4.1.
_CROP = 224 / 256
# (x, y) from 0 to 1: the middle and the four corners.
_PLACES = ((0.5, 0.5), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))


@dataclass(frozen=True)
class View:
    """One look at every image.

    Attributes:
        method: "flips", "crops" or "train", as the setting.
        number: From 0. The first of the flips is the image as it is, the first of the crops its
            middle. Of the training's changes it is a part of the key.
    """

    method: str
    number: int

    @property
    def augments(self) -> bool:
        """Whether images are changed at random, as in training."""
        return self.method == "train"

    def shares(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray | float:
        """Where along its longer side the square of an image is taken.

        Args:
            rows: Of each image, int64.
            columns: Of each image, int64.

        Returns:
            From 0 to 1, as for `PixelRows.windows`.
        """
        if self.method != "crops":
            return 0.5
        x, y = _PLACES[self.number]
        return np.where(rows > columns, y, x)

    def keys(self, key: Key, purpose: str, ids: Sequence[str]) -> list[Key]:
        """Of what this pass draws for images.

        Args:
            key: (seed, member).
            purpose: Of the draws.
            ids: Of the images.
        """
        seen = key.of("test-time", self.number)
        return [seen.of(image, purpose) for image in ids]

    def shares_of(
        self, rows: np.ndarray, columns: np.ndarray, key: Key, ids: Sequence[str]
    ) -> np.ndarray | float:
        """As `shares`; where the pass draws them, those that it draws for these images."""
        if not self.augments:
            return self.shares(rows, columns)
        return np.concatenate([each.uniforms(1) for each in self.keys(key, "item", ids)])

    def see(
        self, augmentation: Augmentation, images: Tensor, key: Key, ids: Sequence[str]
    ) -> Tensor:
        """Squares as this pass sees them.

        Args:
            augmentation: Of the member.
            images: uint8, batch x 3 x any size x the same, channels last in memory.
            key: (seed, member).
            ids: Of the images.

        Returns:
            float32 from 0 to 1, batch x 3 x image_size x image_size, channels last in memory.
        """
        if self.augments:
            return augmentation(images, self.keys(key, "augment", ids))
        return self.flip(augmentation.unchanged(images, self.matrix))

    @property
    def matrix(self) -> np.ndarray:
        """The map to the part of the square that a crop takes; of the other passes it is whole."""
        matrix = np.eye(3)
        if self.method == "crops":
            matrix[0, 0] = matrix[1, 1] = _CROP
            for axis, place in enumerate(_PLACES[self.number]):
                matrix[axis, 2] = (1 - _CROP) * (2 * place - 1)
        return matrix

    def flip(self, images: Tensor) -> Tensor:
        """The squares flipped as this pass sees them, without a change of any value.

        Args:
            images: float32, batch x 3 x size x size.

        Returns:
            The same shape, channels last in memory.
        """
        if self.method != "flips":
            return images
        turned, down, across = self.number & 4, self.number & 2, self.number & 1
        images = images.transpose(-1, -2) if turned else images
        axes = [axis for axis, wanted in ((-2, down), (-1, across)) if wanted]
        return images.flip(axes).contiguous(memory_format=torch.channels_last)


def tta_views(member: Member) -> list[View]:
    """The passes of a recipe's test-time augmentation; none where it has none.

    Flips are those that the training draws from: as it is and left to right, or, with
    `flip_vertical`, all eight symmetries of the square. Crops are five: the middle and the corners.
    """
    count = {
        "none": 0,
        "flips": 8 if member.transforms["flip_vertical"] else 2,
        "crops": len(_PLACES),
        "train": member.test_time.times,
    }
    return [
        View(member.test_time.method, number) for number in range(count[member.test_time.method])
    ]
