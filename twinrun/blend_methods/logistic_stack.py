"""Stacking by logistic regression: scikit-learn's, on the members' log probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from twinrun.blend_methods.methods import FitInput
from twinrun.blend_methods.stacked import (
    Stacked,
    no_stack,
    parts_of,
    quiet_on_one_thread,
    seen_classes,
    shares_of,
    side_by_side,
)
from twinrun.metrics import Values

# Below it a probability says no more than that a member rules the class out.
FLOOR = 1e-6


def fit_logistic(found: FitInput) -> tuple[Values, dict[str, Any]]:
    """Weights and the model, as `Stack.fit`.

    The loss is the log loss, summed over the images, plus half the squared coefficients: scikit-
    learn's L2 penalty with C = 1, minimised by L-BFGS from 0. With one class there is nothing to
    fit, and the model answers with it.
    """
    seen = seen_classes(found)
    members, _, classes = found.values.shape
    coefficients = np.zeros((len(seen), members, classes))
    intercepts = np.zeros(len(seen))
    if len(seen) > 1:
        from sklearn.linear_model import LogisticRegression

        logarithms = side_by_side(np.log(np.clip(found.values, FLOOR, 1.0)))
        regression = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000)
        with quiet_on_one_thread():
            regression.fit(logarithms, found.labels)
        # Of two classes scikit-learn has the second one's logit alone.
        first = len(seen) - len(regression.intercept_)
        coefficients[first:] = regression.coef_.reshape(-1, members, classes)
        intercepts[first:] = regression.intercept_
    model = {
        "classes": classes,
        "seen": seen,
        "members": list(found.members),
        "intercepts": intercepts.tolist(),
        "coefficients": coefficients.tolist(),
    }
    return shares_of(np.abs(coefficients).sum(axis=(0, 2))), model


class LogisticStack(Stacked):
    """A logistic regression, ready for members' probabilities.

    Args:
        seen: As for `Stacked`.
        intercepts: A logit each of the seen classes.
        coefficients: Of the seen classes: x members, in the order in which their probabilities
            come, x classes.
    """

    def __init__(self, seen: Sequence[int], intercepts: Values, coefficients: Values) -> None:
        super().__init__(coefficients.shape[2], seen)
        self.intercepts, self.coefficients = intercepts, coefficients

    @classmethod
    def of(cls, model: Mapping[str, Any], members: Sequence[str]) -> LogisticStack:
        """As `Stack.bind`."""
        try:
            names, classes, seen = parts_of(model)
            intercepts = np.array(model["intercepts"], dtype=np.float64)
            found = np.array(model["coefficients"], dtype=np.float64)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise no_stack(error) from None
        if (found.shape, intercepts.shape) != ((len(seen), len(names), classes), (len(seen),)):
            raise no_stack("a number for each seen class, member and class is not there")
        if not (np.isfinite(found).all() and np.isfinite(intercepts).all()):
            raise no_stack("a number of it is not finite")
        ordered = np.zeros((len(seen), len(members), classes))
        for number, name in enumerate(names):
            if name in members:
                ordered[:, members.index(name)] = found[:, number]
            elif found[:, number].any():
                raise no_stack(f"it needs member {name}")
        return cls(seen, intercepts, ordered)

    def logits(self, members: Sequence[Values]) -> Values:
        """As `Stacked`."""
        logits = np.tile(self.intercepts, (len(members[0]), 1))
        for number, values in enumerate(members):
            logarithms = np.log(np.clip(np.ascontiguousarray(values), FLOOR, 1.0))
            for column in range(values.shape[1]):
                logits += logarithms[:, column, None] * self.coefficients[:, number, column]
        return logits
