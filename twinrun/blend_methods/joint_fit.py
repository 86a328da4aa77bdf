"""Weights and temperature fitted together: the best mean for what is calibrated after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twinrun.blend_methods.few_classes import FewClasses
from twinrun.blend_methods.fitted_weights import optimise_weights
from twinrun.blend_methods.temperature import COLDEST, HOTTEST, fit_temperature
from twinrun.metrics import Numbers, Values

# A step that gains less than this, in nats, is the last one.
_GAIN = 1e-10
_MOST_STEPS = 200
# Damping of a step: it grows until the step gains something, and is given up beyond the second.
_DAMPING, _MOST_DAMPING = 1e-3, 1e8


def optimise_with_temperature(values: Values, labels: Numbers) -> Values:
    """The weights of the arithmetic mean whose log loss is the lowest when a temperature follows.

    Weights that are best by themselves are not best below a temperature: members that are unsure of
    themselves in different ways have a mean that is right more often than any of them, and is only
    to be sharpened. So both are moved at once, by Gauss and Newton's steps with Levenberg and
    Marquardt's damping, projected to what weights and temperatures may be (Bertsekas, "Projected
    Newton methods for optimization problems with simple constraints", SIAM Journal on Control and
    Optimization 1982), until a step gains less than 1e-10 nats. A member that adds nothing ends at
    exactly 0.

    The loss may have several minima. The descent begins at the weights and the temperature that are
    found one after the other, so that it is never worse than they are, and at equal weights; the
    better end is taken. Of many classes an image's unlikely ones count by their mean: see
    `FewClasses`. All sums are numpy's, which one thread takes in one order.

    Args:
        values: Probabilities: members by images by classes, at least one of each. Zeros count as
            the log loss counts them.
        labels: Of each image the number of its class.

    Returns:
        One weight per member, sum 1.
    """
    few = FewClasses.of(values, labels)
    alone = optimise_weights(values[:, np.arange(len(labels)), labels])
    ends = []
    for weights in (alone, np.full(len(values), 1 / len(values))):
        temperature = fit_temperature((weights[:, None, None] * values).sum(axis=0), labels)
        ends.append(_descend(_Place.of(few, np.append(weights, 1 / temperature))))
    return min(ends, key=lambda end: end.loss).weights  # the first of equals


@dataclass(frozen=True)
class _Place:
    """Weights and the inverse of a temperature, and what they give.

    Attributes:
        at: The weights, sum 1, and after them the inverse of the temperature.
        mixed: The mean's probabilities, images by columns.
        shares: The same after the temperature, sum 1.
        loss: The mean log loss.
    """

    few: FewClasses
    at: Values
    mixed: Values
    shares: Values
    loss: float

    @classmethod
    def of(cls, few: FewClasses, at: Values) -> _Place:
        """What weights and the inverse of a temperature give."""
        mixed = (at[:-1, None, None] * few.values).sum(axis=0)
        logits = few.logits(mixed, at[-1])
        raised = np.exp(logits)
        sums = raised.sum(axis=1, keepdims=True)
        loss = float(few.losses(logits, sums[:, 0]).mean())
        return cls(few, at, mixed, raised / sums, loss)

    @property
    def weights(self) -> Values:
        return self.at[:-1]

    def slopes(self) -> tuple[Values, Values]:
        """The gradient of the loss, and Gauss and Newton's matrix in the place of its Hessian.

        Of a logit z = b log m, with the mean m and the inverse b of the temperature, the derivative
        by a weight is b p / m, by b it is log m; the loss is convex in the logits, with the
        Hessian diag(q) - q q' of the shares q.
        """
        images, last = len(self.few.labels), len(self.weights)
        towards = self.shares.copy()
        towards[np.arange(images), self.few.labels] -= 1
        gradient = np.empty(last + 1)
        means, changes = [], []
        for number in range(last + 1):
            change = (
                self.at[-1] * self.few.values[number] / self.mixed
                if number < last
                else np.log(self.mixed)
            )
            gradient[number] = (towards * change).sum() / images
            means.append((self.shares * change).sum(axis=1))
            changes.append(change)
        matrix = np.empty((last + 1, last + 1))
        for row in range(last + 1):
            weighted = self.shares * changes[row]
            for column in range(row + 1):
                bend = (weighted * changes[column]).sum() - (means[row] * means[column]).sum()
                matrix[row, column] = matrix[column, row] = bend / images
        return gradient, matrix


def _descend(place: _Place) -> _Place:
    """The minimum that steps lead to, each of which gains something."""
    low = np.append(np.zeros(len(place.weights)), 1 / HOTTEST)
    high = np.append(np.ones(len(place.weights)), 1 / COLDEST)
    damping = _DAMPING
    for _ in range(_MOST_STEPS):
        gradient, matrix = place.slopes()
        stuck = ((place.at <= low) & (gradient > 0)) | ((place.at >= high) & (gradient < 0))
        free = np.flatnonzero(~stuck)
        found = None
        while found is None and damping < _MOST_DAMPING:
            step = _solve(matrix[np.ix_(free, free)], -gradient[free], damping)
            at = place.at.copy()
            at[free] += step
            at = np.clip(at, low, high)
            if at[:-1].sum() > 0:
                # The size of the weights changes no logit but by a constant.
                at[:-1] /= at[:-1].sum()
                tried = _Place.of(place.few, at)
                found = tried if tried.loss < place.loss else None
            damping = damping * 10 if found is None else max(damping / 10, 1e-9)
        if found is None:
            break
        gain, place = place.loss - found.loss, found
        if gain < _GAIN:
            break
    return place


def _solve(matrix: Values, right: Values, damping: float) -> Values:
    """The solution of a positive semidefinite system, its diagonal raised by a part of itself.

    By elimination: a library's kernels would add up otherwise on another processor.
    """
    matrix, right = matrix.copy(), right.copy()
    size = len(right)
    diagonal = matrix.diagonal().copy()
    matrix[np.arange(size), np.arange(size)] += damping * diagonal + 1e-12
    for row in range(size - 1):
        factors = matrix[row + 1 :, row] / matrix[row, row]
        matrix[row + 1 :] -= factors[:, None] * matrix[row]
        right[row + 1 :] -= factors * right[row]
    for row in reversed(range(size)):
        rest = (matrix[row, row + 1 :] * right[row + 1 :]).sum()
        right[row] = (right[row] - rest) / matrix[row, row]
    return right
