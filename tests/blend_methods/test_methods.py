"""Comments, docs and settings name the ways to blend that the table holds."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from twinrun.blend_methods.methods import (
    AUTO,
    BLEND_METHODS,
    GEOMETRIC,
    SIMPLEST,
    mean_of,
    names_without_fit,
)
from twinrun.errors import InputError

ROOT = Path(__file__).parents[2]
NAMES = [*BLEND_METHODS.names, AUTO]


def test_the_simplest_comes_first_and_is_not_fitted() -> None:
    assert BLEND_METHODS.names == [
        "arithmetic",
        "geometric",
        "rank",
        "optimised",
        "selection",
        "logistic",
        "boosting",
    ]
    assert next(iter(BLEND_METHODS)) is SIMPLEST
    assert names_without_fit() == "arithmetic, geometric or rank"


def test_the_page_has_a_row_for_every_method_and_its_description() -> None:
    text = (ROOT / "docs" / "blending.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r'^\| `"(\w+)"`[^|]*\| (.*) \|$', text, flags=re.MULTILINE))
    assert list(rows) == NAMES
    for each in BLEND_METHODS:
        assert rows[each.name].replace("`", "").startswith(each.description)
        assert each.words in text, "the page's example shows every method's words"


def test_auto_has_the_simplest_mean_and_an_unknown_method_none() -> None:
    assert mean_of(AUTO) is SIMPLEST.mean
    assert mean_of("geometric") is GEOMETRIC
    with pytest.raises(InputError, match="there is no blend method 'geometrc'; did you mean"):
        mean_of("geometrc")


@pytest.mark.parametrize(
    "method", [each.name for each in BLEND_METHODS if not each.mean.across_images]
)
def test_a_mean_of_one_value_is_that_value(method: str) -> None:
    mean = mean_of(method)
    values = np.array([0.0, 0.25, 1.0])
    np.testing.assert_allclose(mean.back(mean.there(values)), values, atol=1e-15)
