"""Two numbers in a setting: from one to the other."""

from __future__ import annotations

import math


def check_ascending(pair: list[float]) -> list[float]:
    """Two numbers, the smaller one first; raises ValueError."""
    if len(pair) != 2 or pair[0] > pair[1]:
        raise ValueError("two numbers, the smaller one first")
    return pair


def check_ascending_or_off(pair: list[float]) -> list[float]:
    """An empty list, or two numbers, the smaller one first; raises ValueError."""
    return check_ascending(pair) if pair else pair


def check_range(pair: list[float]) -> list[float]:
    """Two numbers with others between them, the smaller one first; raises ValueError."""
    # Of a much narrower one no float64 is between: what is divided by it is no number.
    if len(pair) != 2 or not 1e-300 <= pair[1] - pair[0] < math.inf:
        raise ValueError("two numbers, the smaller one first")
    return pair
