"""The members' probabilities as one: fixed weights, arithmetic or geometric mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from competition.errors import InputError, shorten
from competition.settings import Blend


def blend(
    tables: Sequence[pd.DataFrame], weights: Sequence[float], settings: Blend, names: Sequence[str]
) -> pd.DataFrame:
    """The weighted mean of prediction tables, joined by id.

    Each table is clamped, then the mean is taken in the order given (in float64; another order can
    change the last bit), then rows are renormalised, as far as the settings say so. The bounds of
    the clamp are rounded to float32, as the members' probabilities are. The geometric
    mean is exp(sum of w log p / sum of w), the form of Genest and Zidek, "Combining probability
    distributions", Statistical Science 1986.

    Args:
        tables: Id column first, then a column of probabilities per class.
        weights: One for each table, none negative, not all 0.
        settings: Method, clamp and renormalise; its weights are not looked at.
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
    low, high = (float(np.float32(bound)) for bound in settings.clamp or (0.0, 1.0))
    total = np.zeros((len(first), len(classes)))
    for table, weight in zip(tables, weights, strict=True):
        if weight == 0:
            continue
        aligned = table.set_index(table.columns[0]).loc[first[id_column], classes]
        values = aligned.to_numpy(dtype=np.float64).clip(low, high)
        if settings.method == "geometric":
            with np.errstate(divide="ignore"):
                values = np.log(values)
        total += weight * values
    mean = total / sum(weights)
    if settings.method == "geometric":
        mean = np.exp(mean)
    if settings.renormalise:
        sums = mean.sum(axis=1, keepdims=True)
        if not (sums > 0).all():
            lost = first[id_column][sums[:, 0] <= 0]
            raise InputError(
                "no probability is left for any class in these rows:",
                details=shorten(lost),
                mend="Set blend.clamp, such as [0.001, 0.999].",
            )
        mean /= sums
    result = pd.DataFrame(mean, columns=classes)
    result.insert(0, id_column, first[id_column].to_numpy())
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
