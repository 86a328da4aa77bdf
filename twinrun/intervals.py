"""Two numbers in a setting: from one to the other."""

from __future__ import annotations


def check_ascending(pair: list[float]) -> list[float]:
    """Two numbers, the smaller one first; raises ValueError."""
    if len(pair) != 2 or pair[0] > pair[1]:
        raise ValueError("two numbers, the smaller one first")
    return pair


def check_ascending_or_off(pair: list[float]) -> list[float]:
    """An empty list, or two numbers, the smaller one first; raises ValueError."""
    return check_ascending(pair) if pair else pair
