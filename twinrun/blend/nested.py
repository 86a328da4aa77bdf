"""Nested validation: a blend is scored on images that its weights were not fitted to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from twinrun.blend.held_out import HeldOut
from twinrun.blend_methods.methods import BlendMethod, FitInput
from twinrun.blend_methods.temperature import apply_temperature, fit_temperature
from twinrun.config.settings import Settings
from twinrun.data.folds import name_by_first, stratified_parts
from twinrun.metrics import Numbers, Values, score_values
from twinrun.repro.keys import Key

PARTS = 5
NOTHING = float("nan")

# Weights by member, the model of a stack, and what they make of all images.
_Fitted = tuple[dict[str, float], dict[str, Any] | None, Values]


@dataclass(frozen=True)
class Candidate:
    """A blend to be scored: a method, with or without a temperature."""

    method: BlendMethod
    calibrated: bool = False

    @property
    def fitted(self) -> bool:
        """Whether labels decide anything of it."""
        return self.calibrated or self.method.fitted

    @property
    def words(self) -> str:
        """For a reader."""
        return self.method.words + (" with a temperature" if self.calibrated else "")


@dataclass(frozen=True)
class CandidateScores:
    """A candidate and what came out of it.

    Attributes:
        candidate: Which.
        weights: By member, as fitted to all images.
        model: Of a stack, as fitted to all images: JSON values; None where there is none.
        temperature: As fitted to all images; 1 where none is.
        nested: Score of each image by what was fitted without its part; nan where there is none.
        fitted: Score of what was fitted to all images on the same images: too good to be true.
        predictions: Those of the nested score, a row per image; empty where there are none.
    """

    candidate: Candidate
    weights: dict[str, float]
    model: dict[str, Any] | None
    temperature: float
    nested: float
    fitted: float
    predictions: Values


def nested_parts(held: HeldOut, seed: int) -> list[Numbers]:
    """The positions of the images in each of the parts that are left out in turn.

    There are five, or as many as there are groups, or images of the largest class, where those are
    fewer; dealt out by `stratified_parts`, by a key of the run's seed.

    Args:
        held: Sorted by id.
        seed: Of the run.

    Returns:
        At least two parts, or none where the images cannot be split.
    """
    groups = name_by_first(held.ids, held.groups)
    labels = held.labels.tolist()
    largest = max(Counter(labels).values(), default=0)
    count = min(PARTS, len(set(groups)), largest)
    if count < 2:
        return []
    parts = stratified_parts(labels, groups, count, Key((seed, "blend", "parts")))
    return [part for part in parts if len(part)]


class NestedValidation:
    """Fits candidates and scores them nested.

    For each part a candidate is fitted to the other parts and predicts the part; all parts'
    predictions are scored together. What two candidates share is fitted once.

    Args:
        held: At least one member and one image.
        settings: Metric, weights, renormalise and seed.
        parts: From `nested_parts`; they are not asked for where nothing is fitted.
    """

    def __init__(self, held: HeldOut, settings: Settings, parts: Sequence[Numbers]) -> None:
        self._held = held
        self._settings = settings
        everything = np.arange(len(held.ids))
        # All images, then all but each part: what is fitted to.
        self._fitted_to = [everything, *(np.setdiff1d(everything, part) for part in parts)]
        self._parts = parts
        self._found: dict[tuple[Candidate, int], _Fitted] = {}

    def without(self, member: str) -> NestedValidation:
        """That of the same images and parts without one of at least two members."""
        return NestedValidation(self._held.without(member), self._settings, self._parts)

    def score(self, candidate: Candidate) -> CandidateScores:
        """A candidate, fitted to all images, and its scores."""
        held, metric = self._held, self._settings.competition.metric
        (weights, model, _), temperature, again = self._predict(candidate, 0)
        nested = again
        if candidate.fitted:
            nested = np.full_like(again, NOTHING)
            for number, part in enumerate(self._parts, 1):
                nested[part] = self._predict(candidate, number)[2][part]
        defined = bool(self._parts) or not candidate.fitted
        return CandidateScores(
            candidate=candidate,
            weights=weights,
            model=model,
            temperature=temperature,
            nested=score_values(nested, held.labels, metric) if defined else NOTHING,
            fitted=score_values(again, held.labels, metric),
            predictions=nested if defined else np.empty((0, len(held.classes))),
        )

    def _predict(self, candidate: Candidate, number: int) -> tuple[_Fitted, float, Values]:
        """What is fitted without a part, with its temperature, and predicts of all images."""
        fitted = self._fit(candidate, number)
        found = fitted[2]
        if not candidate.calibrated:
            return fitted, 1.0, found
        rows = self._fitted_to[number]
        temperature = fit_temperature(found[rows], self._held.labels[rows])
        return fitted, temperature, apply_temperature(found, temperature)

    def _fit(self, candidate: Candidate, number: int) -> _Fitted:
        """What is fitted without a part, and what it makes of all images, without a temperature."""
        method = candidate.method
        if not method.fitted:
            # Weights of the settings are the same without any part, and before a temperature.
            candidate, number = Candidate(method), 0
        if (candidate, number) not in self._found:
            weights, model = self._weights(candidate, self._fitted_to[number])
            renormalise = self._settings.blend.renormalise
            how = method.combination(model, self._held.members)
            found = self._held.blend(weights, how, renormalise=renormalise)
            self._found[candidate, number] = weights, model, found
        return self._found[candidate, number]

    def _weights(
        self, candidate: Candidate, rows: Numbers
    ) -> tuple[dict[str, float], dict[str, Any] | None]:
        held, settings, method = self._held, self._settings, candidate.method
        if not method.fitted:
            return {name: settings.weight(name) for name in held.members}, None
        given = FitInput(
            members=held.members,
            values=np.ascontiguousarray(held.values[:, rows]),
            labels=held.labels[rows],
            metric=settings.competition.metric,
            renormalise=settings.blend.renormalise,
            calibrated=candidate.calibrated,
            key=Key((settings.run.seed, "blend", method.name)),
        )
        model = None
        if method.stack is not None:
            found, model = method.stack.fit(given)
        else:
            assert method.fit is not None
            found = method.fit(given)
        return dict(zip(held.members, map(float, found), strict=True)), model
