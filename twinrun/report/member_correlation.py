"""How alike the members are: correlations of what they predicted of images that all held out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from twinrun.blend.held_out import align_held_out
from twinrun.config.settings import Settings
from twinrun.metrics import Values
from twinrun.report.member_contributions import Tables

# A table of more columns fits on no page.
MOST_MEMBERS = 12


def correlate_members(
    tables: Tables, groups: Mapping[str, str], settings: Settings
) -> dict[str, Any] | None:
    """Pearson's and Spearman's correlations between members.

    They are of all probabilities, those of each image and class: Pearson's of the probabilities,
    Spearman's of their ranks, of equals the mean rank. Members that are alike add little to each
    other.

    Args:
        tables: From `read_held_out_tables`, in the order of the page.
        groups: From `read_groups`.
        settings: Of the run: classes and clamp.

    Returns:
        members: names, the first ones; left_out: how many more there are; images: how many all of
        these held out; pearson and spearman: a row per member of a number per member, nan where a
        member's probabilities are all the same. None of fewer than two members, or without an
        image that they have in common.

    Raises:
        InputError: The predictions do not fit together.
    """
    from scipy.stats import rankdata

    names = list(tables)[:MOST_MEMBERS]
    if len(names) < 2:
        return None
    held = align_held_out({name: tables[name] for name in names}, groups, settings)
    if not held.ids:
        return None
    rows = [held.values[held.members.index(name)].ravel() for name in names]
    return {
        "members": names,
        "left_out": len(tables) - len(names),
        "images": len(held.ids),
        "pearson": _correlations(rows),
        "spearman": _correlations([rankdata(row) for row in rows]),
    }


def _correlations(rows: Sequence[Values]) -> list[list[float]]:
    # NumPy's own asks BLAS, whose last bits depend on the number of threads.
    centred = [row - row.mean() for row in rows]
    lengths = [
        math.sqrt(float(np.square(each).sum())) if row.min() < row.max() else 0.0
        for row, each in zip(rows, centred, strict=True)
    ]
    found = [[1.0 if length else math.nan] * len(rows) for length in lengths]
    for first in range(len(rows)):
        for second in range(first):
            both = lengths[first] * lengths[second]
            value = float((centred[first] * centred[second]).sum()) / both if both else math.nan
            found[first][second] = found[second][first] = min(max(value, -1.0), 1.0)
    return found
