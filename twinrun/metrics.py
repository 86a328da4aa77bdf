"""How good probabilities are, given the truth: every metric of a competition, in one table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from twinrun import scorers
from twinrun.metric import (
    EQUAL_RANKS,
    HISTORY_COLUMNS,
    LARGEST_CLASS,
    LARGEST_CLASSES,
    LAST_CLASS,
    Metric,
    Numbers,
    SimpleAnswer,
    Values,
    uniform_guessing,
)
from twinrun.registry import Registry
from twinrun.scorers import SMALLEST, losses_of_truth

# A metric of a competitor's own is made of these, and imports nothing else of the engine's.
__all__ = [
    "HISTORY_COLUMNS",
    "LARGEST_CLASS",
    "METRICS",
    "SMALLEST",
    "Metric",
    "Numbers",
    "Score",
    "SimpleAnswer",
    "Values",
    "additional_metric",
    "compare_score",
    "losses_of_truth",
    "map_at",
    "member_scores",
    "score",
    "score_values",
    "top_accuracy",
    "uniform_guessing",
]


@dataclass(frozen=True)
class Score:
    """A score and what it is worth.

    Attributes:
        metric: Which.
        value: nan where the metric is not defined.
        simple_value: The score of the metric's simple answer on the same images.
        absent: The classes of which there is no image.
    """

    metric: Metric
    value: float
    simple_value: float
    absent: tuple[str, ...]


def score(predictions: pd.DataFrame, labels: Iterable[str], metric: str) -> float:
    """Score predictions; nan where the metric is not defined.

    Args:
        predictions: An id column, then a column of probabilities per class, in the classes' order.
        labels: The true class of each row.
        metric: A name in METRICS.

    Raises:
        InputError: There is no such metric.
    """
    return score_values(*_values_and_numbers(predictions, labels), metric)


def score_values(probabilities: Values, truth: Numbers, metric: str) -> float:
    """Score predictions as `score` does.

    Args:
        probabilities: A row per image, a column per class, in the classes' order.
        truth: Of each row the column of its true class.
        metric: A name in METRICS.

    Raises:
        InputError: There is no such metric.
    """
    return METRICS.get(metric).score(probabilities, truth)


def compare_score(
    probabilities: Values, truth: Numbers, classes: Sequence[str], metric: str
) -> Score:
    """Score predictions as `score_values` does, beside the metric's simple answer.

    Args:
        probabilities: A row per image, a column per class.
        truth: Of each row the column of its true class.
        classes: Their names.
        metric: A name in METRICS.
    """
    found = METRICS.get(metric)
    counts = np.bincount(truth, minlength=len(classes))
    return Score(
        metric=found,
        value=found.score(probabilities, truth),
        simple_value=found.simple.score(found.score, truth, len(classes)),
        absent=tuple(name for name, count in zip(classes, counts, strict=True) if not count),
    )


def member_scores(held_out: pd.DataFrame, metric: str) -> dict[str, float]:
    """The scores that a member's record holds.

    Args:
        held_out: id, label, a column of probabilities per class, as in valid.csv.
        metric: The competition's, a name in METRICS.

    Returns:
        By column of history.csv: what is always kept, the error rate, and the competition's metric
        where it has a column of its own and is defined.
    """
    predictions, labels = held_out.drop(columns="label"), held_out["label"]
    probabilities, truth = _values_and_numbers(predictions, labels)
    scores = {each.kept_as: each.score(probabilities, truth) for each in METRICS if each.kept_as}
    scores["error_rate"] = 1 - scores["accuracy"]
    own = additional_metric(metric)
    if own is not None and not math.isnan(value := own.score(probabilities, truth)):
        scores[own.name] = value
    return scores


def additional_metric(metric: str) -> Metric | None:
    """The metric of a name that a training's records hold beside those that all do; None for none.

    A metric of a competitor's own code is in none: to edit it makes no record stale.
    """
    found = METRICS.get(metric)
    return None if found.kept_as or METRICS.is_own(metric) else found


def _values_and_numbers(predictions: pd.DataFrame, labels: Iterable[str]) -> tuple[Values, Numbers]:
    classes: Sequence[str] = list(predictions.columns[1:])
    number = {name: position for position, name in enumerate(classes)}
    truth = np.array([number[label] for label in labels], dtype=np.int64)
    return predictions[classes].to_numpy(dtype=np.float64), truth


METRICS: Registry[Metric] = Registry("metric", Metric, setting="competition.metric")
"""What `competition.metric` may name. The functions of twinrun/scorers.py say what each is."""


def top_accuracy(most: int) -> Metric:
    """The metric `top_<most>_accuracy`, of more classes than that."""
    return Metric(
        name=f"top_{most}_accuracy",
        words=f"top-{most} accuracy",
        higher_is_better=True,
        score=scorers.top_accuracy(most),
        simple=LARGEST_CLASSES,
        kept_as=None,
        fewest_classes=most + 1,
    )


def map_at(most: int) -> Metric:
    """The metric `map_at_<most>`."""
    return Metric(
        name=f"map_at_{most}",
        words=f"MAP@{most}",
        higher_is_better=True,
        score=scorers.mean_average_precision(most),
        simple=LARGEST_CLASSES,
        kept_as=None,
    )


METRICS.add(
    Metric(
        name="log_loss",
        words="log loss",
        higher_is_better=False,
        score=scorers.log_loss,
        simple=uniform_guessing(math.log),
        kept_as="valid_loss",
    )
)
METRICS.add(
    Metric(
        name="accuracy",
        words="accuracy",
        higher_is_better=True,
        score=scorers.accuracy,
        simple=LARGEST_CLASS,
        kept_as="accuracy",
    )
)
for _name, _words, _score, _simple in (
    ("macro_f1", "macro F1", scorers.f_score(1, "macro"), LARGEST_CLASS),
    (
        "quadratic_kappa",
        "quadratic kappa",
        scorers.quadratic_kappa,
        uniform_guessing(lambda _: 0.0),
    ),
    ("auc", "AUC", scorers.auc, uniform_guessing(lambda _: 0.5)),
    ("balanced_accuracy", "balanced accuracy", scorers.balanced_accuracy, LARGEST_CLASS),
    ("weighted_f1", "weighted F1", scorers.f_score(1, "weighted"), LARGEST_CLASS),
    ("macro_f2", "macro F2", scorers.f_score(2, "macro"), LARGEST_CLASS),
    ("mcc", "MCC", scorers.matthews_correlation, uniform_guessing(lambda _: 0.0)),
    ("average_precision", "average precision", scorers.average_precision, EQUAL_RANKS),
):
    METRICS.add(
        Metric(
            name=_name,
            words=_words,
            higher_is_better=True,
            score=_score,
            simple=_simple,
            kept_as=None,
        )
    )
for _beta in (1, 2):
    METRICS.add(
        Metric(
            name=f"f{_beta}",
            words=f"F{_beta} of the last class",
            higher_is_better=True,
            score=scorers.f_score(_beta, "last"),
            simple=LAST_CLASS,
            kept_as=None,
            most_classes=2,
        )
    )
for _most in (3, 5):
    METRICS.add(top_accuracy(_most))
for _most in (3, 5):
    METRICS.add(map_at(_most))
