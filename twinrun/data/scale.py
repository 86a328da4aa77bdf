"""The range of values that images of more than 8 bits a value are seen in: found once, and kept.

Over the training images, since an image is not to depend on which others are asked about. What each
image reaches is kept in the cache by the SHA-256 of its file, so that a file is looked at once.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import pandas as pd

from twinrun.console import progress_bars, say
from twinrun.data.cache_files import TABLE, UNREADABLE_ROWS, in_blocks, read_rows, write_rows
from twinrun.data.cache_key import cache_name, values_name
from twinrun.data.decode_settings import DecodeSettings
from twinrun.data.decoding import read_header, read_values
from twinrun.data.index import unreadable_images
from twinrun.data.opening import UNREADABLE, why_unreadable
from twinrun.data.wide_values import ValueRange, number
from twinrun.errors import InputError, shorten

# Images with more pixels are looked at one at a time: each takes eight bytes of them.
LARGE = 64 << 20
_COLUMNS = ["wide", "pixels", "lowest", "highest"]


class _Row(NamedTuple):
    """Whether a file is wide, how many pixels it has, and what it reaches: nan if not known."""

    wide: bool
    pixels: int
    lowest: float = math.nan
    highest: float = math.nan


def find_scale(
    index: pd.DataFrame, folder: Path, cache: Path, size: int, how: DecodeSettings
) -> ValueRange | None:
    """By which range the wide images of an index are seen; None where none of them is wide.

    Args:
        index: From `list_images`.
        folder: The data folder.
        cache: The folder of all caches.
        size: Of one of them: what is in it already needs no look.
        how: Files are decoded; its range is two numbers, or "auto" for what training images reach.

    Raises:
        InputError: No training image is wide and others are, none of those that are can be read, or
            all of them hold one value only.
    """
    if how.reader is not None:  # which gives 8 bits a value
        return None
    # Of a file that lies in both parts the training image counts.
    index = index[index["sha256"] != ""].sort_values("part", ascending=False, kind="stable")
    index = index.drop_duplicates("sha256")
    looks = _Looks(folder, cache / values_name(), how.max_pixels)
    looks.at_headers(index, _plain(cache / cache_name(size, own=how.own)))
    is_wide = index["sha256"].isin(looks.wide())
    if not is_wide.any():
        return None
    wide = index[is_wide]
    train = wide[wide["part"] == "train"]
    if how.scale != "auto":
        looks.keep()
        return how.scale
    if train.empty:
        raise InputError(
            f"{len(wide)} test images in {folder} have more than 8 bits a value, and no training "
            "image has: which values to see them in is not known:",
            details=shorten(sorted(wide["path"])),
            fix="Set data.range to the lowest and the highest value, such as [0, 65535].",
        )
    looks.at_values(train)
    looks.keep()
    reached = looks.table.loc[train["sha256"]].dropna()
    if reached.empty:
        raise unreadable_images(looks.reasons, len(index), folder)
    low, high = float(reached["lowest"].min()), float(reached["highest"].max())
    if low == high:
        raise InputError(
            f"all {len(train)} training images of more than 8 bits a value in {folder} hold one "
            f"value only, {number(low)}: there is nothing to see",
            fix="Fetch these files again, or set data.range to two numbers.",
        )
    return ValueRange(low, high)


class _Looks:
    """What is known of files that may be wide, and what is added to that."""

    def __init__(self, folder: Path, path: Path, max_pixels: int) -> None:
        self.folder, self.path, self.max_pixels = folder, path, max_pixels
        self.one_at_a_time = Lock()
        self.table = self.kept = _read(path)
        self.reasons: dict[str, str] = {}

    def wide(self) -> pd.Index:
        """The SHA-256 of the files that are wide and not too large to be decoded."""
        allowed = self.table["pixels"].astype("int64") <= self.max_pixels
        return self.table.index[self.table["wide"].astype(bool) & allowed]

    def at_headers(self, index: pd.DataFrame, plain: pd.Index) -> None:
        """Look whether files are wide, of which it is not known."""
        known = index["sha256"].isin(self.table.index) | index["sha256"].isin(plain)

        def look(path: str) -> _Row | None:
            try:
                width, height, wide = read_header(self.folder / path, max_pixels=self.max_pixels)
            except UNREADABLE:  # which is told where it is decoded
                return None
            return _Row(wide, width * height)

        self._add(index[~known], look, "looking at formats")

    def at_values(self, index: pd.DataFrame) -> None:
        """Look what wide files reach, of which it is not known."""
        known = self.table.loc[index["sha256"], "lowest"].notna().to_numpy()

        def look(path: str) -> _Row | None:
            try:
                width, height, _ = read_header(self.folder / path, max_pixels=self.max_pixels)
                with self.one_at_a_time if width * height > LARGE else nullcontext():
                    found = read_values(self.folder / path, max_pixels=self.max_pixels)
            except UNREADABLE as error:
                self.reasons[path] = why_unreadable(error)
                return None
            return _Row(True, width * height, found.lowest, found.highest)

        self._add(index[~known], look, "finding the range")

    def keep(self) -> None:
        """Write down what was added."""
        if self.table is not self.kept:
            # A cache that cannot be written to can be read all the same.
            with suppress(InputError, OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                write_rows(self.path, self.table)

    def _add(self, index: pd.DataFrame, look: Callable[[str], _Row | None], title: str) -> None:
        """Add what is found; what cannot be read is looked at again by whoever asks next."""
        if index.empty:
            return
        found: list[_Row | None] = []
        with progress_bars() as bars, ThreadPoolExecutor(os.cpu_count()) as pool:
            bar = bars.add_task(title, total=len(index), note="")
            for block in in_blocks(index["path"].tolist()):
                found += pool.map(look, block)
                bars.advance(bar, len(block))
        rows = {s: row for s, row in zip(index["sha256"], found, strict=True) if row is not None}
        if not rows:
            return
        new = pd.DataFrame(list(rows.values()), pd.Index(list(rows)), _COLUMNS)
        old = self.table.drop(new.index.intersection(self.table.index))
        self.table = new if old.empty else pd.concat([old, new])


def _read(path: Path) -> pd.DataFrame:
    try:
        return read_rows(path, _COLUMNS)
    except FileNotFoundError:
        pass
    except UNREADABLE_ROWS:
        say(("damaged", "yellow"), f"   {path}: looking at its images again")
    return pd.DataFrame(columns=_COLUMNS, index=pd.Index([], dtype=str))


def _plain(folder: Path) -> pd.Index:
    """The SHA-256 of files that were decoded without a range: none of them is wide."""
    try:
        return read_rows(folder / TABLE, ["mode"]).index
    except UNREADABLE_ROWS:  # which is told where they are decoded again
        return pd.Index([], dtype=str)
