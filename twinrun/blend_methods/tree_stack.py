"""Stacking by gradient boosting: scikit-learn's, of small trees on the members' probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    whole_numbers,
)
from twinrun.metrics import Numbers, Values

# Few small trees: what is learnt from is a few hundred images, each of which is known already.
ROUNDS, LEAVES, RATE, L2 = 50, 4, 0.1, 1.0


def fit_trees(found: FitInput) -> tuple[Values, dict[str, Any]]:
    """Weights and the model, as `Stack.fit`.

    Ke and others, "LightGBM", NeurIPS 2017, as scikit-learn's HistGradientBoostingClassifier: 50
    rounds of trees with four leaves of at least 20 images each, rate 0.1, L2 penalty 1, and no
    early stopping. Of fewer than 40 images no tree splits: the model answers with the classes'
    shares.
    """
    seen = seen_classes(found)
    members, _, classes = found.values.shape
    gains = np.zeros(members)
    start, rounds = np.zeros(len(seen)), list[list[dict[str, list[Any]]]]()
    if len(seen) > 1:
        from sklearn.ensemble import HistGradientBoostingClassifier

        boosting = HistGradientBoostingClassifier(
            max_iter=ROUNDS,
            max_leaf_nodes=LEAVES,
            learning_rate=RATE,
            l2_regularization=L2,
            early_stopping=False,
            random_state=0,  # draws what bins are made of, with more than 200,000 images
        )
        with quiet_on_one_thread():
            boosting.fit(side_by_side(found.values), found.labels)
        # Of two classes scikit-learn has the second one's logit alone.
        grown = [[each.nodes for each in trees] for trees in boosting._predictors]
        first = len(seen) - len(grown[0])
        start[first:] = np.ravel(boosting._baseline_prediction)
        rounds = [
            [_NOTHING] * first + [_tree(nodes, classes) for nodes in trees] for trees in grown
        ]
        for nodes in (nodes for trees in grown for nodes in trees):
            inner = nodes[nodes["is_leaf"] == 0]
            np.add.at(gains, inner["feature_idx"] // classes, inner["gain"])
    model = {
        "classes": classes,
        "seen": seen,
        "members": list(found.members),
        "start": start.tolist(),
        "trees": rounds,
    }
    return shares_of(gains), model


# A tree that is one leaf.
_NOTHING: dict[str, list[Any]] = {
    "member": [0],
    "class": [0],
    "threshold": [0.0],
    "left": [0],
    "right": [0],
    "value": [0.0],
}


def _tree(nodes: Any, classes: int) -> dict[str, list[Any]]:
    """A tree of scikit-learn's as lists, a number a node; of a leaf all but `value` are 0."""
    inner = nodes["is_leaf"] == 0
    feature = np.where(inner, nodes["feature_idx"], 0)
    return {
        "member": (feature // classes).tolist(),
        "class": (feature % classes).tolist(),
        "threshold": np.where(inner, nodes["num_threshold"], 0.0).tolist(),
        "left": np.where(inner, nodes["left"], 0).tolist(),
        "right": np.where(inner, nodes["right"], 0).tolist(),
        "value": np.where(inner, 0.0, nodes["value"]).tolist(),
    }


@dataclass(frozen=True)
class _Tree:
    """Arrays of one number for each node; children come after their parent, a leaf has none (0)."""

    feature: Numbers
    threshold: Values
    left: Numbers
    right: Numbers
    value: Values

    @classmethod
    def of(cls, lists: Mapping[str, Any], places: Sequence[int], classes: int) -> _Tree:
        """A tree of `places`: by a member's number in the model where it comes; -1: nowhere.

        Raises:
            KeyError: It is no such tree.
            ValueError: Likewise, or it needs a member that does not come.
        """
        threshold, value = (
            np.array(lists[name], dtype=np.float64) for name in ("threshold", "value")
        )
        nodes = len(value)
        left, right = (whole_numbers(lists[name], max(nodes, 1)) for name in ("left", "right"))
        member = whole_numbers(lists["member"], len(places))
        column = whole_numbers(lists["class"], classes)
        shapes = {each.shape for each in (threshold, value, left, right, member, column)}
        own = np.arange(nodes)
        leaf = (left == 0) & (right == 0)
        if (
            shapes != {(nodes,)}
            or not nodes
            or not (leaf | ((left > own) & (right > own))).all()
            or not (np.isfinite(threshold).all() and np.isfinite(value).all())
        ):
            raise ValueError("one of its trees is none")
        place = np.array(places, dtype=np.int64)[member]
        if (place[~leaf] < 0).any():
            raise ValueError("it needs a member that takes no part")
        return cls(np.where(leaf, 0, place * classes + column), threshold, left, right, value)

    def values(self, features: Values) -> Values:
        """What it gives each row of images x (member, class)."""
        rows = np.arange(len(features))
        at = np.zeros(len(features), dtype=np.int64)
        while (inner := self.left[at] > 0).any():
            goes_left = features[rows, self.feature[at]] <= self.threshold[at]
            at = np.where(inner, np.where(goes_left, self.left[at], self.right[at]), at)
        return np.asarray(self.value[at])


class TreeStack(Stacked):
    """Boosted trees, ready for members' probabilities.

    Args:
        classes: As for `Stacked`.
        seen: Likewise.
        start: A logit each of the seen classes.
        rounds: Of each round a tree for each of the seen classes.
    """

    def __init__(
        self, classes: int, seen: Sequence[int], start: Values, rounds: Sequence[list[_Tree]]
    ) -> None:
        super().__init__(classes, seen)
        self.start, self.rounds = start, rounds

    @classmethod
    def of(cls, model: Mapping[str, Any], members: Sequence[str]) -> TreeStack:
        """As `Stack.bind`."""
        try:
            names, classes, seen = parts_of(model)
            places = [members.index(name) if name in members else -1 for name in names]
            start = np.array(model["start"], dtype=np.float64)
            rounds = [
                [_Tree.of(tree, places, classes) for tree in trees] for trees in model["trees"]
            ]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise no_stack(error) from None
        if {start.shape, *((len(trees),) for trees in rounds)} != {(len(seen),)}:
            raise no_stack("there is not one tree in each round for each seen class")
        if not np.isfinite(start).all():
            raise no_stack("a number of it is not finite")
        return cls(classes, seen, start, rounds)

    def logits(self, members: Sequence[Values]) -> Values:
        """As `Stacked`."""
        features = side_by_side(np.stack(members))
        logits = np.tile(self.start, (len(features), 1))
        for trees in self.rounds:
            for number, tree in enumerate(trees):
                logits[:, number] += tree.values(features)
        return logits
