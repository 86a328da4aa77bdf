"""One temperature for all probabilities: what is too sure of itself is made less so."""

from __future__ import annotations

import math

import numpy as np

from twinrun.metrics import SMALLEST, Numbers, Values

# No probabilities are wrong by more than this factor in their logarithms and yet worth a blend.
COLDEST, HOTTEST = 0.05, 20.0


def apply_temperature(probabilities: Values, temperature: float) -> Values:
    """Each probability to the power of 1 / temperature, rows divided by their sum.

    Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017, with the
    logarithms of the blend in place of a network's logits. Zeros count as the log loss counts them.
    The likeliest class of a row stays what it is. A row's bits depend on nothing beside it.

    Args:
        probabilities: A row per image, a column per class.
        temperature: Above 1 the rows become more even, below 1 less.
    """
    logits = _logarithms(probabilities) / temperature
    logits -= logits.max(axis=1, keepdims=True)
    raised = np.exp(logits)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def fit_temperature(probabilities: Values, labels: Numbers) -> float:
    """The temperature, between 0.05 and 20, with the lowest log loss.

    The loss is convex in 1 / temperature, so that the one minimum is found by SciPy's bounded
    search (Brent 1973) over its logarithm.

    Args:
        probabilities: A row per image, a column per class.
        labels: Of each image the number of its class.
    """
    from scipy.optimize import minimize_scalar

    logits = _logarithms(probabilities)
    logits -= logits.max(axis=1, keepdims=True)
    truth = logits[np.arange(len(labels)), labels]

    def loss(logarithm: float) -> float:
        factor = math.exp(-logarithm)
        # -log of the softmax: no exponential of the truth's logit, which may underflow.
        return float((np.log(np.exp(factor * logits).sum(axis=1)) - factor * truth).mean())

    found = minimize_scalar(
        loss,
        bounds=(math.log(COLDEST), math.log(HOTTEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return math.exp(float(found.x))


def _logarithms(probabilities: Values) -> Values:
    """Of probabilities that may be 0; row by row in memory.

    That decides how numpy sums a row: column by column, as tables of pandas lie, it adds one class
    after the other where there are several rows, and in pairs where there is one.
    """
    return np.asarray(np.log(np.clip(np.ascontiguousarray(probabilities), SMALLEST, 1.0)))
