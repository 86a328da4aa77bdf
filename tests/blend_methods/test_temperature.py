"""A temperature fixes what is too sure of itself, or not sure enough."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.predictions import drawn_labels, seeing
from twinrun.blend_methods.temperature import COLDEST, HOTTEST, apply_temperature, fit_temperature
from twinrun.metrics import score_values


def test_a_temperature_is_as_computed_by_hand() -> None:
    rows = np.array([[0.8, 0.2], [0.5, 0.5]])
    # 0.8**2 / (0.8**2 + 0.2**2) = 0.64 / 0.68
    np.testing.assert_allclose(
        apply_temperature(rows, 0.5), [[16 / 17, 1 / 17], [0.5, 0.5]], rtol=1e-14
    )
    np.testing.assert_allclose(apply_temperature(rows, 1.0), rows, rtol=1e-14)
    # sqrt(0.8) / (sqrt(0.8) + sqrt(0.2)) = 2 / 3
    np.testing.assert_allclose(apply_temperature(rows, 2.0)[0], [2 / 3, 1 / 3], rtol=1e-14)


@pytest.mark.parametrize(("sure", "low", "high"), [(4.0, 3.0, 5.5), (0.25, 0.18, 0.33)])
def test_the_temperature_undoes_what_was_done_to_the_logits(
    sure: float, low: float, high: float
) -> None:
    labels = drawn_labels(4000, 3)
    # Gaussian logits of this skill and noise are calibrated at temperature 1.
    honest = seeing(labels, 3, skill=1, noise=1, seed=1)
    assert fit_temperature(honest, labels) == pytest.approx(1, abs=0.1)
    wrong = seeing(labels, 3, skill=1, noise=1, seed=1, sure=sure)
    temperature = fit_temperature(wrong, labels)
    assert low < temperature < high
    fixed = score_values(apply_temperature(wrong, temperature), labels, "log_loss")
    assert fixed < score_values(wrong, labels, "log_loss") - 0.01
    assert fixed == pytest.approx(score_values(honest, labels, "log_loss"), abs=0.005)


@settings(deadline=None, max_examples=50)
@given(
    images=st.integers(1, 30),
    classes=st.integers(2, 6),
    shape=st.floats(0.05, 3),
    seed=st.integers(0, 1000),
)
def test_no_temperature_of_a_grid_is_better(
    images: int, classes: int, shape: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    rows = random.dirichlet(np.full(classes, shape), size=images)
    rows[random.random(images) < 0.2] = np.eye(classes)[0]
    labels = random.integers(classes, size=images)

    def loss(temperature: float) -> float:
        # Unclipped, as the temperature is fitted; the rows are, whose zeros are none.
        chosen = apply_temperature(rows, temperature)[np.arange(images), labels]
        return float(-np.log(np.maximum(chosen, 1e-300)).mean())

    found = fit_temperature(rows, labels)
    assert COLDEST <= found <= HOTTEST
    grid = np.geomspace(COLDEST, HOTTEST, 41)
    assert loss(found) <= min(map(loss, grid)) + 1e-5 * (1 + loss(found))


def test_zeros_and_rows_of_zeros_stay_numbers() -> None:
    rows = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    labels = np.array([1, 2, 0])
    temperature = fit_temperature(rows, labels)
    result = apply_temperature(rows, temperature)
    assert np.isfinite(result).all()
    np.testing.assert_allclose(result.sum(axis=1), 1)
    np.testing.assert_allclose(result[1], 1 / 3)
    assert temperature > 5, "one certain mistake makes it doubt"


def test_the_likeliest_class_stays() -> None:
    rows = np.random.default_rng(0).dirichlet(np.ones(5), size=100)
    for temperature in (0.05, 0.7, 3.0, 20.0):
        assert (apply_temperature(rows, temperature).argmax(axis=1) == rows.argmax(axis=1)).all()


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_row_has_the_same_bits_whatever_rows_stand_beside_it(order: Literal["C", "F"]) -> None:
    """Also of a table whose values lie column by column, as those of pandas do."""
    rows = np.random.default_rng(0).dirichlet(np.ones(10), size=60)
    given = np.asarray(rows, order=order)
    found = apply_temperature(given, 1.3)
    alone = [apply_temperature(given[n : n + 1], 1.3) for n in range(len(rows))]
    assert found.tobytes() == np.concatenate(alone).tobytes()
    assert found.tobytes() == apply_temperature(rows, 1.3).tobytes()


def test_the_order_in_memory_decides_no_bit_of_a_fit() -> None:
    labels = drawn_labels(200, 10)
    rows = seeing(labels, 10, skill=1, noise=1, seed=1, sure=3)
    assert fit_temperature(np.asfortranarray(rows), labels) == fit_temperature(rows, labels)
