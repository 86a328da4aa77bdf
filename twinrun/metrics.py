"""How good probabilities are, given the truth: every metric of a competition, in one table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from twinrun.registry import Registry

Values = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
ScoreFunction = Callable[[Values, Numbers], float]

# As scikit-learn: a probability of 0 for the truth costs much, not infinitely much.
SMALLEST = float(np.finfo(np.float64).eps)
_ROUNDING = 1e-9
# The columns that every history.csv has, and those of them that hold a metric.
HISTORY_COLUMNS = [
    "epoch",
    "phase",
    "train_loss",
    "valid_loss",
    "accuracy",
    "error_rate",
    "learning_rate",
    "seconds",
]
_KEPT = ("valid_loss", "accuracy")


@dataclass(frozen=True)
class SimpleAnswer:
    """An answer without any network, to compare a score with.

    Attributes:
        words: For a reader.
        score: What it scores: from the metric's score function, the true class numbers of the
            images, and how many classes there are.
    """

    words: str
    score: Callable[[ScoreFunction, Numbers, int], float]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric, and everything that any room asks of it.

    Attributes:
        name: In the settings, and of its column in history.csv and member.json.
        words: For a reader, and in the template's question.
        higher_is_better: Otherwise the lower one of two values is the better one.
        score: Of probabilities (float64, a row per image, a column per class, not always of sum 1)
            and of each row the column of its true class; nan where it is not defined.
        simple: What to compare a score with.
        kept_as: Its column in every training's history.csv and member.json; None for a metric that
            is kept, by its name, where it is the competition's.
    """

    name: str
    words: str
    higher_is_better: bool
    score: ScoreFunction
    simple: SimpleAnswer
    kept_as: str | None

    def __post_init__(self) -> None:
        if self.kept_as is not None and self.kept_as not in _KEPT:
            raise ValueError(f"metric {self.name!r}: kept_as is None or of {', '.join(_KEPT)}")
        if self.kept_as is None and self.name in HISTORY_COLUMNS:
            raise ValueError(f"metric {self.name!r}: history.csv has a column of this name")

    def better(self, value: float, than: float) -> bool:
        """Whether a value is the better one; anything is better than one that is not defined.

        What differs by less than the rounding of long sums is equal.
        """
        if math.isnan(value) or math.isnan(than):
            return math.isnan(than) and not math.isnan(value)
        return self.gain(value, than) > _ROUNDING

    def gain(self, value: float, than: float) -> float:
        """By how much a value is better than a different one; below 0: worse."""
        return value - than if self.higher_is_better else than - value


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


def losses_of_truth(probabilities: Values) -> Values:
    """-log p, in nats, of the probability p that each image's true class was given."""
    return np.asarray(-np.log(np.clip(probabilities, SMALLEST, 1.0)))


def _values_and_numbers(predictions: pd.DataFrame, labels: Iterable[str]) -> tuple[Values, Numbers]:
    classes: Sequence[str] = list(predictions.columns[1:])
    number = {name: position for position, name in enumerate(classes)}
    truth = np.array([number[label] for label in labels], dtype=np.int64)
    return predictions[classes].to_numpy(dtype=np.float64), truth


def _log_loss(probabilities: Values, truth: Numbers) -> float:
    return float(losses_of_truth(probabilities[np.arange(len(truth)), truth]).mean())


def _accuracy(probabilities: Values, truth: Numbers) -> float:
    return float((probabilities.argmax(axis=1) == truth).mean())


# scikit-learn takes a second to import, which a run of a different metric can do without.


def _macro_f1(probabilities: Values, truth: Numbers) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(truth, probabilities.argmax(axis=1), average="macro"))


def _quadratic_kappa(probabilities: Values, truth: Numbers) -> float:
    from sklearn.metrics import cohen_kappa_score

    guesses = probabilities.argmax(axis=1)
    if len({*truth.tolist(), *guesses.tolist()}) < 2:
        return float("nan")  # the agreement that chance would give is complete: 0 / 0
    grades = list(range(probabilities.shape[1]))
    return float(cohen_kappa_score(truth, guesses, labels=grades, weights="quadratic"))


def _auc(probabilities: Values, truth: Numbers) -> float:
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


def uniform_guessing(score: Callable[[int], float]) -> SimpleAnswer:
    """The same probability for every class.

    Args:
        score: What it scores in the mean, given the number of classes.
    """
    return SimpleAnswer("uniform guessing", lambda _score, _truth, classes: score(classes))


def _score_largest_class(score: ScoreFunction, truth: Numbers, classes: int) -> float:
    largest = np.bincount(truth, minlength=classes).argmax()
    return score(np.eye(classes)[np.full_like(truth, largest)], truth)


LARGEST_CLASS = SimpleAnswer("always the largest class", _score_largest_class)
"""Always the class with the most labels, the first of equals."""

METRICS: Registry[Metric] = Registry("metric", Metric, setting="competition.metric")
"""What `competition.metric` may name. A row's guess is its likeliest class, the first of equals.

- log loss: the mean of -log p(true class), in nats; rows are taken as they are. scikit-learn's
  divides each by its sum, which would hide what a blend whose rows do not sum to 1 is worth to the
  host.
- macro F1: scikit-learn's; the mean over the classes that stand among the labels or the guesses.
- quadratic kappa: scikit-learn's; the classes are grades, in the order of the columns; not defined
  where all labels and guesses are one class.
- AUC: of two classes, the last is the positive one, ranked by its probability; of more, the mean
  over each class against the others, rows divided by their sum first. Not defined where a class is
  missing from the labels.
"""

METRICS.add(
    Metric(
        name="log_loss",
        words="log loss",
        higher_is_better=False,
        score=_log_loss,
        simple=uniform_guessing(math.log),
        kept_as="valid_loss",
    )
)
METRICS.add(
    Metric(
        name="accuracy",
        words="accuracy",
        higher_is_better=True,
        score=_accuracy,
        simple=LARGEST_CLASS,
        kept_as="accuracy",
    )
)
METRICS.add(
    Metric(
        name="macro_f1",
        words="macro F1",
        higher_is_better=True,
        score=_macro_f1,
        simple=LARGEST_CLASS,
        kept_as=None,
    )
)
METRICS.add(
    Metric(
        name="quadratic_kappa",
        words="quadratic kappa",
        higher_is_better=True,
        score=_quadratic_kappa,
        simple=uniform_guessing(lambda _: 0.0),
        kept_as=None,
    )
)
METRICS.add(
    Metric(
        name="auc",
        words="AUC",
        higher_is_better=True,
        score=_auc,
        simple=uniform_guessing(lambda _: 0.5),
        kept_as=None,
    )
)
