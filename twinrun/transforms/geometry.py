"""Flips, perspective, rotation and zoom: each as a matrix that maps a place of the result.

What is drawn, and how large it may be, is fastai's `aug_transforms` (2.8), and the order is
fastai's, as it composes them. The second zoom, `zoom_crop`, is beyond these.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from twinrun.intervals import check_ascending_or_off
from twinrun.transforms.transform import NEVER_NEUTRAL, GeometryTransform, where_drawn

# fastai's probabilities of a flip, and of each other geometric change.
_FLIP, _GEOMETRY = 0.5, 0.75
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


class Warp(GeometryTransform):
    """Perspective: tilted about one axis, and the other; draws a gate and an amount for each."""

    name = "warp"
    annotation = Annotated[float, Field(ge=0, lt=1)]
    default = 0.2
    neutral = 0.0
    help = "perspective: the most by which corners move, of half a side"
    draws = 4
    order = 10

    def magnification(self, value: float) -> float:  # noqa: ARG002
        return 1.0

    def matrices(self, value: float, draws: np.ndarray) -> np.ndarray:
        gate_x, x, gate_y, y = draws
        return _perspectives(
            where_drawn(gate_x, value * (2 * x - 1), _GEOMETRY, 0.0),
            where_drawn(gate_y, value * (2 * y - 1), _GEOMETRY, 0.0),
        )


class Flip(GeometryTransform):
    """Left and right, or any symmetry of the square; draws a gate and which."""

    name = "flip_vertical"
    annotation = bool
    default = False
    neutral = NEVER_NEUTRAL  # without it images are still flipped left to right
    help = "any of the square's eight symmetries instead of left and right alone"
    draws = 2
    order = 20

    def magnification(self, value: bool) -> float:  # noqa: ARG002
        return 1.0

    def matrices(self, value: bool, draws: np.ndarray) -> np.ndarray:
        gate, which = draws
        number = (which * len(_SYMMETRIES)).astype(int) if value else 1
        return _linear(_SYMMETRIES[np.where(gate < _FLIP, number, 0)])


class Rotate(GeometryTransform):
    """A turn to either side; draws a gate and an angle."""

    name = "rotate"
    annotation = Annotated[float, Field(ge=0, le=180)]
    default = 10.0
    neutral = 0.0
    help = "the most that an image is turned to either side, in degrees"
    draws = 2
    order = 30

    def magnification(self, value: float) -> float:  # noqa: ARG002
        return 1.0

    def matrices(self, value: float, draws: np.ndarray) -> np.ndarray:
        gate, angle = draws
        radians = np.radians(where_drawn(gate, value * (2 * angle - 1), _GEOMETRY, 0.0))
        cosine, sine = np.cos(radians), np.sin(radians)
        return _linear(np.moveaxis(np.array([[cosine, sine], [-sine, cosine]]), 2, 0))


class Zoom(GeometryTransform):
    """Towards a random place; draws a gate, how far, and the place's x and y."""

    name = "zoom"
    annotation = Annotated[float, Field(ge=1, le=100)]
    default = 1.1
    neutral = 1.0
    help = "the most by which an image is enlarged, towards a random place in it"
    draws = 4
    order = 40

    def magnification(self, value: float) -> float:
        return value

    def matrices(self, value: float, draws: np.ndarray) -> np.ndarray:
        gate, how_far, x, y = draws
        return _zooms(where_drawn(gate, 1 + (value - 1) * how_far, _GEOMETRY, 1.0), x, y)


class ZoomCrop(GeometryTransform):
    """One more zoom, of every image, also to a smaller one; draws how far, and a place."""

    name = "zoom_crop"
    annotation = Annotated[
        list[Annotated[float, Field(ge=0.01, le=100)]], AfterValidator(check_ascending_or_off)
    ]
    default: Any = []  # noqa: RUF012 - pydantic copies it
    neutral: Any = []  # noqa: RUF012
    help = "smallest and largest scale of one more zoom, drawn for every image"
    draws = 3
    order = 50

    def magnification(self, value: list[float]) -> float:
        return max(value, default=1.0)

    def matrices(self, value: list[float], draws: np.ndarray) -> np.ndarray:
        smallest, largest = value
        how_far, x, y = draws
        return _zooms(smallest + (largest - smallest) * how_far, x, y)


def _linear(matrices: np.ndarray) -> np.ndarray:
    """batch x 2 x 2 as batch x 3 x 3."""
    whole = np.tile(np.eye(3), (len(matrices), 1, 1))
    whole[:, :2, :2] = matrices
    return whole


def _zooms(zoom: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Towards a place in the image, from 0 to 1 in both directions."""
    scale = 1 / zoom
    whole = _linear(scale[:, None, None] * np.eye(2))
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
