"""Metrics as computed by hand; the log loss is the host's where rows do not sum to 1."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.metrics import log_loss as scikit_learns_log_loss
from sklearn.metrics import roc_auc_score

from twinrun.errors import InputError
from twinrun.metrics import HISTORY_COLUMNS, METRICS, compare_score, score, score_values

# In the alphabetical order that scikit-learn takes columns to be in.
CLASSES = ["healthy", "leaf", "stem"]


def predictions(values: npt.ArrayLike) -> pd.DataFrame:
    table = pd.DataFrame(np.asarray(values), columns=CLASSES)
    table.insert(0, "id", [f"{number:06d}" for number in range(len(table))])
    return table


def log_loss(table: pd.DataFrame, labels: Iterable[str]) -> float:
    return score(table, labels, "log_loss")


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


# The other metrics of competition.metric


def guesses(*names: str, classes: Sequence[str] = CLASSES) -> pd.DataFrame:
    """Predictions whose likeliest class is the one that is named."""
    rows = [[0.6 if name == other else 0.1 for other in classes] for name in names]
    table = pd.DataFrame(rows, columns=list(classes))
    table.insert(0, "id", [f"{number:06d}" for number in range(len(table))])
    return table


def two(*positive: float) -> pd.DataFrame:
    """Predictions of two classes with these probabilities of the last one."""
    table = pd.DataFrame({"no": [1 - value for value in positive], "yes": positive})
    table.insert(0, "id", [f"{number:06d}" for number in range(len(table))])
    return table


def test_every_metric_has_words_and_a_direction() -> None:
    assert [each.name for each in METRICS if not each.higher_is_better] == ["log_loss"]
    assert {each.name: each.words for each in METRICS} == {
        "log_loss": "log loss",
        "accuracy": "accuracy",
        "macro_f1": "macro F1",
        "quadratic_kappa": "quadratic kappa",
        "auc": "AUC",
        "balanced_accuracy": "balanced accuracy",
        "weighted_f1": "weighted F1",
        "macro_f2": "macro F2",
        "mcc": "MCC",
        "average_precision": "average precision",
        "f1": "F1 of the last class",
        "f2": "F2 of the last class",
        "top_3_accuracy": "top-3 accuracy",
        "top_5_accuracy": "top-5 accuracy",
        "map_at_3": "MAP@3",
        "map_at_5": "MAP@5",
    }


@pytest.mark.parametrize("name", ["recall", "kappa", ""])
def test_an_unknown_metric_is_refused_and_not_scored_as_another(name: str) -> None:
    rows, truth = np.eye(3)[[0, 1, 2, 2]], np.array([0, 1, 1, 2])
    assert score_values(rows, truth, "quadratic_kappa") == pytest.approx(0.8)
    with pytest.raises(InputError, match=f"there is no metric {name!r}"):
        score_values(rows, truth, name)
    with pytest.raises(InputError, match=f"there is no metric {name!r}"):
        compare_score(rows, truth, CLASSES, name)


def test_score_of_the_log_loss_is_the_log_loss_of_rows_as_they_are() -> None:
    assert score(predictions([[0.5, 0.5, 0.5]]), ["stem"], "log_loss") == math.log(2)


def test_accuracy_is_the_share_of_right_guesses() -> None:
    table = guesses("leaf", "stem", "stem", "healthy")
    assert score(table, ["leaf", "stem", "leaf", "leaf"], "accuracy") == 0.5


def test_of_equal_probabilities_the_first_is_the_guess() -> None:
    table = predictions([[0.2, 0.4, 0.4], [0.5, 0.0, 0.5]])
    assert score(table, ["leaf", "healthy"], "accuracy") == 1
    assert score(table, ["stem", "stem"], "accuracy") == 0


def test_macro_f1_is_as_computed_by_hand() -> None:
    table = guesses("leaf", "leaf", "leaf", "stem", "healthy", "healthy")
    truth = ["leaf", "leaf", "stem", "stem", "stem", "healthy"]
    # leaf: precision 2/3, recall 1; stem: 1, 1/3; healthy: 1/2, 1.
    assert score(table, truth, "macro_f1") == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)


def test_macro_f1_leaves_out_a_class_that_nobody_named() -> None:
    # leaf 2/3, stem 0; healthy stands neither among the labels nor among the guesses.
    table = guesses("leaf", "leaf")
    assert score(table, ["leaf", "stem"], "macro_f1") == pytest.approx((2 / 3 + 0) / 2)


def test_quadratic_kappa_is_as_computed_by_hand() -> None:
    grades = ["none", "mild", "severe"]
    table = guesses("none", "mild", "severe", "severe", classes=grades)
    truth = ["none", "mild", "mild", "severe"]
    # Observed squared distances: 0 + 0 + 1 + 0 = 1. By chance: labels (1, 2, 1), guesses (1, 1, 2),
    # sum of i * j * d^2 / 4 = (1*1*1 + 1*2*4 + 2*1*1 + 2*2*1 + 1*1*4 + 1*1*1) / 4 = 20 / 4 = 5.
    assert score(table, truth, "quadratic_kappa") == pytest.approx(1 - 1 / 5)


def test_quadratic_kappa_takes_the_columns_order_for_the_grades() -> None:
    names = ["0", "1", "2", "10"]
    near = guesses("0", "1", "2", "2", classes=names)
    far = guesses("0", "1", "2", "0", classes=names)
    truth = ["0", "1", "2", "10"]
    assert score(near, truth, "quadratic_kappa") > score(far, truth, "quadratic_kappa")
    turned = near[["id", "10", "0", "1", "2"]]
    assert score(turned, truth, "quadratic_kappa") < score(near, truth, "quadratic_kappa")


def test_quadratic_kappa_of_one_class_alone_is_not_defined() -> None:
    assert math.isnan(score(guesses("leaf", "leaf"), ["leaf", "leaf"], "quadratic_kappa"))
    assert score(guesses("leaf", "stem"), ["leaf", "leaf"], "quadratic_kappa") == 0


def test_auc_of_two_classes_is_as_computed_by_hand_with_the_last_one_positive() -> None:
    # Of the four pairs of a "yes" and a "no", three are ranked right.
    table = two(0.9, 0.3, 0.4, 0.1)
    assert score(table, ["yes", "yes", "no", "no"], "auc") == 0.75
    # Of equals, half a pair.
    assert score(two(0.5, 0.5), ["yes", "no"], "auc") == 0.5


def test_auc_of_more_classes_is_the_mean_of_each_against_the_others() -> None:
    table = predictions([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.5, 0.2, 0.3]])
    # healthy: its two rows, 0.6 and 0.5, are above 0.2 and 0.1: 4 of 4 pairs.
    # leaf: 0.5 is above 0.3 and 0.2 and below 0.6: 2 of 3.
    # stem: 0.3 is above 0.1 and twice equal: 2 of 3.
    truth = ["healthy", "leaf", "stem", "healthy"]
    assert score(table, truth, "auc") == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_auc_is_scikit_learns_also_with_ties(classes: int) -> None:
    random = np.random.default_rng(classes)
    labels = random.permutation(np.arange(300) % classes)
    values = np.round(random.dirichlet(np.ones(classes), size=300), 1) + 0.01
    rows = values / values.sum(axis=1, keepdims=True)
    # Divided once more, as the score divides: the last bit decides what is a tie.
    asked = rows[:, 1] if classes == 2 else rows / rows.sum(axis=1, keepdims=True)
    expected = roc_auc_score(labels, asked, multi_class="ovr", average="macro")
    assert score_values(rows, labels, "auc") == pytest.approx(expected, abs=1e-12)


def test_auc_of_more_classes_takes_rows_whatever_their_sum() -> None:
    plain = predictions([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.5, 0.2, 0.3]])
    truth = ["healthy", "leaf", "stem", "healthy"]
    scaled = plain.copy()
    scaled[CLASSES] = scaled[CLASSES].mul([1.5, 0.25, 0.5, 0.75], axis=0)
    assert score(scaled, truth, "auc") == pytest.approx(score(plain, truth, "auc"))
    empty = predictions([[0.6, 0.3, 0.1], [0.0, 0.0, 0.0], [0.1, 0.6, 0.3]])
    assert 0 <= score(empty, ["healthy", "leaf", "stem"], "auc") <= 1


@pytest.mark.parametrize("truth", [["leaf", "stem"], ["leaf", "leaf"]])
def test_auc_without_a_class_is_not_defined(truth: list[str]) -> None:
    assert math.isnan(score(guesses("leaf", "stem"), truth, "auc"))
    assert math.isnan(score(two(0.1, 0.9), ["yes", "yes"], "auc"))


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "quadratic_kappa", "auc"])
def test_rows_that_do_not_sum_to_one_are_scored(metric: str) -> None:
    table = predictions([[0.9, 0.8, 0.7], [0.1, 0.3, 0.2], [0.0, 0.1, 0.9]])
    assert 0 <= score(table, ["healthy", "leaf", "stem"], metric) <= 1


@pytest.mark.parametrize(
    ("metric", "simple", "value"),
    [
        ("log_loss", "uniform guessing", math.log(3)),
        ("auc", "uniform guessing", 0.5),
        ("quadratic_kappa", "uniform guessing", 0.0),
        ("accuracy", "always the largest class", 0.75),
        # leaf: precision 3/4, recall 1; stem: 0; healthy is in neither.
        ("macro_f1", "always the largest class", (6 / 7 + 0) / 2),
    ],
)
def test_a_score_is_compared_with_a_simple_answer(metric: str, simple: str, value: float) -> None:
    table = guesses("leaf", "leaf", "stem", "stem")
    truth = ["leaf", "leaf", "leaf", "stem"]
    numbers = np.array([CLASSES.index(name) for name in truth])
    found = compare_score(table[CLASSES].to_numpy(), numbers, CLASSES, metric)
    assert found.metric.simple.words == simple
    assert found.simple_value == pytest.approx(value)
    assert found.absent == ("healthy",)
    assert math.isnan(found.value) == (metric == "auc")


def test_a_metric_of_its_own_is_not_called_as_a_column_of_history() -> None:
    for name in HISTORY_COLUMNS:
        with pytest.raises(ValueError, match=r"history\.csv has a column of this name"):
            replace(METRICS.get("auc"), name=name)
    with pytest.raises(ValueError, match="kept_as is None or of valid_loss, accuracy"):
        replace(METRICS.get("auc"), kept_as="brier")
