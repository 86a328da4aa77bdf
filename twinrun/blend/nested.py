"""Nested validation: a blend is scored on images that its weights were not fitted to."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twinrun.blend.average import Values, weighted_mean
from twinrun.blend.blend_weights import optimised_weights, selected_weights
from twinrun.blend.held_out import HeldOut
from twinrun.blend.temperature import fitted_temperature, tempered
from twinrun.config.settings import Settings
from twinrun.metrics import score_values
from twinrun.repro.keys import Key

PARTS = 5
_FIXED = ("arithmetic", "geometric")
NOTHING = float("nan")


@dataclass(frozen=True)
class Way:
    """A way to blend: a method of the settings but "auto", with or without a temperature."""

    method: str
    calibrated: bool = False

    @property
    def fits(self) -> bool:
        """Whether labels decide anything of it."""
        return self.calibrated or self.method not in _FIXED


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


class Judge:
    """Fits ways to blend and scores them nested.

    For each part a way is fitted to the other parts and predicts the part; all parts' predictions
    are scored together. What a way shares with another one is fitted
    once.

    Args:
        held: At least one member and one image.
        settings: Metric, weights, renormalise and seed.
        parts: From `parts_of`; they are not asked for where nothing is fitted.
    """

    def __init__(
        self, held: HeldOut, settings: Settings, parts: Sequence[npt.NDArray[np.int64]]
    ) -> None:
        self._held = held
        self._settings = settings
        everything = np.arange(len(held.ids))
        self._truth = held.values[:, everything, held.labels]
        # All images, then all but each part: what is fitted to.
        self._fitted_to = [everything, *(np.setdiff1d(everything, part) for part in parts)]
        self._parts = parts
        self._means: dict[tuple[str, int], tuple[list[float], Values]] = {}

    def without(self, member: str) -> Judge:
        """The judge of the same images and parts without one of at least two members."""
        return Judge(self._held.without(member), self._settings, self._parts)

    def judged(self, way: Way) -> Judged:
        """A way, fitted to all images, and its scores."""
        held, metric = self._held, self._settings.competition.metric
        weights, temperature, again = self._predicted(way, 0)
        nested = again
        if way.fits:
            nested = np.full_like(again, NOTHING)
            for number, part in enumerate(self._parts, 1):
                nested[part] = self._predicted(way, number)[2][part]
        judgeable = bool(self._parts) or not way.fits
        return Judged(
            way=way,
            weights=dict(zip(held.members, weights, strict=True)),
            temperature=temperature,
            nested=score_values(nested, held.labels, metric) if judgeable else NOTHING,
            fitted=score_values(again, held.labels, metric),
            predictions=nested if judgeable else np.empty((0, len(held.classes))),
        )

    def _predicted(self, way: Way, number: int) -> tuple[list[float], float, Values]:
        """Weights and temperature as fitted without a part, and what they predict of all images."""
        weights, mean = self._blended(way.method, number)
        if not way.calibrated:
            return weights, 1.0, mean
        rows = self._fitted_to[number]
        temperature = fitted_temperature(mean[rows], self._held.labels[rows])
        return weights, temperature, tempered(mean, temperature)

    def _blended(self, method: str, number: int) -> tuple[list[float], Values]:
        """Weights, in the members' order, and the mean of all images that they give."""
        if method in _FIXED:
            number = 0
        if (method, number) not in self._means:
            weights = self._fitted_weights(method, self._fitted_to[number])
            asked = self._settings.blend.model_copy(update={"method": method})
            mean = weighted_mean(self._held.values, weights, asked)
            self._means[method, number] = weights, mean
        return self._means[method, number]

    def _fitted_weights(self, method: str, rows: npt.NDArray[np.int64]) -> list[float]:
        held, settings = self._held, self._settings
        if method == "optimised":
            found: Values = optimised_weights(np.ascontiguousarray(self._truth[:, rows]))
        elif method == "selection":
            found = selected_weights(
                np.ascontiguousarray(held.values[:, rows]),
                held.labels[rows],
                settings.competition.metric,
                held.members,
                Key((settings.run.seed, "blend", "selection")),
                renormalise=settings.blend.renormalise,
            )
        else:
            return [settings.weight(name) for name in held.members]
        return [float(weight) for weight in found]
