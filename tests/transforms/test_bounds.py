"""Every transform at the bounds of its setting, and at those of what it draws."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from twinrun.transforms.table import TRANSFORMS
from twinrun.transforms.transform import BatchChanges, Transform

# The smallest and the largest number that is drawn, and some between.
DRAWS = (0.0, 0.3, 0.5, np.nextafter(1.0, 0.0))


def bounds(schema: dict[str, Any]) -> list[float]:
    """The smallest and the largest number that a setting may be."""
    smallest = schema.get("minimum", np.nextafter(schema.get("exclusiveMinimum", -np.inf), np.inf))
    largest = schema.get("maximum", np.nextafter(schema.get("exclusiveMaximum", np.inf), -np.inf))
    return [float(smallest), float(largest)]


def extremes(transform: Transform) -> list[Any]:
    schema = TypeAdapter[object](transform.annotation).json_schema()
    if schema["type"] == "boolean":
        return [False, True]
    if schema["type"] == "number":
        return [*bounds(schema)]
    smallest, largest = bounds(schema["items"])
    return [[smallest, smallest], [smallest, largest], [largest, largest]]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda each: each.name)
def test_no_value_of_a_setting_gives_what_is_no_number(transform: Transform) -> None:
    draws = np.array(list(itertools.product(DRAWS, repeat=transform.draws))).T
    for value in extremes(transform):
        assert np.isfinite(transform.magnification(value))
        if value == transform.neutral:
            continue
        changes = BatchChanges.none(draws.shape[1])
        transform.apply(changes, value, draws)
        assert np.isfinite(changes.matrices).all(), value
        assert np.isfinite(changes.levels).all(), value
        assert ((changes.levels >= 0) & (changes.levels <= 1)).all(), value
        assert changes.tables.shape == (draws.shape[1], 256)
        images = torch.rand(draws.shape[1], 3, 32, 32, generator=torch.Generator().manual_seed(0))
        images[::3] = images[::3, :, :1, :1]  # of one colour
        images[1::3] = images[1::3].round()
        for row, change in changes.pixels:
            change(images[row])
        # What is no number is neither.
        assert bool(((images >= 0) & (images <= 1)).all()), value
