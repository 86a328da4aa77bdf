"""Brightness and contrast: each image's pixels by one table of 256 values."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from twinrun.transforms.transform import LightTransform, where_drawn

# fastai's probability of each change of light.
_LIGHT = 0.75
# As fastai's logit: 0 and 255 have none of their own.
_EDGE = 1e-7


class Lighting(LightTransform):
    """fastai's: brightness adds to the logit of a value, contrast multiplies it.

    Draws a gate and an amount for each of the two.
    """

    name = "lighting"
    annotation = Annotated[float, Field(ge=0, lt=1)]
    default = 0.2
    neutral = 0.0
    help = "brightness and contrast: the most by which they change, as a share"
    draws = 4
    order = 60

    def levels(self, levels: np.ndarray, value: float, draws: np.ndarray) -> np.ndarray:
        gate, brightness, other_gate, contrast = draws
        middle = where_drawn(gate, 0.5 * (1 + value * (2 * brightness - 1)), _LIGHT, 0.5)
        factor = where_drawn(other_gate, (1 - value) ** (1 - 2 * contrast), _LIGHT, 1.0)
        inner = np.clip(levels, _EDGE, 1 - _EDGE)
        logits = np.log(inner / (1 - inner)) + np.log(middle / (1 - middle))[:, None]
        unchanged = (middle == 0.5) & (factor == 1)
        with np.errstate(over="ignore"):  # infinite: the darkest value, which is right
            changed = 1 / (1 + np.exp(-factor[:, None] * logits))
        return np.where(unchanged[:, None], levels, changed)
