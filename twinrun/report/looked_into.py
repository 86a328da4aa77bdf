"""The held-out predictions that the page looks into: whose they are, what was fitted to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twinrun.blend.held_out import HeldOut, align_held_out
from twinrun.blend.nested import Candidate, NestedValidation, nested_parts
from twinrun.blend_methods.methods import BLEND_METHODS
from twinrun.config.settings import Settings
from twinrun.errors import shorten
from twinrun.metrics import Values
from twinrun.report.error_analysis import LabelledPredictions
from twinrun.report.member_contributions import Tables, align_members, blend_held_out
from twinrun.report.sourced_value import Source


@dataclass(frozen=True)
class LookedInto:
    """Predictions for images that no training saw.

    Attributes:
        predictions: None where no image was held out.
        whose: In words, to follow "the predictions"; without predictions a sentence that says why.
        kind: How a score of them is to be read, in a word or two: "nested" where a blend that was
            fitted was fitted anew without each image.
        meaning: The same in a sentence.
    """

    predictions: LabelledPredictions | None
    whose: str
    kind: str = ""
    meaning: str = ""


_NESTED = (
    "nested",
    "Each image is predicted by a blend that was fitted without it.",
)
_FIXED = ("nothing fitted", "Nothing of the blend was fitted to these images.")
_FITTED = (
    "fitted to these images",
    "The blend was fitted to these same images: what is said of it here is too good to be true.",
)
_ALONE = ("one member", "The blend itself cannot be judged.")


def look_into(
    tables: Tables,
    weights: Mapping[str, float],
    groups: Mapping[str, str],
    settings: Settings,
    blend: Source | None,
) -> LookedInto:
    """The blend's predictions of what its members held out, as honest as they can be had.

    Args:
        tables: From `read_held_out_tables`.
        weights: By member.
        groups: From `read_groups`.
        settings: Of the run.
        blend: blend.json; None where there is none.

    Raises:
        InputError: The predictions do not fit together.
    """
    candidate, nested = None, None
    if blend is not None:
        method = BLEND_METHODS.get(blend.at("method"))
        candidate = Candidate(method, calibrated=blend.at("temperature") != 1.0)
        nested = _nested(tables, groups, settings, candidate, blend.at("weights"))
    taking_part = [name for name, weight in weights.items() if weight]
    lacking = [name for name in taking_part if name not in tables]
    if candidate is not None and candidate.method.stack is not None and lacking:
        names = ", ".join(shorten(lacking, 5))
        return LookedInto(None, f"The blend is stacked, and of {names} there is no valid.csv.")
    held = align_members(tables, weights, groups, settings)
    if held is not None:
        values = nested or _labelled(held, blend_held_out(held, weights, settings, blend))
        kind = _FIXED
        if candidate is not None and candidate.fitted:
            kind = _NESTED if nested else _FITTED
        if len(held.members) == 1 and len(taking_part) == 1:
            return LookedInto(values, f"of {held.members[0]}", *kind)
        missing = len(taking_part) - len(held.members)
        some = f", of which {len(held.members)} are here by now" if missing else ""
        return LookedInto(values, f"of the blend of {len(taking_part)} members{some}", *kind)
    if not tables:
        return LookedInto(None, "No member has held-out predictions yet (valid.csv).")
    # No image that all held out: the member with the most images speaks for itself.
    name = max(tables, key=lambda each: (len(tables[each]), each))
    alone = align_held_out({name: tables[name]}, groups, settings)
    return LookedInto(
        _labelled(alone, alone.values[0]),
        f"of {name} alone: the members have no held-out image in common",
        *_ALONE,
    )


def _nested(
    tables: Tables,
    groups: Mapping[str, str],
    settings: Settings,
    candidate: Candidate,
    members: Mapping[str, float],
) -> LabelledPredictions | None:
    """The predictions of which blend.json has the nested score, made again.

    None where there are none: too few images to leave some out, or not all members are there.
    """
    if any(name not in tables for name in members):
        return None
    held = align_held_out({name: tables[name] for name in members}, groups, settings)
    if not held.ids:
        return None
    parts = nested_parts(held, settings.run.seed) if candidate.fitted else []
    scores = NestedValidation(held, settings, parts).score(candidate)
    if not len(scores.predictions):
        return None
    return _labelled(held, scores.predictions)


def _labelled(held: HeldOut, probabilities: Values) -> LabelledPredictions:
    return LabelledPredictions(held.ids, held.groups, held.classes, probabilities, held.labels)
