"""Decoded images of one size: rows of a memory-mapped uint8 array, and square crops of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from twinrun.data.wide_values import ValueRange
from twinrun.plain_files import plain


class PixelRows:
    """Some images of a cache, in an order of their own.

    Args:
        path: The array: images one after the other, each rows x columns x 3, uint8.
        size: The shorter side of every image.
        places: offset (bytes), rows, columns; int64, a row per image.
    """

    def __init__(self, path: Path, size: int, places: np.ndarray) -> None:
        self.path, self.size = path, size
        self.offsets, self.rows, self.columns = places.T

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def nbytes(self) -> int:
        """Bytes of all images."""
        return int((self.rows * self.columns).sum()) * 3

    def image(self, position: int) -> np.ndarray:
        """One image, rows x columns x 3, uint8, as it lies in the array; not to be written to."""
        rows, columns = int(self.rows[position]), int(self.columns[position])
        start = int(self.offsets[position])
        return self._array[start : start + rows * columns * 3].reshape(rows, columns, 3)

    def windows(self, positions: Sequence[int], shares: np.ndarray | float) -> np.ndarray:
        """Where in each image a square of `size` is cut out.

        Args:
            positions: Of images.
            shares: Of the way along the longer side, from 0 to 1; one for each, or one for all.

        Returns:
            position, top, left: int64, a row per image.
        """
        chosen = np.asarray(positions, np.int64)
        spare = np.stack([self.rows[chosen], self.columns[chosen]], 1) - self.size
        # A share of 1 - 2**-53 times a large number may round up to the whole.
        starts = np.minimum((spare + 1) * np.reshape(shares, (-1, 1)), spare).astype(np.int64)
        return np.column_stack([chosen, starts])

    def crops(self, windows: np.ndarray) -> Tensor:
        """The squares of `windows`.

        Returns:
            uint8, images x 3 x size x size, channels last in memory.
        """
        size = self.size
        batch = np.empty((len(windows), size, size, 3), np.uint8)
        for place, (position, top, left) in zip(batch, windows.tolist(), strict=True):
            place[:] = self.image(position)[top : top + size, left : left + size]
        return torch.from_numpy(batch).permute(0, 3, 1, 2)

    @cached_property
    def _array(self) -> np.ndarray:
        return np.memmap(plain(self.path), np.uint8, "r")

    def __getstate__(self) -> dict[str, object]:
        # A process that gets this opens the file itself, instead of being sent the whole array.
        return {name: value for name, value in vars(self).items() if name != "_array"}


class Pixels:
    """All images of a cache.

    Attributes:
        size: The shorter side of every image.
        path: The array.
        table: By the SHA-256 of the file: offset, rows, columns of the cached image; its digest;
            format, mode, width, height of the file.
        scale: The range that images of more than 8 bits a value are seen in; None where none has.
    """

    def __init__(
        self, size: int, path: Path, table: pd.DataFrame, scale: ValueRange | None = None
    ) -> None:
        self.size, self.path, self.table, self.scale = size, path, table, scale

    @property
    def column(self) -> str:
        """The index's column of digests of these pixels."""
        return f"pixels_{self.size}"

    def rows(self, files: Sequence[str]) -> PixelRows:
        """The images of files, by their SHA-256, in that order."""
        places = self.table.loc[list(files), ["offset", "rows", "columns"]]
        return PixelRows(self.path, self.size, places.to_numpy(np.int64))
