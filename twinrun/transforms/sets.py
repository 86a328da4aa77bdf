"""Named sets of random changes: values for the settings of several transforms at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from twinrun.registry import Registry


@dataclass(frozen=True)
class AugmentSet:
    """What a recipe's `augment` may name.

    Attributes:
        name: In the recipe.
        help: What it is for, in a line.
        values: Of settings of transforms, by their names. The others keep their defaults, and what
            the recipe says of a setting itself counts.
    """

    name: str
    help: str
    values: Mapping[str, Any]


AUGMENT_SETS: Registry[AugmentSet] = Registry("set of changes", AugmentSet, setting="augment")
AUGMENT_SETS.add(
    AugmentSet(
        "light",
        "small changes: objects that always lie alike, or few epochs",
        {"rotate": 5.0, "warp": 0.1, "zoom": 1.05, "lighting": 0.1},
    )
)
AUGMENT_SETS.add(
    AugmentSet(
        "medium",
        "fastai's changes, further, and a rectangle erased here and there",
        {"rotate": 15.0, "zoom": 1.2, "lighting": 0.3, "erasing": 0.15},
    )
)
AUGMENT_SETS.add(
    AugmentSet(
        "heavy",
        "all kinds: large networks, many epochs",
        {
            "zoom_crop": [0.75, 1.33],
            "rand_augment": 9.0,
            "erasing": 0.25,
            "blur": 1.0,
            "noise": 0.05,
            "grayscale": 0.05,
        },
    )
)
