"""The blend on held-out images, and what each member adds to it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from twinrun.blend.held_out import HeldOut, align_held_out
from twinrun.blend_methods.methods import BLEND_METHODS, Combination, mean_of
from twinrun.config.settings import Settings
from twinrun.metrics import METRICS, Values, score_values
from twinrun.report.sourced_value import Source

Tables = Mapping[str, pd.DataFrame]


def align_members(
    tables: Tables,
    weights: Mapping[str, float],
    groups: Mapping[str, str],
    settings: Settings,
) -> HeldOut | None:
    """What the members of the blend predicted of the images that each of them held out.

    Args:
        tables: From `read_held_out_tables`.
        weights: By member; those without one, or with 0, take no part.
        groups: From `read_groups`.
        settings: Of the run.

    Returns:
        None where there is no such image.

    Raises:
        InputError: The predictions do not fit together.
    """
    blended = {name: table for name, table in tables.items() if weights.get(name)}
    held = align_held_out(blended, groups, settings) if blended else None
    return held if held is not None and held.ids else None


def blend_held_out(
    held: HeldOut, weights: Mapping[str, float], settings: Settings, recorded: Source | None
) -> Values:
    """The blend's probabilities, images by classes.

    Args:
        held: From `align_members`.
        weights: By member.
        settings: Of the run: renormalise, and the mean where `recorded` is None.
        recorded: blend.json, whose method and temperature hold.

    Raises:
        InputError: Its stack is of members that are not here.
    """
    how: Combination = mean_of(settings.blend.method)
    if recorded:
        method = BLEND_METHODS.get(recorded.at("method"))
        how = method.combination(recorded.content.get("stack"), held.members)
    return held.blend(
        weights,
        how,
        renormalise=settings.blend.renormalise,
        temperature=(recorded.at("temperature") if recorded else None) or 1.0,
    )


def scores_without(
    held: HeldOut, weights: Mapping[str, float], settings: Settings
) -> dict[str, float]:
    """By member, the score of the blend of fixed weights without it; of a blend of one, none."""
    if len(held.members) < 2:
        return {}
    metric = settings.competition.metric
    return {
        name: score_values(
            blend_held_out(held.without(name), weights, settings, None), held.labels, metric
        )
        for name in held.members
    }


def gains(
    with_all: float | None, without: Mapping[str, float | None], metric: str
) -> dict[str, float]:
    """By member, by how much the blend is better with it than without it; below 0: worse.

    A score that is None is not defined, and nothing is reported of the member.
    """
    return {
        name: METRICS.get(metric).gain(with_all, value)
        for name, value in without.items()
        if with_all is not None and value is not None
    }
