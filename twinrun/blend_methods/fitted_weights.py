"""Weights fitted to held-out predictions: the optimum for the log loss, and greedy selection."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from twinrun.metrics import METRICS, SMALLEST, Metric, Numbers, Values, losses_of_truth
from twinrun.repro.keys import Key

# How far from the optimum the log loss may be, in nats.
GAP = 1e-7
_MOST_STEPS = 10_000

# Selection: bags of half the members but at least five; each adds at most this many, and gives up
# after so many that did not help.
BAGS = 10
_SMALLEST_BAG = 5
_ADDED = 25
_PATIENCE = 5


def optimise_weights(truth: Values) -> Values:
    """The weights, none negative, sum 1, whose arithmetic mean has the lowest log loss.

    The loss is convex in the weights: it is that of a mixture's proportions. They are found by
    vertex exchange (Böhning, "A vertex-exchange-method in D-optimal design theory", Metrika 1986;
    for mixtures: Böhning, Schlattmann and Lindsay, Biometrics 1992): again and again the member
    that would help least gives weight, all it has or as much as is best, to the one that would help
    most, until the distance to the
    optimum is at most GAP nats. A member that adds nothing ends at exactly 0.

    SciPy's SLSQP finds the same optimum, but its last bits change with the number of BLAS's
    threads. Here all sums are numpy's, which one thread takes in one order.

    Args:
        truth: The probability that each member gives the true class of each image: members by
            images, at least one of each. Zeros count as the log loss counts them.

    Returns:
        One weight per member.
    """
    truth = np.clip(truth, SMALLEST, 1.0)
    weights = np.full(len(truth), 1 / len(truth))
    for _ in range(_MOST_STEPS):
        gains = _gains(truth, weights)
        taker = int(gains.argmax())
        if gains[taker] - 1 <= GAP:
            break
        giver = int(np.where(weights > 0, gains, np.inf).argmin())
        moved = _exchange(truth, weights, giver, taker)
        weights[taker] += moved
        weights[giver] -= moved
    return np.asarray(weights / weights.sum())


def _gains(truth: Values, weights: Values) -> Values:
    """By how much the log loss falls, at first, per weight that is added to each member."""
    return np.asarray((truth / (weights[:, None] * truth).sum(axis=0)).mean(axis=1))


def _exchange(truth: Values, weights: Values, giver: int, taker: int) -> float:
    """How much weight one member is best to give to another; all it has where that is best."""
    from scipy.optimize import brentq

    rest = weights.copy()
    rest[[giver, taker]] = 0.0
    others = (rest[:, None] * truth).sum(axis=0)

    def slope(moved: float) -> float:
        # Sums of what is positive only: a difference of mixtures could be rounded to 0.
        taken = (weights[taker] + moved) * truth[taker]
        mixed = others + taken + (weights[giver] - moved) * truth[giver]
        return float(((truth[taker] - truth[giver]) / mixed).mean())

    most = float(weights[giver])
    if slope(most) >= 0:
        return most
    return float(brentq(slope, 0.0, most, xtol=1e-14, rtol=1e-12))


def select_weights(
    values: Values,
    labels: Numbers,
    metric: str,
    names: Sequence[str],
    key: Key,
    *,
    renormalise: bool,
) -> Values:
    """Weights by greedy selection with replacement, bagged.

    Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries of models", ICML
    2004: the member whose addition makes the mean of those chosen best is added, again and again;
    the best of these means counts. That is done for ten bags, each of half of the members, and the
    weights are the mean of theirs. A bag holds at least five members: with no more than that there
    is one bag of all.

    Args:
        values: Probabilities, members by images by classes.
        labels: Of each image the number of its class.
        metric: A name in METRICS. Of members that it finds equal, the log loss decides, then the
            order of names.
        names: The members', sorted.
        key: Draws the bags: each member is ranked by its own draw.
        renormalise: Whether the rows of a mean are divided by their sum before it is scored.

    Returns:
        One weight per member, sum 1.
    """
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
    scores = [(log_loss, truth, loss)]
    if judge is not log_loss:
        scores.insert(0, (judge, values, score))
    bags = _bags(names, key)
    weights = np.zeros(len(names))
    for bag in bags:
        weights += _select_within(bag, len(names), scores)
    return weights / len(bags)


def _bags(names: Sequence[str], key: Key) -> list[list[int]]:
    size = max(-(-len(names) // 2), _SMALLEST_BAG)
    if size >= len(names):
        return [list(range(len(names)))]
    return [sorted(key.of("bag", bag).order(names)[:size]) for bag in range(BAGS)]


def _select_within(
    bag: Sequence[int],
    members: int,
    scores: Sequence[tuple[Metric, Values, Callable[[Values], float]]],
) -> Values:
    """How often each member was added on the way to the best mean, divided by the additions.

    Args:
        bag: The members that may be added, by number.
        members: How many there are.
        scores: Metric, what it asks of each member, and the score of a mean of that; where the
            first finds two means equal the next decides.
    """

    def better(first: Sequence[float], second: Sequence[float]) -> bool:
        for (metric, _, _), value, than in zip(scores, first, second, strict=True):
            if metric.better(value, than) or metric.better(than, value):
                return metric.better(value, than)
        return False

    totals = [np.zeros(asked.shape[1:]) for _, asked, _ in scores]
    added: list[int] = []
    best, kept = [float("nan")] * len(scores), 1
    while len(added) < _ADDED and len(added) - kept < _PATIENCE:
        chosen, reached = bag[0], [float("nan")] * len(scores)
        for member in bag:
            values = [
                score((total + asked[member]) / (len(added) + 1))
                for total, (_, asked, score) in zip(totals, scores, strict=True)
            ]
            if better(values, reached):
                chosen, reached = member, values
        added.append(chosen)
        totals = [
            total + asked[chosen] for total, (_, asked, _) in zip(totals, scores, strict=True)
        ]
        if better(reached, best):
            best, kept = reached, len(added)
    counts = np.bincount(added[:kept], minlength=members)
    return np.asarray(counts / kept)
