"""The range of values that images of more than 8 bits a value are seen in: found once, and kept.

Over the training images, since an image is not to depend on which others are asked about. What each
image reaches is kept in the cache by the SHA-256 of its file, so that a file is looked at once.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pandas as pd

from twinrun.console import progress_bars
from twinrun.data.cache_files import (
    TABLE,
    UNREADABLE_ROWS,
    in_blocks,
    read_kept_rows,
    read_rows,
    write_rows,
)
from twinrun.data.cache_key import cache_name, values_name
from twinrun.data.decode_settings import DecodeSettings
from twinrun.data.decoding import WIDE_LOAD, read_header, read_values
from twinrun.data.hindered import CHANGED, Hindered, hindrance
from twinrun.data.hindered_images import hindered_images
from twinrun.data.image_decoder import LargeOnesAlone
from twinrun.data.opening import UnreadableImage, why_unreadable
from twinrun.data.wide_values import ValueRange, number
from twinrun.errors import InputError, shorten
from twinrun.plain_files import read_bytes

_COLUMNS = ["wide", "pixels", "lowest", "highest"]


class _Row(NamedTuple):
    """Whether a file is wide, how many pixels it has, and what it reaches: nan if not known."""

    wide: bool
    pixels: int
    lowest: float = math.nan
    highest: float = math.nan


class FoundScale(NamedTuple):
    """By which range wide images are seen, and which are not.

    Attributes:
        scale: None where none is wide, or none can be read.
        unreadable: Why wide images cannot be read that were looked at, by the SHA-256 of the file.
        problem: Why no range was found, though there are images to be seen in one.
        undecided: The SHA-256 of the wide images, where there is a problem.
    """

    scale: ValueRange | None = None
    unreadable: Mapping[str, str] = MappingProxyType({})
    problem: InputError | None = None
    undecided: pd.Index = pd.Index([], dtype=str)


def find_scale(
    index: pd.DataFrame, folder: Path, cache: Path, size: int, how: DecodeSettings
) -> FoundScale:
    """By which range the wide images of an index are seen.

    The problem that there may be: no training image is wide and others are, none of those that are
    can be read, or all of them hold one value only.

    Args:
        index: From `list_images`.
        folder: The data folder.
        cache: The folder of all caches.
        size: Of one of them: what is in it already needs no look.
        how: Files are decoded; its range is two numbers, or "auto" for what training images reach.

    Raises:
        InputError: The reading of images was hindered.
    """
    if how.reader is not None:  # which gives 8 bits a value
        return FoundScale()
    # Of a file that lies in both parts the training image counts.
    index = index[index["sha256"] != ""].sort_values("part", ascending=False, kind="stable")
    index = index.drop_duplicates("sha256")
    looks = _Looks(folder, cache / values_name(), how.max_pixels)
    looks.at_headers(index, _plain(cache / cache_name(size, own=how.own)))
    wide = index[index["sha256"].isin(looks.wide())]
    train = wide[wide["part"] == "train"]
    if how.scale == "auto":
        looks.at_values(train)
    if wide.empty:
        return FoundScale()
    looks.keep()
    if how.scale != "auto":
        return FoundScale(how.scale)
    reached = looks.reached(train)
    if reached.empty:
        return _without_any(wide, folder, looks, part=how.part)
    low, high = float(reached["lowest"].min()), float(reached["highest"].max())
    if low < high:
        return FoundScale(ValueRange(low, high))
    problem = InputError(
        f"all {len(reached)} training images of more than 8 bits a value in {folder} hold one "
        f"value only, {number(low)}: there is nothing to see",
        fix="Fetch these files again, or set data.range to two numbers.",
    )
    return FoundScale(None, looks.unreadable, problem, pd.Index(wide["sha256"]))


def _without_any(wide: pd.DataFrame, folder: Path, looks: _Looks, *, part: bool) -> FoundScale:
    """Where no training image tells the range: the question, if there is anything to be seen."""
    looks.at_values(wide[wide["part"] != "train"])
    looks.keep()
    # Of one that is cut short a part may be there, and has no range either.
    seen = wide if part else wide[~wide["sha256"].isin(looks.unreadable)]
    unreadable = {} if part else looks.unreadable
    if seen.empty:
        return FoundScale(unreadable=unreadable)
    some_train = (wide["part"] == "train").any()
    problem = InputError(
        f"{len(seen)} {'' if some_train else 'test '}images in {folder} have more than 8 bits a "
        f"value, and no training image {'of these can be read whole' if some_train else 'has'}: "
        "which values to see them in is not known:",
        details=shorten(sorted(seen["path"])),
        fix="Set data.range to the lowest and the highest value, such as [0, 65535].",
    )
    return FoundScale(None, unreadable, problem, pd.Index(wide["sha256"]))


class _Looks:
    """What is known of files that may be wide, and what is added to that.

    Attributes:
        unreadable: Why files cannot be read whose values were to be looked at, by their SHA-256.
    """

    def __init__(self, folder: Path, path: Path, max_pixels: int) -> None:
        self.folder, self.path, self.max_pixels = folder, path, max_pixels
        self.large = LargeOnesAlone()
        self.table = self.kept = read_kept_rows(path, _COLUMNS)
        self.unreadable: dict[str, str] = {}

    def wide(self) -> pd.Index:
        """The SHA-256 of the files that are wide and not too large to be decoded."""
        allowed = self.table["pixels"].astype("int64") <= self.max_pixels
        return self.table.index[self.table["wide"].astype(bool) & allowed]

    def reached(self, index: pd.DataFrame) -> pd.DataFrame:
        """What wide files reach, of those that can be read."""
        return self.table.loc[index["sha256"], ["lowest", "highest"]].dropna()

    def at_headers(self, index: pd.DataFrame, plain: pd.Index) -> None:
        """Look whether files are wide, of which it is not known."""
        known = index["sha256"].isin(self.table.index) | index["sha256"].isin(plain)

        def look(_: str, path: Path) -> _Row | None:
            try:
                width, height, wide = read_header(path, max_pixels=self.max_pixels)
            except UnreadableImage:  # which is told where it is decoded
                return None
            return _Row(wide, width * height)

        self._add(index[~known], look, "looking at formats")

    def at_values(self, index: pd.DataFrame) -> None:
        """Look what wide files reach, of which it is not known."""
        known = self.table.loc[index["sha256"], "lowest"].notna().to_numpy()
        pixels = self.table["pixels"].to_dict()

        def look(sha256: str, path: Path) -> _Row | None:
            content = read_bytes(path)
            if hashlib.sha256(content).hexdigest() != sha256:
                raise Hindered(CHANGED)
            try:
                with self.large.turn(WIDE_LOAD * pixels[sha256]):
                    found = read_values(BytesIO(content), max_pixels=self.max_pixels)
            except UnreadableImage as error:
                self.unreadable[sha256] = str(error)
                return None
            return _Row(True, pixels[sha256], found.lowest, found.highest)

        self._add(index[~known], look, "finding the range")

    def keep(self) -> None:
        """Write down what was added."""
        if self.table is not self.kept:
            # A cache that cannot be written to can be read all the same.
            with suppress(InputError, OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                write_rows(self.path, self.table)

    def _add(
        self, index: pd.DataFrame, look: Callable[[str, Path], _Row | None], title: str
    ) -> None:
        """Add what is found; what cannot be read is looked at again by whoever asks next."""
        if index.empty:
            return
        rows: dict[str, _Row] = {}
        hindered: dict[str, str] = {}

        def answer(sha256: str, path: str) -> None:
            try:
                row = look(sha256, self.folder / path)
            except (MemoryError, OSError, Hindered) as error:
                hindered[path] = hindrance(error) or why_unreadable(error)
            else:
                if row is not None:
                    rows[sha256] = row

        with progress_bars() as bars, ThreadPoolExecutor(os.cpu_count()) as pool:
            bar = bars.add_task(title, total=len(index), note="")
            for block in in_blocks(list(zip(index["sha256"], index["path"], strict=True))):
                for _ in pool.map(lambda each: answer(*each), block):
                    pass
                bars.advance(bar, len(block))
        if hindered:
            raise hindered_images(hindered, len(index), self.folder)
        if rows:
            new = pd.DataFrame([rows[name] for name in sorted(rows)], sorted(rows), _COLUMNS)
            old = self.table.drop(new.index.intersection(self.table.index))
            self.table = new if old.empty else pd.concat([old, new])


def _plain(folder: Path) -> pd.Index:
    """The SHA-256 of files that were decoded without a range: none of them is wide."""
    try:
        return read_rows(folder / TABLE, ["mode"]).index
    except UNREADABLE_ROWS:  # which is told where they are decoded again
        return pd.Index([], dtype=str)
