"""The table of random changes, in the order in which messages list their settings."""

from __future__ import annotations

from twinrun.registry import Registry
from twinrun.transforms.geometry import Flip, Rotate, Warp, Zoom, ZoomCrop
from twinrun.transforms.light import Lighting
from twinrun.transforms.pixels import Blur, Erasing, Grayscale, Noise
from twinrun.transforms.rand_augment import RandAugment
from twinrun.transforms.transform import Transform

TRANSFORMS: Registry[Transform] = Registry("transform", Transform, setting="recipe")
for _transform in (
    Blur(),
    Erasing(),
    Flip(),
    Grayscale(),
    Lighting(),
    Noise(),
    RandAugment(),
    Rotate(),
    Warp(),
    Zoom(),
    ZoomCrop(),
):
    TRANSFORMS.add(_transform)
