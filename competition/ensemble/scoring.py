"""How good probabilities are, given the truth."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

# As scikit-learn: a probability of 0 for the truth costs much, not infinitely much.
_SMALLEST = np.finfo(np.float64).eps


def log_loss(predictions: pd.DataFrame, labels: Iterable[str]) -> float:
    """Mean of -log p(true class), in nats; rows are taken as they are, not renormalised.

    scikit-learn's log_loss divides each row by its sum, which would hide what the 13th place's
    blend, whose rows do not sum to 1, is worth to the host.

    Args:
        predictions: An id column, then a column of probabilities per class.
        labels: The true class of each row.
    """
    classes = list(predictions.columns[1:])
    truth = [classes.index(label) for label in labels]
    probabilities = predictions[classes].to_numpy(dtype=np.float64)
    chosen = probabilities[np.arange(len(truth)), truth]
    return float(-np.log(np.clip(chosen, _SMALLEST, 1.0)).mean())
