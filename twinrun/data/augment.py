"""Random changes of training images: one map, one table of light values, and what is neither.

What may be drawn stands in the table of transforms. How it is applied is not fastai's, which builds
its grid in several passes and takes each pixel to logits and back; here the geometry of an image is
one 3 x 3 matrix, and its light a table of 256 values that is looked up while bytes become floats.

The draws are made on the CPU, each transform's from a key of its own below the image's. So they
depend on no device, no batch size, no neighbour and no other transform.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from twinrun.config.recipe import Member
from twinrun.data.warp import reduce, warp_and_light
from twinrun.repro.keys import Key, child_uniforms
from twinrun.transforms.table import TRANSFORMS
from twinrun.transforms.transform import PLAIN, BatchChanges, Transform


class Augmentation:
    """The random changes that a member's recipe asks for, drawn for each image.

    Args:
        member: The recipe.
    """

    def __init__(self, member: Member) -> None:
        self.member = member

    def __call__(self, images: Tensor, keys: Sequence[Key], size: int | None = None) -> Tensor:
        """Change a batch.

        Args:
            images: uint8, batch x 3 x size x size, channels last in memory: any size, such as
                `member.cached_size`.
            keys: Of each image.
            size: At which the images are seen, at most `image_size`, which it is when None.

        Returns:
            float32 from 0 to 1, batch x 3 x size x size, channels last in memory.
        """
        changes, whole = batch_changes(self.member, keys), self.member.image_size
        size = whole if size is None else size
        # So far that a map enlarges or passes over pixels as it does at the whole size.
        images = reduce(images, math.ceil(images.shape[-1] * size / whole))
        seen = warp_and_light(images, changes.matrices, changes.tables, size)
        for row, change in changes.pixels:
            change(seen[row])
        return seen

    def unchanged(self, images: Tensor, matrix: np.ndarray | None = None) -> Tensor:
        """A batch as it looks where nothing is drawn.

        Args:
            images: As of a call, and so is the result.
            matrix: The map of all images, as `warp_and_light` takes it; the whole square when None.
        """
        count, size = len(images), self.member.image_size
        if matrix is None:
            matrix = np.eye(3)
        if images.shape[-1] == size and np.array_equal(matrix, np.eye(3)):
            return images.to(torch.float32).div_(255)
        plain = np.tile(PLAIN.astype(np.float32), (count, 1))
        return warp_and_light(images, np.broadcast_to(matrix, (count, 3, 3)), plain, size)


def active_transforms(member: Member) -> list[tuple[Transform, Any]]:
    """The transforms that a recipe asks for, with their setting's value, in their order.

    One whose setting is at its neutral value is not among them.
    """
    values = [(TRANSFORMS.get(name), value) for name, value in member.transforms.items()]
    active = [(each, value) for each, value in values if value != each.neutral]
    return sorted(active, key=lambda pair: (pair[0].order, pair[0].name))


def draw(member: Member, keys: Sequence[Key]) -> dict[str, np.ndarray]:
    """The numbers of each transform that a recipe asks for, from its own key below an image's.

    Args:
        member: The recipe.
        keys: Of each image, one or more.

    Returns:
        float64 in [0, 1), the transform's `draws` x batch, by its name.
    """
    counts = {each.name: each.draws for each, _ in active_transforms(member)}
    return child_uniforms(keys, counts)


def batch_changes(member: Member, keys: Sequence[Key]) -> BatchChanges:
    """What the transforms of a recipe do to each image of a batch, together.

    Args:
        member: The recipe.
        keys: Of each image, one or more.
    """
    changes, draws = BatchChanges.none(len(keys)), draw(member, keys)
    for transform, value in active_transforms(member):
        transform.apply(changes, value, draws[transform.name])
    return changes
