"""Numbers of two runs, bit by bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from twinrun.repro.stage import LAST_BITS


@dataclass(frozen=True)
class Gap:
    """How far tensors of two runs are from each other.

    Attributes:
        name: The tensor with the largest gap.
        differing: Values that differ, of all tensors.
        total: Values, of all tensors.
        largest: The largest distance between two values; infinite where one is no number.
        share: The largest distance, in shares of the largest value of its tensor.
    """

    name: str
    differing: int
    total: int
    largest: float
    share: float

    def __str__(self) -> str:
        words = f"{self.differing:,} of {self.total:,} values differ, "
        if np.isinf(self.largest):
            return words + "some of them no numbers in one of the two"
        last = ": last bits" if self.share <= LAST_BITS else ""
        return f"{words}by up to {self.largest:.3g}{last}"


def measure_gap(
    first: Mapping[tuple[str, str], np.ndarray], second: Mapping[tuple[str, str], np.ndarray]
) -> Gap:
    """How far tensors are from each other.

    Args:
        first: By name and, where a name has several, number.
        second: The same names, shapes and dtypes.
    """
    name, differing, total, largest, share = "", 0, 0, -1.0, 0.0
    for key, one in first.items():
        two = second[key]
        unequal = unequal_bits(one, two)
        differing, total = differing + int(unequal.sum()), total + one.size
        if unequal.any():
            gap = largest_gap(one, two)
            if one.dtype.kind == "f" and (np.isnan(one) != np.isnan(two)).any():
                gap = np.inf
            share = max(share, gap / (_largest(one, two) or 1.0))
            if gap > largest:
                name, largest = key[0], gap
    return Gap(name, differing, total, max(largest, 0.0), share)


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


def _largest(*arrays: np.ndarray) -> float:
    values = [np.abs(array.astype(np.float64)) for array in arrays]
    return max(float(np.nanmax(each, initial=0.0, where=np.isfinite(each))) for each in values)


def _bits(values: np.ndarray, kind: str) -> np.ndarray:
    return np.ascontiguousarray(values).view(kind)
