"""The competitor's last change of blended probabilities: made, and checked to be probabilities."""

from __future__ import annotations

import pandas as pd

from twinrun.config.settings import Settings
from twinrun.errors import InputError, shorten
from twinrun.probabilities import probability_problems, row_sum_problems


def change_after(blended: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """A blend as the function `after_predictions` of hooks.py leaves it; unchanged without one.

    Args:
        blended: An id column, then a column of probabilities (float64) for each class.
        settings: Of the run.

    Returns:
        With the same columns, and the same ids in the same order.

    Raises:
        InputError: What it gives is not such a table, or its rows do not sum to 1 where those that
            it was given do; or it raises an error.
    """
    hook = settings.hook("after_predictions")
    if hook is None:
        return blended
    changed = hook(table=blended.copy())
    problems = _problems(changed, blended)
    if problems:
        raise InputError(
            f"{hook.place}: what `{hook.hook.name}` gives is not the table of a blend:",
            details=shorten(problems, most=20),
            fix=f"It has to give {hook.hook.gives}.",
        )
    ids, *classes = blended.columns
    ordered: pd.DataFrame = changed.set_index(ids).loc[blended[ids]].reset_index()
    return ordered.astype(dict.fromkeys(classes, "float64"))


def _problems(changed: object, blended: pd.DataFrame) -> list[str]:
    """All that is wrong with what the function gave."""
    if not isinstance(changed, pd.DataFrame):
        return [f"it is {type(changed).__name__}, not a DataFrame of pandas"]
    ids, *classes = map(str, blended.columns)
    sums = not row_sum_problems(blended)
    problems = probability_problems(changed, ids, classes, rows_sum_to_one=sums)
    if ids in changed.columns:
        given, now = set(blended[ids]), set(changed[ids])
        problems += [f"{image}: missing" for image in blended[ids] if image not in now]
        problems += [
            f"{image}: no image of the blend" for image in changed[ids] if image not in given
        ]
    return problems
