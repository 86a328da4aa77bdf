"""Random changes of training images: for each of them one map, and one table of light values.

What is drawn, and how large it may be, is fastai's `aug_transforms` (2.8), with the 13th place's
zoom-crop composed into the same map. How it is applied is not: fastai builds its grid in several
passes and takes each pixel to logits and back; here the geometry of an image is one 3 x 3 matrix,
and its light a table of 256 values that is looked up while bytes become floats.

The draws are made on the CPU, from a key per image. So they depend on no device, no batch size and
no neighbour.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from twinrun.config.recipe import Member
from twinrun.data.warp import warp_and_light
from twinrun.repro.keys import Key

# fastai's probabilities of a flip, of each other geometric change, of each change of light.
_FLIP, _GEOMETRY, _LIGHT = 0.5, 0.75, 0.75
# The eight symmetries of a square, as matrices of (x, y).
_SYMMETRIES = np.array(
    [
        [[1, 0], [0, 1]],
        [[-1, 0], [0, 1]],
        [[1, 0], [0, -1]],
        [[0, -1], [1, 0]],
        [[-1, 0], [0, -1]],
        [[0, 1], [-1, 0]],
        [[0, 1], [1, 0]],
        [[0, -1], [-1, 0]],
    ],
    np.float64,
)
_CORNERS = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], np.float64)
# As fastai's logit: 0 and 255 have none of their own.
_EDGE = 1e-7


class Augmentation:
    """Flips, rotation, perspective, zoom and light of a member, drawn for each image.

    Args:
        member: The recipe.
    """

    # Numbers drawn for an image: whether and how, of each change, whether it is asked for or not.
    # So a recipe without rotation draws the same flips.
    DRAWS = 19

    def __init__(self, member: Member) -> None:
        self.member = member

    def __call__(self, images: Tensor, keys: Sequence[Key]) -> Tensor:
        """Change a batch.

        Args:
            images: uint8, batch x 3 x size x size, channels last in memory: any size, such as
                `member.cached_size`.
            keys: Of each image.

        Returns:
            float32 from 0 to 1, batch x 3 x image_size x image_size, channels last in memory.
        """
        draws = np.stack([key.uniforms(self.DRAWS) for key in keys], 1)
        matrices, tables = (
            warp_matrices(self.member, draws),
            brightness_contrast_tables(self.member, draws),
        )
        return warp_and_light(images, matrices, tables, self.member.image_size)

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
        plain = np.tile(np.arange(256, dtype=np.float32) / 255, (count, 1))
        return warp_and_light(images, np.broadcast_to(matrix, (count, 3, 3)), plain, size)


def warp_matrices(member: Member, draws: np.ndarray) -> np.ndarray:
    """For each image the projective map from a place in the result to one in the image.

    Args:
        member: The recipe.
        draws: float64 in [0, 1), Augmentation.DRAWS x batch.

    Returns:
        float64, batch x 3 x 3, as `warp_and_light` takes them.
    """
    draw = iter(draws)
    affine = _matrices(_flips(member, next(draw), next(draw)))
    tilts = [
        _gated(next(draw), member.warp * (2 * next(draw) - 1), _GEOMETRY, 0.0) for _ in range(2)
    ]
    degrees = _gated(next(draw), member.rotate * (2 * next(draw) - 1), _GEOMETRY, 0.0)
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine @= _matrices(np.moveaxis(np.array([[cosine, sine], [-sine, cosine]]), 2, 0))
    zoom = _gated(next(draw), 1 + (member.zoom - 1) * next(draw), _GEOMETRY, 1.0)
    affine @= _zooms(zoom, next(draw), next(draw))
    smallest, largest = member.zoom_crop or (1.0, 1.0)
    zoom = smallest + (largest - smallest) * next(draw)
    affine @= _zooms(zoom, next(draw), next(draw))
    matrices: np.ndarray = _perspectives(*tilts) @ affine
    return matrices


def brightness_contrast_tables(member: Member, draws: np.ndarray) -> np.ndarray:
    """For each image what becomes of each of the 256 values of a byte.

    Brightness adds to the logit of a value, contrast multiplies it, as fastai has it.

    Args:
        member: The recipe.
        draws: As for `warp_matrices`.

    Returns:
        float32 from 0 to 1, batch x 256; where nothing was drawn, value / 255.
    """
    gate, brightness, other_gate, contrast = draws[-4:]
    light = member.lighting
    middle = _gated(gate, 0.5 * (1 + light * (2 * brightness - 1)), _LIGHT, 0.5)
    factor = _gated(other_gate, (1 - light) ** (1 - 2 * contrast), _LIGHT, 1.0)
    plain = np.arange(256) / 255
    values = np.clip(plain, _EDGE, 1 - _EDGE)
    logits = np.log(values / (1 - values)) + np.log(middle / (1 - middle))[:, None]
    tables = 1 / (1 + np.exp(-factor[:, None] * logits))
    unchanged = (middle == 0.5) & (factor == 1)
    tables[unchanged] = plain
    narrow: np.ndarray = tables.astype(np.float32)
    return narrow


def _gated(gate: np.ndarray, drawn: np.ndarray, probability: float, neutral: float) -> np.ndarray:
    return np.where(gate < probability, drawn, neutral)


def _flips(member: Member, gate: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Left and right, or with `flip_vertical` any symmetry of the square."""
    number = (which * len(_SYMMETRIES)).astype(int) if member.flip_vertical else 1
    return _SYMMETRIES[np.where(gate < _FLIP, number, 0)]


def _matrices(linear: np.ndarray) -> np.ndarray:
    """batch x 2 x 2 as batch x 3 x 3."""
    whole = np.broadcast_to(np.eye(3), (len(linear), 3, 3)).copy()
    whole[:, :2, :2] = linear
    return whole


def _zooms(zoom: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Towards a place in the image, from 0 to 1 in both directions."""
    scale = 1 / zoom
    whole = _matrices(scale[:, None, None] * np.eye(2))
    whole[:, 0, 2] = (1 - scale) * (2 * x - 1)
    whole[:, 1, 2] = (1 - scale) * (2 * y - 1)
    return whole


def _perspectives(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Maps of the square that move its corners: tilted about one axis, and the other."""
    corners = np.stack(
        [
            np.stack([-1 - y, -1 - x]),
            np.stack([-1 + y, 1 + x]),
            np.stack([1 + y, -1 + x]),
            np.stack([1 - y, 1 - x]),
        ]
    )
    equations = np.zeros((len(x), 8, 8))
    for number, (to, (u, v)) in enumerate(zip(_CORNERS, corners, strict=True)):
        for axis in range(2):
            row = equations[:, 2 * number + axis]
            row[:, 3 * axis : 3 * axis + 3] = np.stack([u, v, np.ones_like(u)], 1)
            row[:, 6:] = -to[axis] * np.stack([u, v], 1)
    found = np.linalg.solve(equations, np.broadcast_to(_CORNERS.reshape(8, 1), (len(x), 8, 1)))
    return np.concatenate([found[..., 0], np.ones((len(x), 1))], 1).reshape(-1, 3, 3)
