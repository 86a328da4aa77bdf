"""The cache of one size: what is there is checked, what is missing is decoded and added.

What does not agree with its digest is decoded anew. The table is written every few seconds: a kill
loses no more than these.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from twinrun.console import clock, megabytes, progress_bars, say
from twinrun.data.cache_files import (
    ARRAY,
    find_damaged_rows,
    in_blocks,
    read_table,
    row_of,
    write_table,
)
from twinrun.data.cache_key import cache_name
from twinrun.data.decode_settings import DecodeSettings
from twinrun.data.decoding import shape_in_cache
from twinrun.data.hindered import CHANGED, Hindered, hindrance
from twinrun.data.image_decoder import ImageDecoder
from twinrun.data.opening import UNREADABLE, too_large, why_unreadable
from twinrun.data.pixels import Pixels
from twinrun.data.wide_values import ValueRange
from twinrun.errors import InputError, OutOfTime
from twinrun.files import sha256_file, unwritable
from twinrun.locks import wait_for_lock
from twinrun.plain_files import plain, read_bytes

# What ends the reading of one image.
_STOPS = (*UNREADABLE, MemoryError)
# Between two writings of the table.
_SECONDS = 5.0
# Left free on the disk, in bytes.
_SPARE = 64 << 20
_FIX = "Free some space, or choose a different place: --set run.cache=FOLDER."


class _Task(NamedTuple):
    """An image to be decoded: the digest of its file, the file, and where its pixels go.

    `load` is how many they are in the file, as `Header.load` counts; `pixels` go into the cache.
    """

    sha256: str
    path: Path
    load: int
    offset: int
    pixels: int


class CacheOfSize:
    """The cache of one size.

    Args:
        cache: The folder of all caches.
        size: Of the shorter sides, in pixels.
        how: Files are decoded.
        scale: In which images of more than 8 bits a value are seen; None: there are none.

    Attributes:
        hindered: What hindered the reading of images, by the SHA-256 of the file.
    """

    def __init__(
        self, cache: Path, size: int, how: DecodeSettings, scale: ValueRange | None
    ) -> None:
        self.size, self.how, self.scale = size, how, scale
        self.decoder = ImageDecoder(how, scale)
        self.hindered: dict[str, str] = {}
        self.folder = cache / cache_name(size, scale, how.own)
        self.array = self.folder / ARRAY

    def fill(self, wanted: pd.Series, folder: Path) -> tuple[Pixels, dict[str, str]]:
        """With all images of `wanted`, paths in `folder` by the SHA-256 of the file, that can be.

        Returns:
            And why the others cannot be decoded.
        """
        table, unreadable = self._drop_damaged(wanted), dict[str, str]()
        if not wanted.index.isin(table.index).all():
            with wait_for_lock(self.folder, "being added to"):
                # While this one waited, another process may have decoded them.
                table = self._drop_damaged(wanted)
                missing = wanted[~wanted.index.isin(table.index)]
                if len(missing):
                    table, found = self._add(table, missing, folder)
                    unreadable |= found
        # Some that are in the cache were decoded for others, to whom more is allowed.
        known = table[table.index.isin(wanted.index)]
        pixels = known["width"].astype("int64") * known["height"].astype("int64")
        too_many = pixels > self.how.max_pixels if self.how.reader is None else pixels < 0
        for sha256, count in pixels[too_many].items():
            unreadable[str(sha256)] = too_large(count, self.how.max_pixels)
        if not self.how.part:
            parts = known[known["missing"] != ""]
            unreadable |= dict(zip(parts.index, parts["missing"], strict=True))
        return Pixels(self.size, self.array, table, self.scale), unreadable

    def _drop_damaged(self, wanted: pd.Series) -> pd.DataFrame:
        """The table without those of `wanted` whose pixels are damaged."""
        table = read_table(self.folder)
        used = table[table.index.isin(wanted.index)]
        damaged = find_damaged_rows(self.folder, used)
        if len(damaged):
            say(
                ("damaged", "yellow"),
                f"   {len(damaged)} of {len(used)} images in {self.folder}: decoding them again",
            )
        return table.drop(damaged)

    def _add(
        self, table: pd.DataFrame, missing: pd.Series, folder: Path
    ) -> tuple[pd.DataFrame, dict[str, str]]:
        """Decode what is missing; the table with it, and why some could not be decoded."""
        added: dict[str, dict[str, Any]] = {}
        written = time.monotonic()
        with _open(self.array) as file, ThreadPoolExecutor(os.cpu_count()) as pool:
            try:
                tasks, unreadable = self._plan(missing, folder, file, pool)
                with _telling_how_far(len(tasks), self.size) as done, progress_bars() as bars:
                    bar = bars.add_task(f"decoding to {self.size} px", total=len(tasks), note="")
                    for block in in_blocks(tasks):
                        answers = pool.map(lambda task: self._decode(task, file), block)
                        for task, answer in zip(block, answers, strict=True):
                            bars.advance(bar)
                            done.append(task.sha256)
                            if isinstance(answer, str):
                                unreadable[task.sha256] = answer
                            elif isinstance(answer, Hindered):
                                self.hindered[task.sha256] = str(answer)
                            else:
                                added[task.sha256] = answer
                        if time.monotonic() - written > _SECONDS:
                            write_table(self.folder, table, added)
                            written = time.monotonic()
            finally:
                pool.shutdown(cancel_futures=True)
                if added:
                    table = write_table(self.folder, table, added)
        return table, unreadable

    def _plan(
        self, missing: pd.Series, folder: Path, file: int, pool: ThreadPoolExecutor
    ) -> tuple[list[_Task], dict[str, str]]:
        """A place in the array for each image, and why some can have none; says how much it is."""

        def pixels_of(sha256: str, path: str) -> tuple[int, int] | str | Hindered:
            try:
                header = self.decoder.header(folder / path)
            except _STOPS as error:
                return self._why_not(error, folder / path, sha256)
            rows, columns = shape_in_cache(header.width, header.height, self.size)
            return header.load, rows * columns

        tasks: list[_Task] = []
        unreadable: dict[str, str] = {}
        # Behind all that is there, also what a kill left without a row.
        start = end = os.fstat(file).st_size
        for block in in_blocks(list(zip(missing.index, missing, strict=True))):
            answers = pool.map(lambda each: pixels_of(*each), block)
            for (sha256, path), pixels in zip(block, answers, strict=True):
                if isinstance(pixels, str):
                    unreadable[sha256] = pixels
                elif isinstance(pixels, Hindered):
                    self.hindered[sha256] = str(pixels)
                else:
                    tasks.append(_Task(sha256, folder / path, pixels[0], end, pixels[1]))
                    end += pixels[1] * 3
        needed, free = end - start, shutil.disk_usage(self.folder).free
        if needed + _SPARE > free:
            raise InputError(
                f"decoded to {self.size} px, {len(tasks):,} images take {megabytes(needed)} in "
                f"{self.folder}, but only {megabytes(free)} are free there",
                fix=_FIX,
            )
        say(
            ("decoding", "bold"),
            f"  {len(tasks):,} images to {self.size} px, {megabytes(needed)} in {self.folder}",
        )
        return tasks, unreadable

    def _why_not(self, error: Exception, path: Path, sha256: str) -> str | Hindered:
        """Why an image cannot be read, or what hindered that."""
        if why := hindrance(error):
            return Hindered(why)
        try:
            changed = sha256_file(path) != sha256
        except OSError:
            changed = True
        return Hindered(CHANGED) if changed else why_unreadable(error)

    def _decode(self, task: _Task, file: int) -> dict[str, Any] | str | Hindered:
        """Put one image into the array; its row of the table, or why it cannot be read.

        Or what hindered its reading.
        """
        try:
            content = read_bytes(task.path)
            # Pixels that are kept under another file's digest would never be found out.
            if hashlib.sha256(content).hexdigest() != task.sha256:
                return Hindered(CHANGED)
            [found] = self.decoder.decode(task.path, content, [self.size], task.load)
        except _STOPS as error:
            return self._why_not(error, task.path, task.sha256)
        pixels = found.pixels
        if len(pixels) != task.pixels * 3:
            return "its header and its content are of different sizes"
        left, offset = memoryview(pixels), task.offset
        try:
            while left:
                count = os.pwrite(file, left, offset)
                left, offset = left[count:], offset + count
        except OSError as error:
            raise unwritable(self.array, error, fix=_FIX) from error
        return row_of(found, task.offset)


@contextmanager
def _telling_how_far(count: int, size: int) -> Iterator[list[str]]:
    """Where the time is over within the block, say how far it has come, and what the rest takes.

    Args:
        count: Of images.
        size: To which they are decoded.

    Yields:
        A list, to which each image that is done is to be added.
    """
    began, done = time.monotonic(), list[str]()
    try:
        yield done
    except OutOfTime as over:
        left = (time.monotonic() - began) / max(len(done), 1) * (count - len(done))
        raise OutOfTime(
            f"{over}: {len(done):,} of {count:,} images are decoded to {size} px and kept, the "
            f"others take about {clock(left)}"
        ) from None


@contextmanager
def _open(path: Path) -> Iterator[int]:
    """The array, for writing at any place."""
    try:
        if path.exists():
            plain(path)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise unwritable(path, error, fix=_FIX) from error
    try:
        yield file
    finally:
        os.close(file)
