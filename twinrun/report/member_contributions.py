"""The blend on held-out images, and what each member adds to it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from twinrun.blend.average import blend
from twinrun.blend.temperature import tempered
from twinrun.config.settings import Settings
from twinrun.metrics import METRICS, score
from twinrun.report.error_analysis import HeldOut
from twinrun.report.sourced_value import Source

Tables = Mapping[str, pd.DataFrame]


def blended(
    tables: Tables, weights: Mapping[str, float], settings: Settings, recorded: Source | None
) -> HeldOut | None:
    """The blend's predictions for the images that each of its members held out.

    Args:
        tables: From `held_out_tables`.
        weights: By member; those without one, or with 0, take no part.
        settings: Of the run: clamp, renormalise, and the mean where `recorded` is None.
        recorded: blend.json, whose method and temperature hold.

    Returns:
        Images in the order of their ids; None where there is no such image.

    Raises:
        InputError: The predictions do not fit together.
    """
    taking_part = [name for name in tables if weights.get(name)]
    if not taking_part:
        return None
    common = sorted(set.intersection(*(set(tables[name]["id"]) for name in taking_part)))
    if not common:
        return None
    parts = [tables[name].set_index("id").loc[common].reset_index() for name in taking_part]
    method = recorded.at("method") if recorded else settings.blend.method
    # The fitted methods, too, end in weights of an arithmetic mean.
    mean = "geometric" if method == "geometric" else "arithmetic"
    predictions = blend(
        [part[["id", *settings.classes]] for part in parts],
        [weights[name] for name in taking_part],
        settings.blend.model_copy(update={"method": mean}),
        taking_part,
    )
    temperature = (recorded.at("temperature") if recorded else None) or 1.0
    if temperature != 1.0:
        predictions[settings.classes] = tempered(
            predictions[settings.classes].to_numpy(), temperature
        )
    return HeldOut(predictions, parts[0]["label"].tolist())


def without_each(
    tables: Tables, weights: Mapping[str, float], settings: Settings
) -> dict[str, float]:
    """By member, the score of the blend without it, on the images of the whole blend.

    Members that hold out other images than the others, and a blend of one, have none.
    """
    whole = blended(tables, weights, settings, None)
    if whole is None:
        return {}
    kept = {name: table[table["id"].isin(whole.ids)] for name, table in tables.items()}
    scores = {}
    for name in kept:
        rest = {other: weight for other, weight in weights.items() if other != name}
        others = blended(kept, rest, settings, None) if weights.get(name) else None
        if others is not None:
            scores[name] = score(others.predictions, others.labels, settings.competition.metric)
    return scores


def added(
    with_all: float | None, without: Mapping[str, float | None], metric: str
) -> dict[str, float]:
    """By member, by how much the blend is better with it than without it; below 0: worse.

    A score that is None is not defined, and nothing is said of the member.
    """
    gain = METRICS.get(metric).gain
    return {
        name: gain(with_all, value)
        for name, value in without.items()
        if with_all is not None and value is not None
    }
