"""The table of ways to blend; the mathematics is imported when one of them is carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from twinrun.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from twinrun.repro.keys import Key

    Values = npt.NDArray[np.float64]

AUTO = "auto"
"""In place of a method's name: of all methods, the best by nested score."""


class Combination(Protocol):
    """Makes one table of probabilities of those of several members."""

    def combine(self, members: Iterable[Values], weights: Sequence[float]) -> Values:
        """The probabilities of all members as one: images x classes.

        Args:
            members: Clamped, aligned, at least one: float64, images x classes each.
            weights: One for each, none negative, not all 0. A member of no weight moves no bit.
        """


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A weighted mean of probabilities: back(sum of w there(p) / sum of w).

    Kolmogorov's form ("Sur la notion de la moyenne", 1930): the logarithm makes it the geometric
    one.

    Attributes:
        name: In submission and report.
        formula: For a reader, of weights w and probabilities p.
        there: Of probabilities, float64 of any shape, 0 among them. Where it looks across images,
            of a member's probabilities of all of them: images x classes.
        back: Its inverse. Where it looks across images: of the mean, probabilities.
        across_images: Whether what an image is given depends on the images beside it.
    """

    name: str
    formula: str
    there: Callable[[Values], Values]
    back: Callable[[Values], Values]
    across_images: bool = False

    def combine(self, members: Iterable[Values], weights: Sequence[float]) -> Values:
        """As `Combination`; the sum is taken in the order of the members."""
        import numpy as np

        total = None
        for values, weight in zip(members, weights, strict=True):
            if total is None:
                # Row by row in memory, which decides how rows are summed.
                total = np.zeros(values.shape)
            if weight != 0:
                total += weight * self.there(values)
        assert total is not None
        return self.back(total / sum(weights))


@dataclass(frozen=True)
class FitInput:
    """What a blend is fitted to: what members predicted of images that all of them held out.

    Attributes:
        members: Their names, sorted.
        values: Probabilities, clamped: float64, members x images x classes, in C's order.
        labels: int64; of each image the number of its class.
        metric: The competition's, a name in METRICS.
        renormalise: Whether the rows of a mean are divided by their sum before it is scored.
        calibrated: Whether the mean gets a temperature afterwards, which is fitted to the same
            images: then the weights are to be those with which that comes out best.
        key: For draws.
    """

    members: list[str]
    values: Values
    labels: npt.NDArray[np.int64]
    metric: str
    renormalise: bool
    calibrated: bool
    key: Key

    @property
    def truth(self) -> Values:
        """The probability that each member gives the true class of each image: members x images."""
        import numpy as np

        truth = self.values[:, np.arange(len(self.labels)), self.labels]
        return np.ascontiguousarray(truth)


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A model whose input is the members' probabilities, in place of a mean of them.

    Wolpert, "Stacked generalization", Neural Networks 1992. The fitted model is JSON values, so
    that blend.json holds it and loading it runs no code.

    Attributes:
        name: For a reader: "logistic regression".
        formula: How blend.json's `stack` makes one answer of the members' probabilities p.
        weight: What a member's weight says here; it decides nothing.
        most_classes: It is not fitted to more.
        fit: Finds the weights, one for each member, none negative, sum 1, and the model. A member
            of weight 0 moves no bit of what the model predicts.
        bind: The model, ready for the probabilities of members of these names in their order.
            Raises InputError where it is no such model, or of other members.
    """

    name: str
    formula: str
    weight: str
    most_classes: int
    fit: Callable[[FitInput], tuple[Values, dict[str, Any]]]
    bind: Callable[[Mapping[str, Any], Sequence[str]], Combination]


@dataclass(frozen=True, kw_only=True)
class BlendMethod:
    """A way to make one prediction of those of several members.

    Attributes:
        name: In the settings and on the command line.
        words: For a reader: "optimised weights".
        description: What it does, for help.
        mean: Of the members' probabilities.
        fit: Finds the weights, one for each member, none negative, not all 0; None where they are
            the settings', and nothing is fitted.
        stack: Takes the place of mean and weights, and of `fit`; None: there is none.
    """

    name: str
    words: str
    description: str
    mean: Mean
    fit: Callable[[FitInput], Values] | None
    stack: Stack | None = None

    @property
    def fitted(self) -> bool:
        """Whether labels decide its weights; files that come without labels cannot take it."""
        return self.fit is not None or self.stack is not None

    @property
    def takes_temperature(self) -> bool:
        """Whether a temperature may follow: not after ranks, which are no probabilities.

        Nor after a stack: on the images that it was fitted to it is so sure of itself that a
        temperature, fitted to the same, would make it yet surer.
        """
        return not self.mean.across_images and self.stack is None

    def suits(self, classes: int) -> bool:
        """Whether it can be fitted to so many classes."""
        return self.stack is None or classes <= self.stack.most_classes

    def combination(self, model: Mapping[str, Any] | None, members: Sequence[str]) -> Combination:
        """What makes one table of those of the members.

        Args:
            model: From its stack's `fit`; None where it has none.
            members: Their names, in the order in which their probabilities come.

        Raises:
            InputError: It is no model of such a stack, or of other members.
        """
        return self.mean if self.stack is None else self.stack.bind(model or {}, members)


def _logarithm(values: Values) -> Values:
    import numpy as np

    with np.errstate(divide="ignore"):
        return np.log(values)


def _exponential(values: Values) -> Values:
    import numpy as np

    return np.exp(values)


def _ranks(values: Values) -> Values:
    """Of each class's column the ranks of its images, above 0 and below 1; of equals their mean."""
    import numpy as np
    from scipy.stats import rankdata

    # With a copy: ranks of columns would lie column by column, which decides how rows are summed.
    return np.ascontiguousarray(rankdata(values, axis=0) / (len(values) + 1))


def _optimise(found: FitInput) -> Values:
    if found.calibrated:
        from twinrun.blend_methods.joint_fit import optimise_with_temperature

        return optimise_with_temperature(found.values, found.labels)
    from twinrun.blend_methods.fitted_weights import optimise_weights

    return optimise_weights(found.truth)


def _select(found: FitInput) -> Values:
    from twinrun.blend_methods.greedy_selection import select_weights

    return select_weights(
        found.values,
        found.labels,
        found.metric,
        found.members,
        found.key,
        renormalise=found.renormalise,
        calibrated=found.calibrated,
    )


def _fit_logistic(found: FitInput) -> tuple[Values, dict[str, Any]]:
    from twinrun.blend_methods.logistic_stack import fit_logistic

    return fit_logistic(found)


def _bind_logistic(model: Mapping[str, Any], members: Sequence[str]) -> Combination:
    from twinrun.blend_methods.logistic_stack import LogisticStack

    return LogisticStack.of(model, members)


def _fit_trees(found: FitInput) -> tuple[Values, dict[str, Any]]:
    from twinrun.blend_methods.tree_stack import fit_trees

    return fit_trees(found)


def _bind_trees(model: Mapping[str, Any], members: Sequence[str]) -> Combination:
    from twinrun.blend_methods.tree_stack import TreeStack

    return TreeStack.of(model, members)


ARITHMETIC = Mean(
    name="arithmetic",
    formula="the sum of w p, divided by the sum of w",
    there=lambda values: values,
    back=lambda values: values,
)
GEOMETRIC = Mean(
    name="geometric",
    formula="exp of the sum of w log p, divided by the sum of w",
    there=_logarithm,
    back=_exponential,
)
"""exp(sum of w log p / sum of w): Genest and Zidek, "Combining probability distributions",
Statistical Science 1986."""
RANKS = Mean(
    name="rank",
    formula=(
        "the sum of w r / (n + 1), divided by the sum of w, where r is the rank of p among those "
        "of the same class of all n images, from 1 for the lowest, of equals the mean of theirs"
    ),
    there=_ranks,
    back=lambda values: values,
    across_images=True,
)

BLEND_METHODS: Registry[BlendMethod] = Registry("blend method", BlendMethod, setting="blend.method")
"""What `blend.method` may name besides AUTO, the simplest first: it is taken where a different one
is not better, and is what others are compared with."""

SIMPLEST = BLEND_METHODS.add(
    BlendMethod(
        name="arithmetic",
        words="arithmetic mean",
        description="mean with the weights of [blend.weights], or equal ones",
        mean=ARITHMETIC,
        fit=None,
    )
)
BLEND_METHODS.add(
    BlendMethod(
        name="geometric",
        words="geometric mean",
        description="the same of the logarithms",
        mean=GEOMETRIC,
        fit=None,
    )
)
BLEND_METHODS.add(
    BlendMethod(
        name="rank",
        words="mean of ranks",
        description="mean of each class's ranks over all images, for the AUC",
        mean=RANKS,
        fit=None,
    )
)
BLEND_METHODS.add(
    BlendMethod(
        name="optimised",
        words="optimised weights",
        description="arithmetic, with the weights of the lowest log loss on held-out images",
        mean=ARITHMETIC,
        fit=_optimise,
    )
)
BLEND_METHODS.add(
    BlendMethod(
        name="selection",
        words="greedy selection",
        description="arithmetic, greedy selection by the competition's metric",
        mean=ARITHMETIC,
        fit=_select,
    )
)
BLEND_METHODS.add(
    BlendMethod(
        name="logistic",
        words="stacking by logistic regression",
        description="stacking: a logistic regression on the members' held-out log probabilities",
        mean=ARITHMETIC,
        fit=None,
        stack=Stack(
            name="logistic regression",
            formula=(
                "each class of `seen` has a logit, its number in `intercepts` plus the sum of its "
                "numbers in `coefficients` times log p, over all members and classes; a p below "
                "1e-06 counts as that; the softmax of the logits is the answer"
            ),
            weight="the member's share of the sizes of all coefficients",
            most_classes=100,
            fit=_fit_logistic,
            bind=_bind_logistic,
        ),
    )
)
BLEND_METHODS.add(
    BlendMethod(
        name="boosting",
        words="stacking by gradient boosting",
        description="stacking: gradient boosting of small trees on the held-out probabilities",
        mean=ARITHMETIC,
        fit=None,
        stack=Stack(
            name="gradient boosting",
            formula=(
                "each class of `seen` has a logit, its number in `start` plus what each of its "
                "`trees` gives: from node 0 to the left where the p of the node's member and class "
                "is at most its threshold, else to the right, to a value; the softmax of the "
                "logits is the answer"
            ),
            weight="the member's share of what all splits of the trees gain",
            most_classes=20,
            fit=_fit_trees,
            bind=_bind_trees,
        ),
    )
)


def names_without_fit() -> str:
    """The methods that files without labels can take, for a sentence: "arithmetic or geometric"."""
    *others, last = [each.name for each in BLEND_METHODS if not each.fitted]
    return f"{', '.join(others)} or {last}"


def mean_of(method: str) -> Mean:
    """The mean of `blend.method`; of AUTO, as long as nothing has been chosen, the simplest one.

    Raises:
        InputError: There is no such method.
    """
    return (SIMPLEST if method == AUTO else BLEND_METHODS.get(method)).mean
