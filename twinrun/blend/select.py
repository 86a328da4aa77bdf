"""Which blend is taken, why, and what must be said of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from twinrun.audit.validation_warnings import ENOUGH
from twinrun.blend.average import Values, weighted_mean
from twinrun.blend.held_out import HeldOut
from twinrun.blend.nested import NOTHING, Judge, Judged, Way, parts_of
from twinrun.config.settings import Settings
from twinrun.errors import InputError, shorten
from twinrun.metrics import METRICS, Score, compared_score, score_values

# The simplest first: it is taken where another is not better.
METHODS = ("arithmetic", "geometric", "optimised", "selection")


@dataclass(frozen=True)
class Chosen:
    """The blend that is taken, and what it was judged by.

    Attributes:
        asked: `blend.method` of the settings.
        taken: The one that is taken; None where nothing could be judged and nothing was to be.
        reason: Why, in a sentence.
        warnings: What a user must not overlook, a sentence each.
        metric: A name in METRICS.
        images: How many were held out by every member.
        method: Of the blend that is taken.
        weights: By member, sorted.
        temperature: 1 where none is fitted.
        candidates: All that were judged, the simplest first.
        members: By member its own score on the same images; nan where it has none.
        without: By member the nested score of the blend without it; nan where there is none.
        score: The nested score beside that of a simple answer; None without images.
        missing: The members that have a weight and take no part, because they are not complete.
    """

    asked: str
    reason: str
    warnings: tuple[str, ...]
    metric: str
    images: int
    method: str
    weights: dict[str, float]
    temperature: float
    taken: Judged | None
    candidates: tuple[Judged, ...]
    members: dict[str, float]
    without: dict[str, float]
    score: Score | None
    missing: tuple[str, ...] = ()

    def lacking(self, missing: Sequence[str]) -> Chosen:
        """The same blend, of which must be said that these members are missing."""
        if not missing:
            return self
        names = ", ".join(shorten(missing, 10))
        warning = f"Not complete, and left out as blend.allow_missing allows: {names}."
        return replace(self, missing=tuple(missing), warnings=(warning, *self.warnings))

    def record(self) -> dict[str, Any]:
        """What decides the submission, as JSON values."""
        return {
            "method": self.method,
            "weights": self.weights,
            "temperature": self.temperature,
            "images": self.images,
        }

    def content(self) -> dict[str, Any]:
        """The content of blend.json; a score that is not defined is null."""
        return {
            "version": 1,
            "asked": self.asked,
            "why": " ".join([self.reason, *self.warnings]),
            "missing": list(self.missing),
            "metric": self.metric,
            **self.record(),
            "candidates": [
                {
                    "method": each.way.method,
                    "nested": _defined(each.nested),
                    "fitted": _defined(each.fitted),
                    "weights": each.weights,
                    "temperature": each.temperature,
                }
                for each in self.candidates
            ],
            "members": {name: _defined(value) for name, value in self.members.items()},
            "without": {name: _defined(value) for name, value in self.without.items()},
        }


def fixed(settings: Settings, members: Sequence[str]) -> Chosen:
    """The fixed weights of the settings, of which nothing is known: no image was held out by all.

    Raises:
        InputError: The settings ask for something that is to be fitted.
    """
    if settings.blend.fitted:
        raise InputError(
            f"no image was held out by every member ({', '.join(members)}): "
            f"there is nothing to fit a blend to ({_asked(settings)})",
            fix="Let all members hold out the same images (the same validation for each), or set "
            'blend.method = "arithmetic" and blend.calibrate = false.',
        )
    nothing = dict.fromkeys(members, NOTHING)
    return Chosen(
        asked=settings.blend.method,
        reason="The settings ask for it; no image was held out by every member, so that nothing "
        "is known of how good it is.",
        warnings=(),
        metric=settings.competition.metric,
        images=0,
        method=settings.blend.method,
        weights={name: settings.weight(name) for name in members},
        temperature=1.0,
        taken=None,
        candidates=(),
        members=nothing,
        without=nothing,
        score=None,
    )


def choose(held: HeldOut, settings: Settings, members: Sequence[str]) -> Chosen:
    """Judge what the settings ask for, and take it, or with "auto" the best by nested score.

    Args:
        held: At least one image.
        settings: Blend, metric and seed.
        members: Those of `held`, in the order in which fixed weights are added up.
    """
    parts = parts_of(held, settings.run.seed) if settings.blend.fitted else []
    judge = Judge(held, settings, parts)
    candidates = [judge.judged(way) for way in _ways(settings, len(held.ids))]
    taken, reason, warnings = _taken(candidates, settings, len(held.ids))
    alone = {
        name: score_values(_alone(values, settings), held.labels, settings.competition.metric)
        for name, values in zip(held.members, held.values, strict=True)
    }
    warnings += _worse(taken, candidates, alone, settings)
    order = held.members if settings.blend.fitted else members
    shown = pd.DataFrame(taken.predictions, columns=held.classes)
    shown.insert(0, "id", held.ids if len(shown) else [])
    labels = [held.classes[number] for number in held.labels] if len(shown) else []
    return Chosen(
        asked=settings.blend.method,
        reason=reason,
        warnings=tuple(warnings),
        metric=settings.competition.metric,
        images=len(held.ids),
        method=taken.way.method,
        weights={name: taken.weights[name] for name in order},
        temperature=taken.temperature,
        taken=taken,
        candidates=tuple(candidates),
        members=alone,
        without={
            name: judge.without(name).judged(taken.way).nested if len(alone) > 1 else NOTHING
            for name in held.members
        },
        score=compared_score(shown, labels, settings.competition.metric) if labels else None,
    )


def _ways(settings: Settings, images: int) -> list[Way]:
    """What is judged: all of "auto"; of a fitted method also the fixed mean, for comparison."""
    asked, calibrate = settings.blend.method, settings.blend.calibrate
    if asked == "auto":
        if images < ENOUGH:
            return [Way("arithmetic")]
        return [Way(method, calibrated) for method in METHODS for calibrated in (False, True)]
    ways = [Way(asked)] if asked in ("arithmetic", "geometric") else [Way("arithmetic"), Way(asked)]
    return [*ways, Way(asked, calibrated=True)] if calibrate else ways


def _taken(
    candidates: Sequence[Judged], settings: Settings, images: int
) -> tuple[Judged, str, list[str]]:
    """The candidate that is taken, why, and warnings."""
    asked = settings.blend.method
    metric = METRICS.get(settings.competition.metric)
    few = f"only {images} {'image was' if images == 1 else 'images were'} held out by every member"
    if asked == "auto":
        best = _best(candidates, settings)
        if images < ENOUGH:
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
            f"Best nested {metric.words} of {len(candidates)} candidates: {told(best.way)}, "
            f"{best.nested:.4f}; next: {told(second.way)}, {second.nested:.4f}.",
            [],
        )
    own = [each for each in candidates if each.way.method == asked]
    best = _best(own, settings)
    reason = f"The settings ask for {_asked(settings)}."
    if settings.blend.calibrate:
        helps = "helps" if best.way.calibrated else "does not help"
        reason += f" A temperature {helps} on the nested score."
    warnings = []
    if best.way.fits and images < ENOUGH:
        warnings.append(f"{few.capitalize()}, fewer than {ENOUGH}: what is fitted follows chance.")
    return best, reason, warnings


def _best(candidates: Sequence[Judged], settings: Settings) -> Judged:
    metric = METRICS.get(settings.competition.metric)
    best = candidates[0]
    for each in candidates[1:]:
        if metric.better(each.nested, best.nested):
            best = each
    return best


def _worse(
    taken: Judged, candidates: Sequence[Judged], alone: Mapping[str, float], settings: Settings
) -> list[str]:
    """What is better than the blend that is taken: a member alone, or the fixed mean."""
    metric = METRICS.get(settings.competition.metric)
    lines = []
    if math.isnan(taken.nested) and taken.way.fits:
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
    if taken.way.fits and metric.better(mean.nested, taken.nested):
        lines.append(
            f"The {told(mean.way)} without any fit is better: nested {metric.words} "
            f"{mean.nested:.4f}."
        )
    return lines


def _alone(values: Values, settings: Settings) -> Values:
    """A member's probabilities as if it were the blend: clamped, and its rows divided if asked."""
    asked = settings.blend.model_copy(update={"method": "arithmetic"})
    return weighted_mean([values], [1.0], asked)


def told(way: Way) -> str:
    """A way to blend in words."""
    words = {
        "arithmetic": "arithmetic mean",
        "geometric": "geometric mean",
        "optimised": "optimised weights",
        "selection": "greedy selection",
    }
    return words[way.method] + (" with a temperature" if way.calibrated else "")


def _asked(settings: Settings) -> str:
    calibrated = ", blend.calibrate = true" if settings.blend.calibrate else ""
    return f'blend.method = "{settings.blend.method}"{calibrated}'


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
