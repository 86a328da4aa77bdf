"""Numbers of two runs, bit by bit."""

from __future__ import annotations

import numpy as np


def unequal_bits(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Where two arrays of one shape and dtype differ, as booleans.

    Bits, not values: -0.0 equals 0.0, and NaN is not equal to itself.
    """
    kind = f"u{first.dtype.itemsize}"
    unequal: np.ndarray = _bits(first, kind) != _bits(second, kind)
    return unequal


def largest_gap(first: np.ndarray, second: np.ndarray) -> float:
    """The largest distance between values of two arrays; those that are no numbers left out."""
    with np.errstate(invalid="ignore"):
        gaps = np.abs(first.astype(np.float64) - second.astype(np.float64))
    return float(np.nanmax(gaps, initial=0.0))


def _bits(values: np.ndarray, kind: str) -> np.ndarray:
    return np.ascontiguousarray(values).view(kind)
