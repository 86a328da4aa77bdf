"""Weights and temperature that are fitted together are the best pair, not the best of each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.predictions import Values, drawn_labels, seeing
from twinrun.blend_methods.few_classes import FewClasses
from twinrun.blend_methods.fitted_weights import optimise_weights
from twinrun.blend_methods.greedy_selection import select_weights
from twinrun.blend_methods.joint_fit import optimise_with_temperature
from twinrun.blend_methods.temperature import apply_temperature, fit_temperature
from twinrun.metrics import METRICS, SMALLEST, score_values
from twinrun.repro.keys import Key

KEY = Key((0, "test"))
# One of each kind: of probabilities, guesses, grades, ranks and places.
JUDGES = ["log_loss", "accuracy", "macro_f1", "quadratic_kappa", "auc", "map_at_3"]
Labels = npt.NDArray[np.int64]


def loss(values: Values, labels: Labels, weights: Values, temperature: float) -> float:
    mean = (weights[:, None, None] * np.clip(values, SMALLEST, 1)).sum(axis=0)
    logits = np.log(mean) / temperature
    truth = logits[np.arange(len(labels)), labels]
    top = logits.max(axis=1)
    return float((np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top - truth).mean())


def best_loss(values: Values, labels: Labels, weights: Values) -> float:
    """With the temperature that is best for these weights."""
    mean = (weights[:, None, None] * values).sum(axis=0)
    return loss(values, labels, weights, fit_temperature(mean, labels))


def weights_alone(values: Values, labels: Labels) -> Values:
    return optimise_weights(values[:, np.arange(len(labels)), labels])


def unsure(images: int = 300) -> tuple[Values, Labels]:
    """Two members, each unsure of itself and right in its own way, and one that is too sure."""
    labels = drawn_labels(images, 3)
    drawn = [
        seeing(labels, 3, skill=1, noise=1, seed=1, sure=0.4),
        seeing(labels, 3, skill=1, noise=1, seed=2, sure=0.4),
        seeing(labels, 3, skill=1, noise=1, seed=3, sure=1.5),
    ]
    return np.stack(drawn), labels


def test_together_is_better_than_one_after_the_other() -> None:
    values, labels = unsure()
    after = best_loss(values, labels, weights_alone(values, labels))
    together = best_loss(values, labels, optimise_with_temperature(values, labels))
    assert together < after - 0.02


@pytest.mark.parametrize("seed", range(3))
def test_no_point_of_a_grid_of_weights_and_temperatures_is_better(seed: int) -> None:
    labels = drawn_labels(80, 3, seed=seed)
    values = np.stack(
        [
            seeing(labels, 3, skill=1, noise=1, seed=10 * seed + number, sure=sure)
            for number, sure in enumerate((0.3, 1.0, 3.0))
        ]
    )
    found = best_loss(values, labels, optimise_with_temperature(values, labels))
    grid = [
        loss(values, labels, np.array([i, j, 20 - i - j]) / 20, temperature)
        for i in range(21)
        for j in range(21 - i)
        for temperature in np.geomspace(0.05, 5, 40)
    ]
    assert min(grid) - 0.01 <= found <= min(grid) + 1e-9


@settings(deadline=None, max_examples=40)
@given(
    images=st.integers(1, 40),
    members=st.integers(1, 6),
    classes=st.integers(2, 5),
    zeros=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_it_is_never_worse_than_one_after_the_other_and_no_small_step_helps(
    images: int, members: int, classes: int, zeros: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    values = random.dirichlet(np.full(classes, 0.5), size=(members, images))
    if zeros:
        values[random.random((members, images)) < 0.2] = np.eye(classes)[0]
    labels = random.integers(classes, size=images)
    weights = optimise_with_temperature(values, labels)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    found = best_loss(values, labels, weights)
    assert found <= best_loss(values, labels, weights_alone(values, labels)) + 1e-5
    # Beside a zero the loss has an edge, at which a descent by slopes may end.
    for member in range(0 if zeros else members):
        moved = 0.999 * weights + 0.001 * np.eye(members)[member]
        assert best_loss(values, labels, moved) >= found - 1e-4 * (1 + found)


def test_a_useless_member_gets_weight_zero_and_not_nearly() -> None:
    labels = drawn_labels(300, 3)
    good = [seeing(labels, 3, skill=2, noise=1, seed=seed) for seed in (1, 2)]
    wrong = seeing((labels + 1) % 3, 3, skill=2, noise=1, seed=3)
    weights = optimise_with_temperature(np.stack([good[0], wrong, good[1]]), labels)
    assert weights[1] == 0.0
    assert (weights[[0, 2]] > 0.1).all()


def test_copies_of_a_member_change_no_blend() -> None:
    values, labels = unsure()
    plain = optimise_with_temperature(values, labels)
    doubled = optimise_with_temperature(values[[0, 0, 1, 2]], labels)
    assert doubled[:2].sum() == pytest.approx(plain[0], abs=1e-3)
    assert best_loss(values[[0, 0, 1, 2]], labels, doubled) == pytest.approx(
        best_loss(values, labels, plain), abs=1e-7
    )


def test_of_many_classes_it_finds_the_same_as_of_few() -> None:
    """Classes that nobody thinks of change nothing, also where there are too many to look at."""
    values, labels = unsure()
    for others in (10, 200):
        more = np.concatenate([values, np.full((3, 300, others), 1e-9)], axis=2)
        np.testing.assert_allclose(
            optimise_with_temperature(more, labels),
            optimise_with_temperature(values, labels),
            atol=1e-3,
        )


@pytest.mark.parametrize("classes", [40, 400])
def test_of_many_classes_it_is_better_than_one_after_the_other(classes: int) -> None:
    labels = drawn_labels(400, classes)
    values = np.stack(
        [seeing(labels, classes, skill=2, noise=1, seed=n, sure=0.4) for n in range(3)]
    )
    after = best_loss(values, labels, weights_alone(values, labels))
    assert best_loss(values, labels, optimise_with_temperature(values, labels)) < after - 0.001


def test_few_classes_stand_for_all() -> None:
    values = np.array([[[0.01] * 30 + [0.5, 0.2], [0.02] * 30 + [0.1, 0.3]]])
    labels = np.array([3, 31])
    few = FewClasses.of(values, labels)
    assert few.values.shape == (1, 2, 17)
    # The label comes first, then the likeliest; what is left is alike, and counts as what it is.
    assert few.labels.tolist() == [0, 0]
    np.testing.assert_allclose(few.values[0, :, :3], [[0.01, 0.5, 0.2], [0.3, 0.1, 0.02]])
    np.testing.assert_allclose(few.values[0, :, -1], [0.01, 0.02])
    for inverse in (0.3, 1.0, 4.0):
        logits = few.logits(few.values[0], inverse)
        found = few.losses(logits, np.exp(logits).sum(axis=1)).mean()
        assert found == pytest.approx(loss(values, labels, np.ones(1), 1 / inverse))
    same = FewClasses.of(values[:, :, :17], np.array([3, 16]))
    np.testing.assert_array_equal(same.values, values[:, :, :17])
    assert same.labels.tolist() == [3, 16]
    assert not same.offsets.any()


def select(values: Values, labels: Labels, metric: str, *, calibrated: bool) -> Values:
    names = [f"m{number}" for number in range(len(values))]
    return select_weights(
        values, labels, metric, names, KEY, renormalise=True, calibrated=calibrated
    )


def test_selection_selects_for_the_temperature_that_follows() -> None:
    values, labels = unsure()
    after = best_loss(values, labels, select(values, labels, "log_loss", calibrated=False))
    together = best_loss(values, labels, select(values, labels, "log_loss", calibrated=True))
    assert together < after - 0.02


@pytest.mark.parametrize("metric", JUDGES)
def test_selection_with_a_temperature_is_never_worse_than_one_after_the_other(metric: str) -> None:
    classes = 2 if metric == "auc" else 4
    judge = METRICS.get(metric)
    for seed in range(3):
        labels = drawn_labels(60, classes, seed=seed)
        values = np.stack(
            [
                seeing(labels, classes, skill=0.7, noise=1, seed=10 * seed + n, sure=sure)
                for n, sure in enumerate((0.3, 1, 4))
            ]
        )
        reached = []
        for calibrated in (False, True):
            weights = select(values, labels, metric, calibrated=calibrated)
            assert weights.sum() == pytest.approx(1)
            mean = (weights[:, None, None] * values).sum(axis=0)
            after = apply_temperature(mean, fit_temperature(mean, labels))
            reached.append(score_values(after, labels, metric))
        assert not judge.better(reached[0], reached[1])
