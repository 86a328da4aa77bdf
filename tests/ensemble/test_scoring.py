"""The log loss is scikit-learn's where rows sum to 1, and the host's where they do not."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.metrics import log_loss as scikit_learns_log_loss

from competition.ensemble.scoring import log_loss

# In the alphabetical order that scikit-learn takes columns to be in.
CLASSES = ["healthy", "leaf", "stem"]


def predictions(values: npt.ArrayLike) -> pd.DataFrame:
    table = pd.DataFrame(np.asarray(values), columns=CLASSES)
    table.insert(0, "id", [f"{number:06d}" for number in range(len(table))])
    return table


def test_log_loss_is_as_computed_by_hand() -> None:
    table = predictions([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]])
    assert log_loss(table, ["leaf", "healthy"]) == pytest.approx(5 * math.log(2) / 2, rel=1e-15)


@pytest.mark.parametrize("sharpness", [0.02, 1.0, 50.0])
def test_log_loss_is_scikit_learns_where_rows_sum_to_one(sharpness: float) -> None:
    random = np.random.default_rng(0)
    values = random.dirichlet(np.full(3, sharpness), size=200)
    labels = random.choice(CLASSES, size=200)
    expected = scikit_learns_log_loss(labels, values, labels=CLASSES)
    assert log_loss(predictions(values), labels) == pytest.approx(expected, rel=1e-12)


def test_impossible_truth_costs_what_it_costs_in_scikit_learn() -> None:
    values = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    labels = ["stem", "leaf"]
    expected = scikit_learns_log_loss(labels, values, labels=CLASSES)
    assert math.isfinite(expected)
    assert log_loss(predictions(values), labels) == pytest.approx(expected, rel=1e-12)


def test_uniform_guessing_costs_the_logarithm_of_the_number_of_classes() -> None:
    table = predictions(np.full((9, 3), 1 / 3))
    assert log_loss(table, CLASSES * 3) == pytest.approx(math.log(3), rel=1e-15)


def test_rows_are_taken_as_they_are_and_not_renormalised() -> None:
    table = predictions([[0.5, 0.5, 0.5]])
    assert log_loss(table, ["stem"]) == pytest.approx(math.log(2), rel=1e-15)


def test_classes_are_found_by_name_whatever_the_order_of_the_columns() -> None:
    table = predictions([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]])
    turned = table[["id", "stem", "healthy", "leaf"]]
    assert log_loss(turned, ["leaf", "healthy"]) == log_loss(table, ["leaf", "healthy"])
