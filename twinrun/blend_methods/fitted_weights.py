"""Weights of an arithmetic mean: the optimum for the log loss, without a temperature."""

from __future__ import annotations

import numpy as np

from twinrun.metrics import SMALLEST, Values

# How far from the optimum the log loss may be, in nats.
GAP = 1e-7
_MOST_STEPS = 10_000


def optimise_weights(truth: Values) -> Values:
    """The weights, none negative, sum 1, whose arithmetic mean has the lowest log loss.

    The loss is convex in the weights: it is that of a mixture's proportions. They are found by
    vertex exchange (Böhning, "A vertex-exchange-method in D-optimal design theory", Metrika 1986;
    for mixtures: Böhning, Schlattmann and Lindsay, Biometrics 1992): again and again the member
    that would help least gives weight, all it has or as much as is best, to the one that would help
    most, until the distance to the optimum is at most GAP nats. A member that adds nothing ends at
    exactly 0.

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
