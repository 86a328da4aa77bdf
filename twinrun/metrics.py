"""How good probabilities are, given the truth: the metric of the competition."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

# As scikit-learn: a probability of 0 for the truth costs much, not infinitely much.
SMALLEST = float(np.finfo(np.float64).eps)
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Metric:
    """What to know of a metric.

    Attributes:
        name: For a reader.
        higher_is_better: Otherwise the lower one of two values is the better one.
    """

    name: str
    higher_is_better: bool = True

    def better(self, value: float, than: float) -> bool:
        """Whether a value is the better one; anything is better than one that is not defined.

        What differs by less than the rounding of long sums is equal.
        """
        if math.isnan(value) or math.isnan(than):
            return math.isnan(than) and not math.isnan(value)
        gain = value - than if self.higher_is_better else than - value
        return gain > _ROUNDING


# By `competition.metric` of the settings.
METRICS = {
    "log_loss": Metric("log loss", higher_is_better=False),
    "accuracy": Metric("accuracy"),
    "macro_f1": Metric("macro F1"),
    "quadratic_kappa": Metric("quadratic kappa"),
    "auc": Metric("AUC"),
}


# What every training's history.csv and member.json hold, whatever the settings' metric is.
ALWAYS_KEPT = ("log_loss", "accuracy")


@dataclass(frozen=True)
class Score:
    """A score and what it is worth.

    Attributes:
        metric: Of METRICS.
        value: nan where the metric is not defined.
        images: How many were scored.
        simple: What a simple answer to every image is called.
        simple_value: Its score on the same images.
        absent: The classes of which there is no image.
    """

    metric: str
    value: float
    images: int
    simple: str
    simple_value: float
    absent: tuple[str, ...]


def score(predictions: pd.DataFrame, labels: Iterable[str], metric: str) -> float:
    """Score predictions with one of METRICS; nan where it is not defined.

    A row's guess is its likeliest class, the first of equals. The metrics are scikit-learn's, but
    for the log loss:

    - macro F1: the mean over the classes that stand among the labels or the guesses.
    - quadratic kappa: the classes are grades, in the order of the columns; not defined where all
      labels and guesses are one class.
    - AUC: of two classes, the last is the positive one, ranked by its probability; of more, the
      mean over each class against the others, rows divided by their sum first. Not defined where a
      class is missing from the labels.

    Args:
        predictions: An id column, then a column of probabilities per class, in the classes' order.
        labels: The true class of each row.
        metric: A key of METRICS.
    """
    classes = list(predictions.columns[1:])
    probabilities = predictions[classes].to_numpy(dtype=np.float64)
    return score_values(probabilities, _numbers(labels, classes), metric)


def score_values(
    probabilities: npt.NDArray[np.float64], numbers: npt.NDArray[np.int64], metric: str
) -> float:
    """Score predictions as `score` does.

    Args:
        probabilities: A row per image, a column per class, in the classes' order.
        numbers: Of each row the column of its true class.
        metric: A key of METRICS.
    """
    if metric == "log_loss":
        return loss_of_truth(probabilities[np.arange(len(numbers)), numbers])
    if metric == "auc":
        return _auc(probabilities, numbers)
    return _score_of_guesses(probabilities.argmax(axis=1), numbers, probabilities.shape[1], metric)


def compared_score(predictions: pd.DataFrame, labels: Iterable[str], metric: str) -> Score:
    """Score predictions as `score` does, beside a simple answer to the same images.

    That is uniform guessing, and for accuracy and macro F1 always the class with the most labels,
    the first of equals.
    """
    truth = list(labels)
    classes = list(predictions.columns[1:])
    numbers = _numbers(truth, classes)
    counts = np.bincount(numbers, minlength=len(classes))
    simple = "uniform guessing"
    if metric in ("accuracy", "macro_f1"):
        simple = "always the largest class"
        largest = np.full_like(numbers, counts.argmax())
        simple_value = _score_of_guesses(largest, numbers, len(classes), metric)
    else:
        simple_value = {"log_loss": float(np.log(len(classes))), "auc": 0.5}.get(metric, 0.0)
    return Score(
        metric=metric,
        value=score(predictions, truth, metric),
        images=len(truth),
        simple=simple,
        simple_value=simple_value,
        absent=tuple(name for name, count in zip(classes, counts, strict=True) if not count),
    )


def log_loss(predictions: pd.DataFrame, labels: Iterable[str]) -> float:
    """Mean of -log p(true class), in nats; rows are taken as they are, not renormalised.

    scikit-learn's log_loss divides each row by its sum, which would hide what the 13th place's
    blend, whose rows do not sum to 1, is worth to the host.

    Args:
        predictions: An id column, then a column of probabilities per class.
        labels: The true class of each row.
    """
    return score(predictions, labels, "log_loss")


def loss_of_truth(probabilities: npt.NDArray[np.float64]) -> float:
    """Mean of -log p, in nats, of the probabilities that each row gives its true class."""
    return float(-np.log(np.clip(probabilities, SMALLEST, 1.0)).mean())


def _numbers(labels: Iterable[str], classes: Sequence[str]) -> npt.NDArray[np.int64]:
    number = {name: position for position, name in enumerate(classes)}
    return np.array([number[label] for label in labels], dtype=np.int64)


def _score_of_guesses(
    guesses: npt.NDArray[np.int64], truth: npt.NDArray[np.int64], classes: int, metric: str
) -> float:
    # scikit-learn takes a second to import, which a run of another metric can do without.
    from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score

    if metric == "accuracy":
        return float(accuracy_score(truth, guesses))
    if metric == "macro_f1":
        return float(f1_score(truth, guesses, average="macro"))
    if len({*truth.tolist(), *guesses.tolist()}) < 2:
        return float("nan")  # the agreement that chance would give is complete: 0 / 0
    grades = list(range(classes))
    return float(cohen_kappa_score(truth, guesses, labels=grades, weights="quadratic"))


def _auc(probabilities: npt.NDArray[np.float64], truth: npt.NDArray[np.int64]) -> float:
    # scikit-learn's is the same number; it takes thirty times as long, and selection asks often.
    from scipy.stats import rankdata

    classes = probabilities.shape[1]
    counts = np.bincount(truth, minlength=classes)
    if not counts.all():
        return float("nan")
    if classes == 2:
        probabilities, counts, truth = probabilities[:, 1:], counts[1:], truth - 1
    else:
        sums = probabilities.sum(axis=1, keepdims=True)
        # A row of zeros says nothing about any class.
        rows = np.where(sums > 0, probabilities, 1.0)
        probabilities = rows / rows.sum(axis=1, keepdims=True)
    # Mann and Whitney's U: pairs of an image of the class and another one, ranked right.
    ranks = rankdata(probabilities, axis=0)
    own = np.where(truth[:, None] == np.arange(probabilities.shape[1]), ranks, 0.0).sum(axis=0)
    right = own - counts * (counts + 1) / 2
    return float((right / (counts * (len(truth) - counts))).mean())
