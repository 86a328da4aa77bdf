"""Fitted weights: the optimum is the optimum, selection is as published, nothing else decides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.predictions import Values, drawn_labels, seeing
from twinrun.blend_methods import greedy_selection
from twinrun.blend_methods.fitted_weights import GAP, optimise_weights
from twinrun.blend_methods.greedy_selection import select_weights
from twinrun.metrics import METRICS, SMALLEST, losses_of_truth, score_values
from twinrun.repro.keys import Key

KEY = Key((0, "test"))
# One of each kind: of probabilities, guesses, grades, ranks and places.
JUDGES = ["log_loss", "accuracy", "macro_f1", "quadratic_kappa", "auc", "map_at_3"]


def truths(images: int, members: int, seed: int = 0) -> Values:
    """What members of falling skill give the truth."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=(members, images)) * np.linspace(0.5, 3, members)[:, None]
    return np.asarray(1 / (1 + np.exp(-(1 + random.normal(size=images) + noise))))


def loss(truth: Values, weights: Values) -> float:
    return float(losses_of_truth((weights[:, None] * truth).sum(axis=0)).mean())


def optimality_gap(truth: Values, weights: Values) -> float:
    """By how much, in nats, the log loss of a mixture is at most above the optimum.

    With g = the mean over the images of (a member's probability / the mixture's), the largest g
    less 1 bounds it, and is 0 at the optimum: Karush, Kuhn and Tucker's conditions (Cover, "An
    algorithm for maximizing expected log investment return", IEEE Transactions on Information
    Theory 1984).
    """
    truth = np.clip(truth, SMALLEST, 1.0)
    return float((truth / (weights @ truth)).mean(axis=1).max() - 1)


def test_the_optimum_of_two_members_is_as_computed_by_hand() -> None:
    # Two images seen by one member, one by the other: of w (1-w) log w + ... the proportions.
    truth = np.array([[0.9, 0.9, 0.1], [0.1, 0.1, 0.9]])
    # d/dw [2 log(0.1 + 0.8 w) + log(0.9 - 0.8 w)] = 0 at w = 17 / 24.
    np.testing.assert_allclose(optimise_weights(truth), [17 / 24, 7 / 24], atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_no_point_of_a_grid_over_three_members_is_better_than_the_optimum(seed: int) -> None:
    truth = truths(80, 3, seed)
    weights = optimise_weights(truth)
    found = loss(truth, weights)
    step = 1 / 60
    grid = [
        loss(truth, np.array([i * step, j * step, 1 - (i + j) * step]))
        for i in range(61)
        for j in range(61 - i)
    ]
    assert found <= min(grid) + 1e-12
    assert found >= min(grid) - 1e-3, "the grid must come near it"


@settings(deadline=None, max_examples=40)
@given(
    images=st.integers(1, 40),
    members=st.integers(1, 7),
    zeros=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_kkt_holds_for_any_members(images: int, members: int, zeros: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = random.beta(0.4, 0.4, size=(members, images))
    if zeros:
        truth[random.random(truth.shape) < 0.3] = 0.0
    weights = optimise_weights(truth)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    mixed = (weights[:, None] * np.clip(truth, 1e-300, 1)).sum(axis=0)
    if mixed.min() > 1e-10:  # else the log loss's floor bends the conditions
        gradient = (truth / mixed).mean(axis=1)
        assert gradient.max() <= 1 + 1e-6
        np.testing.assert_allclose(gradient[weights > 1e-3], 1, atol=1e-3)
    assert optimality_gap(truth, weights) <= 1e-5
    assert loss(truth, weights) <= min(loss(truth, row) for row in np.eye(members)) + 1e-6


def test_the_gap_reports_weights_that_are_not_the_optimum() -> None:
    truth = truths(200, 4)
    best = optimise_weights(truth)
    assert optimality_gap(truth, best) <= GAP
    for wrong in (np.full(4, 0.25), np.eye(4)[3], best * 0.9 + 0.025):
        gap = optimality_gap(truth, wrong)
        assert gap > 1e-4
        assert loss(truth, wrong) - loss(truth, best) <= gap


def test_a_useless_member_gets_weight_zero_and_not_nearly() -> None:
    labels = drawn_labels(300, 3)
    good = [seeing(labels, 3, skill=2, noise=1, seed=seed) for seed in (1, 2)]
    useless = np.full((300, 3), 1 / 3)
    rows = np.arange(300)
    truth = np.stack([values[rows, labels] for values in (good[0], useless * 0.5, good[1])])
    weights = optimise_weights(truth)
    assert weights[1] == 0.0
    assert (weights[[0, 2]] > 0.1).all()


def test_duplicates_of_a_member_share_its_weight_and_change_no_blend() -> None:
    truth = truths(200, 2)
    plain = optimise_weights(truth)
    doubled = optimise_weights(truth[[0, 0, 1]])
    assert doubled[0] + doubled[1] == pytest.approx(plain[0], abs=1e-4)
    assert loss(truth[[0, 0, 1]], doubled) == pytest.approx(loss(truth, plain), abs=GAP)


def test_an_image_that_no_member_sees_decides_nothing() -> None:
    truth = truths(60, 3)
    blind = np.hstack([truth, np.zeros((3, 5))])
    assert np.isfinite(optimise_weights(blind)).all()
    np.testing.assert_allclose(optimise_weights(blind), optimise_weights(truth), atol=1e-3)


def test_an_exchange_of_all_weight_leaves_nothing_behind() -> None:
    # Without care the mixture of the second image would be 0.5 + 0.5 * (eps - 1): rounded to 0.
    truth = np.array([[1.0, 1e-300], [0.5, 1.0]])
    assert optimality_gap(truth, optimise_weights(truth)) <= GAP
    weights = optimise_weights(np.array([[1.0, 1.0], [0.0, 0.0]]))
    np.testing.assert_array_equal(weights, [1.0, 0.0])


def test_selection_is_as_made_by_hand() -> None:
    """Of three members the first and the second are each right where the other is not."""
    labels = np.array([0, 0, 1, 1])
    one = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.2, 0.8]])
    two = np.array([[0.2, 0.8], [0.8, 0.2], [0.3, 0.7], [0.3, 0.7]])
    bad = np.array([[0.1, 0.9], [0.1, 0.9], [0.9, 0.1], [0.9, 0.1]])
    values = np.stack([one, bad, two])

    def by_hand(counts: list[int]) -> float:
        mean = (np.array(counts)[:, None, None] * values[[0, 1, 2]]).sum(axis=0) / sum(counts)
        return float(-np.log(mean[np.arange(4), labels]).mean())

    # The steps: each adds the one that makes the mean best.
    counts, best, kept = [0, 0, 0], float("inf"), [0, 0, 0]
    for _ in range(25):
        options = [[n + (i == m) for i, n in enumerate(counts)] for m in range(3)]
        counts = min(options, key=by_hand)
        if by_hand(counts) < best - 1e-9:
            best, kept = by_hand(counts), counts
        elif sum(counts) - sum(kept) >= 5:
            break
    assert kept[0] > 0 < kept[2], "the example must need both"
    assert kept[1] == 0
    weights = select_weights(
        values, labels, "log_loss", ["one", "bad", "two"], KEY, renormalise=False
    )
    np.testing.assert_array_equal(weights, np.array(kept) / sum(kept))


def test_selection_takes_the_best_by_another_metric_than_the_log_loss() -> None:
    labels = np.array([0, 1, 0, 1])
    # Always right, but badly sure of itself; and better in log loss, but wrong once.
    timid = np.array([[0.51, 0.49], [0.49, 0.51]] * 2)
    bold = np.array([[0.99, 0.01], [0.01, 0.99], [0.99, 0.01], [0.55, 0.45]])
    values = np.stack([bold, timid])
    by = {
        metric: select_weights(values, labels, metric, ["bold", "timid"], KEY, renormalise=True)
        for metric in ("accuracy", "log_loss")
    }
    np.testing.assert_array_equal(by["accuracy"], [0, 1])
    assert by["log_loss"][0] > 0.5


@pytest.mark.parametrize("metric", JUDGES)
@pytest.mark.parametrize("renormalise", [True, False])
def test_selection_is_never_worse_than_the_best_member_on_what_it_was_fitted_to(
    metric: str, renormalise: bool
) -> None:
    classes = 2 if metric == "auc" else 4
    labels = drawn_labels(60, classes)
    values = np.stack(
        [seeing(labels, classes, skill=s, noise=1, seed=i) for i, s in enumerate((0.3, 0.7, 0.5))]
    )
    weights = select_weights(values, labels, metric, list("abc"), KEY, renormalise=renormalise)
    assert weights.sum() == pytest.approx(1)
    mean = (weights[:, None, None] * values).sum(axis=0)
    reached = score_values(mean, labels, metric)
    for single in values:
        assert not METRICS.get(metric).better(score_values(single, labels, metric), reached)


def test_bags_are_drawn_by_name_and_another_key_draws_others() -> None:
    labels = drawn_labels(60, 3)
    names = [f"m{number:02d}" for number in range(12)]
    values = np.stack([seeing(labels, 3, skill=0.5, noise=1, seed=i) for i in range(12)])

    def select(key: Key) -> Values:
        return select_weights(values, labels, "log_loss", names, key, renormalise=True)

    first = select(KEY)
    assert first.tobytes() == select(KEY).tobytes()
    assert first.tobytes() != select(Key((1, "test"))).tobytes()
    bags = greedy_selection._bags(names, KEY)
    assert len(bags) == greedy_selection.BAGS
    assert {len(bag) for bag in bags} == {6}
    assert len({tuple(bag) for bag in bags}) > 5
    # A bag of five holds all of five members: one is enough.
    assert greedy_selection._bags(names[:5], KEY) == [[0, 1, 2, 3, 4]]
    assert {len(bag) for bag in greedy_selection._bags(names[:6], KEY)} == {5}


def test_selection_where_the_metric_is_not_defined_takes_what_there_is() -> None:
    values = np.full((2, 3, 2), 0.5)
    weights = select_weights(
        values, np.zeros(3, dtype=np.int64), "auc", ["a", "b"], KEY, renormalise=True
    )
    np.testing.assert_array_equal(weights, [1, 0])
