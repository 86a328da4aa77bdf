"""Which blend is taken, why, and what must be said of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from twinrun.blend.held_out import HeldOut
from twinrun.blend.nested import (
    NOTHING,
    Candidate,
    CandidateScores,
    NestedValidation,
    nested_parts,
)
from twinrun.blend.parts import Parts
from twinrun.blend_methods.methods import AUTO, BLEND_METHODS, SIMPLEST, Combination
from twinrun.config.settings import Settings
from twinrun.data.image_count import ENOUGH, ImageCount
from twinrun.errors import InputError, shorten
from twinrun.files import sha256_json
from twinrun.metrics import METRICS, Score, Values, compare_score, score_values


@dataclass(frozen=True)
class ChosenBlend:
    """The blend that is taken, and what it was scored by.

    Attributes:
        asked: `blend.method` of the settings.
        taken: The one that is taken; None where nothing could be scored and nothing was to be.
        reason: Why, in a sentence.
        warnings: What a user must not overlook, a sentence each.
        metric: A name in METRICS.
        images: How many were held out by every member.
        clamp: What members' probabilities are clamped to, before all that is scored here; empty:
            they are not.
        method: Of the blend that is taken, a name in BLEND_METHODS.
        weights: By member, sorted.
        model: Of a stack: JSON values; None where there is none.
        temperature: 1 where none is fitted.
        candidates: All that were scored, the simplest first.
        members: By member its own score on the same images; nan where it has none.
        without: By member the nested score of the blend without it; nan where there is none.
        score: The nested score beside that of a simple answer; None without images.
        missing: The members that have a weight and take no part, because they are not complete.
        partial: It is to be replaced when these are complete.
        hooks: SHA-256 by name of the competitor's own code that decides scores and submission.
    """

    asked: str
    reason: str
    warnings: tuple[str, ...]
    metric: str
    images: ImageCount
    clamp: tuple[float, ...]
    method: str
    weights: dict[str, float]
    model: dict[str, Any] | None
    temperature: float
    taken: CandidateScores | None
    candidates: tuple[CandidateScores, ...]
    members: dict[str, float]
    without: dict[str, float]
    score: Score | None
    missing: tuple[str, ...] = ()
    partial: bool = False
    hooks: Mapping[str, str] = field(default_factory=dict)

    def with_missing(self, parts: Parts) -> ChosenBlend:
        """The same blend, of which must be said which members are missing."""
        if not parts.missing:
            return self
        names = ", ".join(shorten(parts.missing, 10))
        if parts.partial:
            of = "of folds alone, as no member is complete" if parts.folds else f"without {names}"
            warning = (
                f"PARTIAL, {of}: what is complete by now has all the weight. `twinrun run` trains "
                f"what is missing ({names}), and blends anew."
            )
        else:
            warning = f"Not complete, and left out as blend.allow_missing allows: {names}."
        return replace(
            self,
            missing=tuple(parts.missing),
            partial=parts.partial,
            warnings=(warning, *self.warnings),
        )

    @property
    def combination(self) -> Combination:
        """What makes one table of the members', in the order of `weights`."""
        return BLEND_METHODS.get(self.method).combination(self.model, list(self.weights))

    @property
    def words(self) -> str:
        """The blend that is taken, for a reader."""
        return Candidate(BLEND_METHODS.get(self.method), self.temperature != 1.0).words

    def record(self) -> dict[str, Any]:
        """What decides the submission, as JSON values."""
        return {
            "method": self.method,
            "weights": self.weights,
            "temperature": self.temperature,
            "images": self.images.all,
            **({"model": sha256_json(self.model)} if self.model is not None else {}),
            **({"partial": list(self.missing)} if self.partial else {}),
            **({"hooks": dict(self.hooks)} if self.hooks else {}),
        }

    def content(self) -> dict[str, Any]:
        """The content of blend.json; a score that is not defined is null."""
        return {
            "version": 1,
            "asked": self.asked,
            "why": " ".join([self.reason, *self.warnings]),
            "missing": list(self.missing),
            "metric": self.metric,
            "without_copies": self.images.distinct,
            **self.record(),
            "candidates": [
                {
                    "method": each.candidate.method.name,
                    "nested": _number_or_null(each.nested),
                    "fitted": _number_or_null(each.fitted),
                    "weights": each.weights,
                    "temperature": each.temperature,
                }
                for each in self.candidates
            ],
            "members": {name: _number_or_null(value) for name, value in self.members.items()},
            "without": {name: _number_or_null(value) for name, value in self.without.items()},
            **({"stack": self.model} if self.model is not None else {}),
        }


def fixed_blend(settings: Settings, members: Sequence[str]) -> ChosenBlend:
    """The fixed weights of the settings, of which nothing is known: no image was held out by all.

    Raises:
        InputError: The settings ask for something that is to be fitted.
    """
    if settings.blend.fitted:
        raise InputError(
            f"no image was held out by every member ({', '.join(members)}): "
            f"there is nothing to fit a blend to ({_settings_in_words(settings)})",
            fix="Let all members hold out the same images (the same validation for each), or set "
            f'blend.method = "{SIMPLEST.name}" and blend.calibrate = false.',
        )
    reason = (
        "It is asked for; no image was held out by every member, so that nothing is known of how "
        "good it is."
    )
    weights = {name: settings.weight(name) for name in members}
    return _unscored(settings, settings.blend.method, weights, reason)


def blend_of_folds(settings: Settings, parts: Parts) -> ChosenBlend:
    """The mean of the folds that are complete, where no member is.

    Nothing is fitted: each fold held out other images than the others of its member.
    """
    method = SIMPLEST if settings.blend.fitted else BLEND_METHODS.get(settings.blend.method)
    reason = f"The {method.words} of the folds that are complete; none is fitted to so little."
    weights = parts.weights(settings)
    return _unscored(settings, method.name, weights, reason).with_missing(parts)


def _unscored(
    settings: Settings, method: str, weights: dict[str, float], reason: str
) -> ChosenBlend:
    nothing = dict.fromkeys(weights, NOTHING)
    return ChosenBlend(
        asked=settings.blend.method,
        reason=reason,
        warnings=(),
        metric=settings.competition.metric,
        images=ImageCount(0, 0),
        clamp=tuple(settings.blend.clamp),
        method=method,
        weights=weights,
        model=None,
        temperature=1.0,
        taken=None,
        candidates=(),
        members=nothing,
        without=nothing,
        score=None,
    )


def choose_blend(held: HeldOut, settings: Settings, members: Sequence[str]) -> ChosenBlend:
    """Score what the settings ask for, and take it, or with AUTO the best by nested score.

    Args:
        held: At least one image.
        settings: Blend, metric and seed.
        members: Those of `held`, in the order in which fixed weights are added up.
    """
    parts = nested_parts(held, settings.run.seed) if settings.blend.fitted else []
    validation = NestedValidation(held, settings, parts)
    images = ImageCount.of(held.groups)
    candidates = [
        validation.score(each) for each in _candidates(settings, held, enough=images.enough)
    ]
    taken, reason, warnings = _take(candidates, settings, images)
    alone = {
        name: score_values(_alone(held, name, settings), held.labels, settings.competition.metric)
        for name in held.members
    }
    warnings += _warn_of_better(taken, candidates, alone, settings)
    order = held.members if settings.blend.fitted else members
    score = None
    if len(taken.predictions):
        metric = settings.competition.metric
        score = compare_score(taken.predictions, held.labels, held.classes, metric)
    return ChosenBlend(
        asked=settings.blend.method,
        reason=reason,
        warnings=tuple(warnings),
        metric=settings.competition.metric,
        images=images,
        clamp=tuple(settings.blend.clamp),
        method=taken.candidate.method.name,
        weights={name: taken.weights[name] for name in order},
        model=taken.model,
        temperature=taken.temperature,
        taken=taken,
        candidates=tuple(candidates),
        members=alone,
        without={
            name: validation.without(name).score(taken.candidate).nested
            if len(alone) > 1
            else NOTHING
            for name in held.members
        },
        score=score,
    )


def _candidates(settings: Settings, held: HeldOut, *, enough: bool) -> list[Candidate]:
    """What is scored: all of AUTO; of a fitted method, or of ranks, the simplest one beside it.

    Of a single member all methods make the same blend: only one of them is a candidate.
    """
    asked, calibrate = settings.blend.method, settings.blend.calibrate
    alone = len(held.members) == 1
    if asked == AUTO:
        if not enough:
            return [Candidate(SIMPLEST)]
        # Ranks are no probabilities: they are for who asks for them.
        count = len(held.classes)
        whole = [
            each for each in BLEND_METHODS if not each.mean.across_images and each.suits(count)
        ]
        methods = [SIMPLEST] if alone else whole
        return [
            Candidate(each, calibrated)
            for each in methods
            for calibrated in ((False, True) if each.takes_temperature else (False,))
        ]
    method = BLEND_METHODS.get(asked)
    other = method.fitted or method.mean.across_images
    compared = [Candidate(SIMPLEST)] if other and not alone else []
    calibrated = [Candidate(method, calibrated=True)] if calibrate else []
    return [*compared, Candidate(method), *calibrated]


def _take(
    candidates: Sequence[CandidateScores], settings: Settings, images: ImageCount
) -> tuple[CandidateScores, str, list[str]]:
    """The candidate that is taken, why, and warnings."""
    asked = settings.blend.method
    metric = METRICS.get(settings.competition.metric)
    were = "was" if images.all == 1 else "were"
    few = f"only {images.words()} {were} held out by every member"
    if asked == AUTO:
        best = _best(candidates, settings)
        if not images.enough:
            return (
                best,
                f"{few.capitalize()}, fewer than {ENOUGH}: nothing is fitted to so few.",
                [],
            )
        if math.isnan(best.nested):
            return best, f"{metric.words} is not defined on the images that were held out.", []
        rest = [each for each in candidates if each is not best]
        second = _best(rest, settings)
        return (
            best,
            f"Best nested {metric.words} of {len(candidates)} candidates: {best.candidate.words}, "
            f"{best.nested:.4f}; next: {second.candidate.words}, {second.nested:.4f}.",
            [],
        )
    own = [each for each in candidates if each.candidate.method.name == asked]
    best = _best(own, settings)
    reason = f"Asked for: {_settings_in_words(settings)}."
    if settings.blend.calibrate:
        helps = "helps" if best.candidate.calibrated else "does not help"
        reason += f" A temperature {helps} on the nested score."
    warnings = []
    if best.candidate.fitted and not images.enough:
        warnings.append(f"{few.capitalize()}, fewer than {ENOUGH}: what is fitted follows chance.")
    return best, reason, warnings


def _best(candidates: Sequence[CandidateScores], settings: Settings) -> CandidateScores:
    metric = METRICS.get(settings.competition.metric)
    best = candidates[0]
    for each in candidates[1:]:
        if metric.better(each.nested, best.nested):
            best = each
    return best


def _warn_of_better(
    taken: CandidateScores,
    candidates: Sequence[CandidateScores],
    alone: Mapping[str, float],
    settings: Settings,
) -> list[str]:
    """What is better than the blend that is taken: a member alone, or the fixed mean."""
    metric = METRICS.get(settings.competition.metric)
    lines = []
    if math.isnan(taken.nested) and taken.candidate.fitted:
        lines.append(
            f"It has no nested {metric.words}: what was held out cannot be split, or lacks a class."
        )
    best = ""
    for name, value in alone.items():
        if not best or metric.better(value, alone[best]):
            best = name
    if not math.isnan(taken.nested) and metric.better(alone[best], taken.nested):
        lines.append(
            f"The blend is WORSE than its best member: nested {metric.words} {taken.nested:.4f}, "
            f"{best} alone {alone[best]:.4f}."
        )
    mean = candidates[0]
    if metric.better(mean.nested, taken.nested):
        lines.append(
            f"The {mean.candidate.words} without any fit is better: nested {metric.words} "
            f"{mean.nested:.4f}."
        )
    return lines


def _alone(held: HeldOut, member: str, settings: Settings) -> Values:
    """A member's probabilities as if it were the blend: clamped, and its rows divided if asked."""
    weights = {name: float(name == member) for name in held.members}
    return held.blend(weights, SIMPLEST.mean, renormalise=settings.blend.renormalise)


def _settings_in_words(settings: Settings) -> str:
    calibrated = ", blend.calibrate = true" if settings.blend.calibrate else ""
    return f'blend.method = "{settings.blend.method}"{calibrated}'


def _number_or_null(value: float) -> float | None:
    return None if math.isnan(value) else value
