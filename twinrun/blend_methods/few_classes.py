"""Many classes as few: of an image the unlikely ones stand together, each by their mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twinrun.metrics import SMALLEST, Numbers, Values

# So many classes of an image are looked at one by one: of as few as this, all.
_KEPT = 16


@dataclass(frozen=True)
class FewClasses:
    """Members' probabilities, of which a temperature costs as much as of few classes.

    With as many classes as are kept, or fewer, nothing is left out. Of more, the likeliest of each
    image are kept, and its label; all others stand in one column, as if they were alike.

    Attributes:
        values: Members by images by columns; none is 0.
        labels: Of each image the column of its label.
        offsets: Added to the logits of each column: the logarithm of how many classes it stands
            for.
    """

    values: Values
    labels: Numbers
    offsets: Values

    @classmethod
    def of(cls, values: Values, labels: Numbers) -> FewClasses:
        """Probabilities of all classes: members by images by classes; of each image its label."""
        members, images, classes = values.shape
        values = np.clip(values, SMALLEST, 1.0)
        if classes <= _KEPT + 1:
            return cls(values, labels, np.zeros(classes))
        rows = np.arange(images)
        likely = values.max(axis=0)
        likely[rows, labels] = np.inf  # comes first
        order = np.argsort(-likely, axis=1, kind="stable")[:, :_KEPT]
        kept = np.take_along_axis(values, np.broadcast_to(order, (members, *order.shape)), axis=2)
        others = classes - _KEPT
        rest = (values.sum(axis=2) - kept.sum(axis=2)) / others
        rest = np.maximum(rest, SMALLEST)  # a difference of sums may be rounded below 0
        offsets = np.zeros(_KEPT + 1)
        offsets[-1] = np.log(others)
        columns = np.concatenate([kept, rest[:, :, None]], axis=2)
        return cls(np.ascontiguousarray(columns), np.zeros_like(labels), offsets)

    def logits(self, mean: Values, inverse: float) -> Values:
        """The logits of a mean after a temperature: images by columns, the largest of a row is 0.

        Args:
            mean: Of the members' values.
            inverse: 1 / temperature.
        """
        logits = inverse * np.log(mean) + self.offsets
        return np.asarray(logits - logits.max(axis=1, keepdims=True))

    def losses(self, logits: Values, sums: Values) -> Values:
        """The log loss of each image.

        Args:
            logits: From `logits`.
            sums: Of their exponentials, an image each.
        """
        return np.asarray(np.log(sums) - logits[np.arange(len(self.labels)), self.labels])
