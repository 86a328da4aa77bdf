"""The members' probabilities as one: their weighted mean, or what a model makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from twinrun.blend_methods.methods import Combination
from twinrun.blend_methods.temperature import apply_temperature
from twinrun.config.sections import Blend
from twinrun.errors import InputError, shorten
from twinrun.metrics import Values

# A table of probabilities, and what it is called in messages.
Named = tuple[str, pd.DataFrame]


def blend_tables(
    files: Sequence[tuple[Named, float]],
    how: Combination,
    settings: Blend,
    *,
    temperature: float = 1.0,
) -> pd.DataFrame:
    """The blend of members' predictions; each image's by itself.

    Args:
        files: Their predictions and weights.
        how: From `BlendMethod.combination`.
        settings: Clamp and renormalise.
        temperature: Of the finished blend; 1 leaves it as it is.

    Returns:
        The first table's ids and classes, float64.

    Raises:
        InputError: As `blend`.
    """
    tables = [table for (_, table), _ in files]
    names = [name for (name, _), _ in files]
    blended = blend(tables, [weight for _, weight in files], how, settings, names)
    if temperature != 1.0:
        names = list(blended.columns[1:])
        blended[names] = apply_temperature(blended[names].to_numpy(), temperature)
    return blended


def blend(
    tables: Sequence[pd.DataFrame],
    weights: Sequence[float],
    how: Combination,
    settings: Blend,
    names: Sequence[str],
) -> pd.DataFrame:
    """Prediction tables as one, joined by id.

    Each table is clamped, then they are combined in the order given (in float64; a different order
    can change the last bit), then rows are renormalised, as far as the settings say so. The bounds
    of the clamp are rounded to float32, as the members' probabilities are.

    Args:
        tables: Id column first, then a column of probabilities per class.
        weights: One for each table, none negative, not all 0.
        how: From `BlendMethod.combination`.
        settings: Clamp and renormalise; its method and weights are not looked at.
        names: What to call each table in an error.

    Returns:
        The first table's ids, columns and row order, with float64 probabilities.

    Raises:
        InputError: Tables with other ids or columns than the first; no weight above 0; rows of
            which nothing is left to renormalise.
    """
    if any(weight < 0 or not np.isfinite(weight) for weight in weights) or not sum(weights):
        raise InputError(
            f"blend weights must be finite, none negative and not all 0, got {list(weights)}"
        )
    first = tables[0]
    id_column, *classes = first.columns
    _refuse_other_ids(tables, names)
    aligned = (
        table.set_index(table.columns[0]).loc[first[id_column], classes].to_numpy(dtype=np.float64)
        for table in tables
    )
    clamped = (clamp(values, settings) for values in aligned)
    result = blend_values(clamped, weights, how, renormalise=settings.renormalise)
    if settings.renormalise:
        lost = first[id_column][~(result.sum(axis=1) > 0)]
        if len(lost):
            raise InputError(
                "no probability is left for any class in these rows:",
                details=shorten(lost),
                fix="Set blend.clamp, such as [0.001, 0.999].",
            )
    table = pd.DataFrame(result, columns=classes)
    table.insert(0, id_column, first[id_column].to_numpy())
    return table


def clamp(values: Values, settings: Blend) -> Values:
    """Probabilities within the bounds of the settings' clamp, rounded to float32."""
    low, high = (float(np.float32(bound)) for bound in settings.clamp or (0.0, 1.0))
    return values.clip(low, high)


def blend_values(
    members: Iterable[Values], weights: Sequence[float], how: Combination, *, renormalise: bool
) -> Values:
    """The members' probabilities as one, each an array of rows by classes.

    A row of which nothing is left stays a row of zeros.

    Args:
        members: Clamped, aligned, at least one.
        weights: One for each, not all 0. A sum is taken in this order.
        how: From `BlendMethod.combination`.
        renormalise: Whether each row is divided by its sum.
    """
    result = how.combine(members, weights)
    if renormalise:
        sums = result.sum(axis=1, keepdims=True)
        result = np.divide(result, sums, out=np.zeros_like(result), where=sums > 0)
    return result


def _refuse_other_ids(tables: Sequence[pd.DataFrame], names: Sequence[str]) -> None:
    first = tables[0]
    ids, classes = set(first.iloc[:, 0]), set(first.columns[1:])
    problems: list[str] = []
    for table, name in zip(tables[1:], names[1:], strict=True):
        other_ids = set(table.iloc[:, 0])
        if set(table.columns[1:]) != classes:
            problems.append(
                f"{name}: classes {', '.join(table.columns[1:])}; "
                f"{names[0]} has {', '.join(first.columns[1:])}"
            )
        if missing := ids - other_ids:
            problems.append(f"{name}: lacks {', '.join(shorten(sorted(missing), 5))}")
        if unknown := other_ids - ids:
            problems.append(f"{name}: has {', '.join(shorten(sorted(unknown), 5))} besides")
    if problems:
        raise InputError(
            f"the predictions are not of the same images and classes as {names[0]}:",
            details=shorten(problems),
        )
