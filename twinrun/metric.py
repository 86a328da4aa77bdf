"""What a metric of a competition has to say for itself, and what a score is compared with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
ScoreFunction = Callable[[Values, Numbers], float]

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
        fewest_classes: Of a competition that it can tell something of.
        most_classes: Likewise; None for any number.
    """

    name: str
    words: str
    higher_is_better: bool
    score: ScoreFunction
    simple: SimpleAnswer
    kept_as: str | None
    fewest_classes: int = 2
    most_classes: int | None = None

    def __post_init__(self) -> None:
        if self.kept_as is not None and self.kept_as not in _KEPT:
            raise ValueError(f"metric {self.name!r}: kept_as is None or of {', '.join(_KEPT)}")
        if self.kept_as is None and self.name in HISTORY_COLUMNS:
            raise ValueError(f"metric {self.name!r}: history.csv has a column of this name")

    def classes_problem(self, count: int) -> str:
        """Why it cannot be of so many classes; empty when it can."""
        if count < self.fewest_classes:
            return f"it is of at least {self.fewest_classes} classes"
        if self.most_classes is not None and count > self.most_classes:
            return f"it is of at most {self.most_classes} classes"
        return ""

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


def uniform_guessing(score: Callable[[int], float]) -> SimpleAnswer:
    """The same probability for every class.

    Args:
        score: What it scores in the mean, given the number of classes.
    """
    return SimpleAnswer("uniform guessing", lambda _score, _truth, classes: score(classes))


def same_for_all(words: str, row: Callable[[Numbers, int], Values]) -> SimpleAnswer:
    """The same probabilities for every image.

    Args:
        words: For a reader.
        row: Of the true class numbers and how many classes there are, these probabilities.
    """

    def score_rows(score: ScoreFunction, truth: Numbers, classes: int) -> float:
        return score(np.tile(row(truth, classes), (len(truth), 1)), truth)

    return SimpleAnswer(words, score_rows)


def _shares(truth: Numbers, classes: int) -> Values:
    return np.asarray(np.bincount(truth, minlength=classes) / len(truth))


LARGEST_CLASS = same_for_all(
    "always the largest class",
    lambda truth, classes: np.eye(classes)[_shares(truth, classes).argmax()],
)
"""Always the class with the most labels, the first of equals."""

LARGEST_CLASSES = same_for_all("always the largest classes", _shares)
"""Always the classes with the most labels, the largest first, the first of equals."""

LAST_CLASS = same_for_all("always the last class", lambda _truth, classes: np.eye(classes)[-1])
"""Always the last class, which of two is the positive one."""

EQUAL_RANKS = same_for_all(
    "uniform guessing", lambda _truth, classes: np.full(classes, 1 / classes)
)
"""The same probability for every class, of a metric that asks which images are ranked above."""
