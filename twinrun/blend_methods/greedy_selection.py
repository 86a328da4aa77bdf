"""Greedy selection of members: weights that say how often each was added."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from twinrun.blend_methods.few_classes import FewClasses
from twinrun.blend_methods.temperature import apply_temperature, fit_temperature
from twinrun.metrics import METRICS, Metric, Numbers, Values, losses_of_truth
from twinrun.repro.keys import Key

# Bags of half the members but at least five; each adds at most this many, and gives up after so
# many that did not help.
BAGS = 10
_SMALLEST_BAG = 5
_ADDED = 25
_PATIENCE = 5


def select_weights(
    values: Values,
    labels: Numbers,
    metric: str,
    names: Sequence[str],
    key: Key,
    *,
    renormalise: bool,
    calibrated: bool = False,
) -> Values:
    """Weights by greedy selection with replacement, bagged.

    Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries of models", ICML
    2004: the member whose addition makes the mean of those chosen best is added, again and again;
    the best of these means counts. That is done for ten bags, each of half of the members, and the
    weights are the mean of theirs. A bag holds at least five members: with no more than that there
    is one bag of all.

    Where a temperature follows, members are selected a second time, for the temperature that the
    first selection asks for. The better one is taken.

    Args:
        values: Probabilities, members by images by classes.
        labels: Of each image the number of its class.
        metric: A name in METRICS. Of members that it finds equal, the log loss decides, then the
            order of names.
        names: The members', sorted.
        key: Draws the bags: each member is ranked by its own draw.
        renormalise: Whether the rows of a mean are divided by their sum before it is scored.
        calibrated: Whether the mean gets a temperature afterwards.

    Returns:
        One weight per member, sum 1.
    """
    bags = _bags(names, key)
    weights = _select(bags, _plain_scores(values, labels, metric, renormalise=renormalise))
    if not calibrated:
        return weights
    few = FewClasses.of(values, labels)
    temperature, reached = _calibrate(values, labels, metric, few, weights)
    judges = _calibrated_scores(values, labels, metric, few, temperature)
    others = _select(bags, judges)
    _, now = _calibrate(values, labels, metric, few, others)
    return others if _better(now, reached, [judge.metric for judge in judges]) else weights


@dataclass(frozen=True)
class _Judge:
    """What means are scored by.

    Attributes:
        metric: Which.
        asked: What the score asks of each member: members by images by anything.
        score: Of a mean of that.
    """

    metric: Metric
    asked: Values
    score: Callable[[Values], float]


def _plain_scores(
    values: Values, labels: Numbers, metric: str, *, renormalise: bool
) -> list[_Judge]:
    # The log loss asks only for the truth's probability and the row's sum.
    truth = np.stack([values[:, np.arange(len(labels)), labels], values.sum(axis=2)], axis=2)

    def loss(mean: Values) -> float:
        sums = np.where(mean[:, 1] > 0, mean[:, 1], 1.0)
        asked = mean[:, 0] / sums if renormalise else mean[:, 0]
        return float(losses_of_truth(asked).mean())

    def score(mean: Values) -> float:
        sums = mean.sum(axis=1, keepdims=True)
        rows = mean / np.where(sums > 0, sums, 1.0) if renormalise else mean
        return judge.score(rows, labels)

    log_loss, judge = METRICS.get("log_loss"), METRICS.get(metric)
    judges = [_Judge(log_loss, truth, loss)]
    return judges if judge is log_loss else [_Judge(judge, values, score), *judges]


def _calibrated_scores(
    values: Values, labels: Numbers, metric: str, few: FewClasses, temperature: float
) -> list[_Judge]:
    def loss(mean: Values) -> float:
        logits = few.logits(mean, 1 / temperature)
        return float(few.losses(logits, np.exp(logits).sum(axis=1)).mean())

    def score(mean: Values) -> float:
        return judge.score(apply_temperature(mean, temperature), labels)

    log_loss, judge = METRICS.get("log_loss"), METRICS.get(metric)
    judges = [_Judge(log_loss, few.values, loss)]
    return judges if judge is log_loss else [_Judge(judge, values, score), *judges]


def _calibrate(
    values: Values, labels: Numbers, metric: str, few: FewClasses, weights: Values
) -> tuple[float, list[float]]:
    """The temperature of a mean, and its scores with it."""
    temperature = fit_temperature((weights[:, None, None] * values).sum(axis=0), labels)
    judges = _calibrated_scores(values, labels, metric, few, temperature)
    means = ((weights[:, None, None] * judge.asked).sum(axis=0) for judge in judges)
    return temperature, [judge.score(mean) for judge, mean in zip(judges, means, strict=True)]


def _better(first: Sequence[float], second: Sequence[float], metrics: Sequence[Metric]) -> bool:
    """Whether scores are the better ones; where a metric finds two equal the next decides."""
    for metric, value, than in zip(metrics, first, second, strict=True):
        if metric.better(value, than) or metric.better(than, value):
            return metric.better(value, than)
    return False


def _select(bags: Sequence[Sequence[int]], judges: Sequence[_Judge]) -> Values:
    members = len(judges[0].asked)
    weights = np.zeros(members)
    for bag in bags:
        weights += _select_within(bag, members, judges)
    return weights / len(bags)


def _bags(names: Sequence[str], key: Key) -> list[list[int]]:
    size = max(-(-len(names) // 2), _SMALLEST_BAG)
    if size >= len(names):
        return [list(range(len(names)))]
    return [sorted(key.of("bag", bag).order(names)[:size]) for bag in range(BAGS)]


def _select_within(bag: Sequence[int], members: int, judges: Sequence[_Judge]) -> Values:
    """How often each member was added on the way to the best mean, divided by the additions.

    Args:
        bag: The members that may be added, by number.
        members: How many there are.
        judges: Where the first finds two means equal the next decides.
    """
    metrics = [judge.metric for judge in judges]
    totals = [np.zeros(judge.asked.shape[1:]) for judge in judges]
    added: list[int] = []
    best, kept = [float("nan")] * len(judges), 1
    while len(added) < _ADDED and len(added) - kept < _PATIENCE:
        chosen, reached = bag[0], [float("nan")] * len(judges)
        for member in bag:
            scores = [
                judge.score((total + judge.asked[member]) / (len(added) + 1))
                for total, judge in zip(totals, judges, strict=True)
            ]
            if _better(scores, reached, metrics):
                chosen, reached = member, scores
        added.append(chosen)
        totals = [total + judge.asked[chosen] for total, judge in zip(totals, judges, strict=True)]
        if _better(reached, best, metrics):
            best, kept = reached, len(added)
    counts = np.bincount(added[:kept], minlength=members)
    return np.asarray(counts / kept)
