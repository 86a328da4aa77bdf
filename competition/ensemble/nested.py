"""Nested validation: a blend is scored on images that its weights were not fitted to."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from competition.determinism.randomness import Key
from competition.ensemble.blending import Values, weighted_mean
from competition.ensemble.calibrating import fitted_temperature, tempered
from competition.ensemble.fitting import optimised_weights, selected_weights
from competition.ensemble.heldout import HeldOut
from competition.ensemble.scoring import score_values
from competition.settings import Settings

PARTS = 5
NOTHING = float("nan")


@dataclass(frozen=True)
class Way:
    """A way to blend: a method of the settings but "auto", with or without a temperature."""

    method: str
    calibrated: bool = False

    @property
    def fits(self) -> bool:
        """Whether labels decide anything of it."""
        return self.calibrated or self.method in ("optimised", "selection")


@dataclass(frozen=True)
class Judged:
    """A way to blend and what came out of it.

    Attributes:
        way: The way.
        weights: By member, as fitted to all images.
        temperature: As fitted to all images; 1 where none is.
        nested: Score of each image by what was fitted without its part; nan where there is none.
        fitted: Score of what was fitted to all images on the same images: too good to be true.
        predictions: Those of the nested score, a row per image; empty where there are none.
    """

    way: Way
    weights: dict[str, float]
    temperature: float
    nested: float
    fitted: float
    predictions: Values


def parts_of(held: HeldOut, seed: int) -> list[npt.NDArray[np.int64]]:
    """The positions of the images in each of the parts that are left out in turn.

    There are five, or as many as there are groups, or images of the largest class, where those are
    fewer. scikit-learn's StratifiedGroupKFold keeps groups whole and classes even. Which of equal
    groups goes where is decided by the run's seed and the first id of each.

    Args:
        held: Sorted by id.
        seed: Of the run.

    Returns:
        At least two parts, or none where the images cannot be split.
    """
    first: dict[str, str] = {}
    for image, group in zip(held.ids, held.groups, strict=True):
        first.setdefault(group, image)
    names = sorted(first.values())
    largest = max(Counter(held.labels.tolist()).values(), default=0)
    count = min(PARTS, len(names), largest)
    if count < 2:
        return []
    # A second to import, which a blend of fixed weights can do without.
    from sklearn.model_selection import StratifiedGroupKFold

    order = Key((seed, "blend", "parts")).order(names)
    ranks = {names[position]: rank for rank, position in enumerate(order)}
    groups = [ranks[first[group]] for group in held.groups]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a class with fewer images than parts
        splits = StratifiedGroupKFold(count).split(np.zeros(len(groups)), held.labels, groups)
        parts = [np.asarray(left_out, dtype=np.int64) for _, left_out in splits]
    return [part for part in parts if len(part)]


def judged(
    way: Way, held: HeldOut, settings: Settings, parts: Sequence[npt.NDArray[np.int64]]
) -> Judged:
    """Fit a way to blend, and score it nested.

    For each part it is fitted to the other parts and predicts the part; all parts' predictions are
    scored together.

    Args:
        way: The way.
        held: At least one member and one image.
        settings: Metric, weights, renormalise and seed.
        parts: From `parts_of`.
    """
    weights, temperature = _fitted(way, held, settings)
    metric = settings.competition.metric
    again = _predicted(way, held, weights, temperature, settings)
    nested = again
    if way.fits:
        nested = np.full_like(again, NOTHING) if parts else np.empty((0, len(held.classes)))
        for part in parts:
            rest = np.setdiff1d(np.arange(len(held.ids)), part)
            fit = _fitted(way, held.rows(rest), settings)
            nested[part] = _predicted(way, held.rows(part), *fit, settings)
    return Judged(
        way=way,
        weights=dict(zip(held.members, weights, strict=True)),
        temperature=temperature,
        nested=score_values(nested, held.labels, metric) if len(nested) else NOTHING,
        fitted=score_values(again, held.labels, metric),
        predictions=nested,
    )


def _fitted(way: Way, held: HeldOut, settings: Settings) -> tuple[list[float], float]:
    """Weights, in the members' order, and temperature."""
    if way.method == "optimised":
        truth = held.values[:, np.arange(len(held.ids)), held.labels]
        weights = optimised_weights(np.ascontiguousarray(truth)).tolist()
    elif way.method == "selection":
        weights = selected_weights(
            held.values,
            held.labels,
            settings.competition.metric,
            held.members,
            Key((settings.run.seed, "blend", "selection")),
            renormalise=settings.blend.renormalise,
        ).tolist()
    else:
        weights = [settings.weight(name) for name in held.members]
    if not way.calibrated:
        return weights, 1.0
    mean = _predicted(way, held, weights, 1.0, settings)
    return weights, fitted_temperature(mean, held.labels)


def _predicted(
    way: Way, held: HeldOut, weights: Sequence[float], temperature: float, settings: Settings
) -> Values:
    asked = settings.blend.model_copy(update={"method": way.method})
    mean = weighted_mean(held.values, weights, asked)
    return tempered(mean, temperature) if way.calibrated else mean
