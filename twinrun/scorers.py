"""Scores of probabilities, given the truth: scikit-learn's, where it has such a one.

Probabilities are float64, a row per image and a column per class, not always of sum 1; truth is
int64, of each row the column of its true class. A row's guess is its likeliest class, and of equals
the first. But for the log loss, no order of rows and no number of threads changes a bit of a score:
each is made of counts.

scikit-learn takes a second to import, which a run of a different metric can do without.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from twinrun.metric import Numbers, ScoreFunction, Values

# As scikit-learn: a probability of 0 for the truth costs much, not infinitely much.
SMALLEST = float(np.finfo(np.float64).eps)
NOT_DEFINED = float("nan")


def losses_of_truth(probabilities: Values) -> Values:
    """-log p, in nats, of the probability p that each image's true class was given."""
    return np.asarray(-np.log(np.clip(probabilities, SMALLEST, 1.0)))


def log_loss(probabilities: Values, truth: Numbers) -> float:
    """The mean of -log p(true class), in nats, of rows as they are.

    scikit-learn's divides each by its sum, which would hide what a blend whose rows do not sum to 1
    is worth to the host.
    """
    return float(losses_of_truth(probabilities[np.arange(len(truth)), truth]).mean())


def accuracy(probabilities: Values, truth: Numbers) -> float:
    """The share of guesses that are right."""
    return float((probabilities.argmax(axis=1) == truth).mean())


def balanced_accuracy(probabilities: Values, truth: Numbers) -> float:
    """The mean over the classes, of which there are images, of the share of them that is right."""
    from sklearn.metrics import recall_score

    guesses = probabilities.argmax(axis=1)
    return float(recall_score(truth, guesses, labels=np.unique(truth), average="macro"))


def f_score(beta: float, average: Literal["macro", "weighted", "last"]) -> ScoreFunction:
    """The F-score of guesses: the weighted harmonic mean of precision and recall.

    Args:
        beta: How much more recall counts than precision.
        average: Over the classes that stand among the labels or the guesses, each as much
            ("macro") or as often as it stands among the labels ("weighted"); or of the last class
            alone, not defined where that stands in neither.
    """

    def score(probabilities: Values, truth: Numbers) -> float:
        from sklearn.metrics import fbeta_score

        guesses = probabilities.argmax(axis=1)
        last = [probabilities.shape[1] - 1]
        return float(
            fbeta_score(
                truth, guesses, beta=beta, labels=last, average="macro", zero_division=np.nan
            )
            if average == "last"
            else fbeta_score(truth, guesses, beta=beta, average=average, zero_division=0.0)
        )

    return score


def quadratic_kappa(probabilities: Values, truth: Numbers) -> float:
    """Cohen's kappa with squared distances: the classes are grades, in the order of the columns.

    Not defined where all labels and guesses are one class.
    """
    from sklearn.metrics import cohen_kappa_score

    guesses = probabilities.argmax(axis=1)
    if len({*truth.tolist(), *guesses.tolist()}) < 2:
        return NOT_DEFINED  # the agreement that chance would give is complete: 0 / 0
    grades = list(range(probabilities.shape[1]))
    return float(cohen_kappa_score(truth, guesses, labels=grades, weights="quadratic"))


def matthews_correlation(probabilities: Values, truth: Numbers) -> float:
    """Matthews' correlation of guesses and labels; 0 where all guesses are one class.

    Not defined where all labels are one class.
    """
    from sklearn.metrics import matthews_corrcoef

    if len(np.unique(truth)) < 2:
        return NOT_DEFINED
    return float(matthews_corrcoef(truth, probabilities.argmax(axis=1)))


def auc(probabilities: Values, truth: Numbers) -> float:
    """The area under the ROC curve: how many pairs of images are ranked right.

    Of two classes, the last is the positive one, ranked by its probability; of more, the mean over
    each class against the others, rows divided by their sum first. Not defined where a class is
    missing from the labels.
    """
    # scikit-learn's is the same number; it takes thirty times as long, and selection asks often.
    from scipy.stats import rankdata

    classes = probabilities.shape[1]
    counts = np.bincount(truth, minlength=classes)
    if not counts.all():
        return NOT_DEFINED
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


def average_precision(probabilities: Values, truth: Numbers) -> float:
    """The area under the curve of precision and recall, as steps: rows are taken as they are.

    Of two classes, the last is the positive one, and without an image of it there is no score; of
    more, the mean over each class that there are images of, against the others.
    """
    from sklearn.metrics import average_precision_score

    if probabilities.shape[1] == 2:
        ranked = [1] if truth.any() else []
    else:
        ranked = np.unique(truth).tolist()
    scores = [average_precision_score(truth == each, probabilities[:, each]) for each in ranked]
    return float(np.mean(scores)) if scores else NOT_DEFINED


def top_accuracy(most: int) -> ScoreFunction:
    """The share of images whose true class is among the likeliest ones.

    Args:
        most: How many: k.
    """

    def score(probabilities: Values, truth: Numbers) -> float:
        return float((_classes_before(probabilities, truth) < most).mean())

    return score


def mean_average_precision(most: int) -> ScoreFunction:
    """MAP@k of one true class an image: 1 over its place among the likeliest ones, 0 behind them.

    Args:
        most: How many are looked at: k.
    """

    def score(probabilities: Values, truth: Numbers) -> float:
        # By how many images have each place, so that no order of images changes a sum.
        before = _classes_before(probabilities, truth)
        images = np.bincount(before[before < most], minlength=most)
        return float((images / np.arange(1, most + 1)).sum() / len(truth))

    return score


def _classes_before(probabilities: Values, truth: Numbers) -> Numbers:
    """How many classes are likelier than the true one, or as likely and come first."""
    own = probabilities[np.arange(len(truth)), truth][:, None]
    first = np.arange(probabilities.shape[1]) < truth[:, None]
    return np.asarray(((probabilities > own) | ((probabilities == own) & first)).sum(axis=1))
