"""A few images decoded into memory, to stand for all of them where nothing is to be written."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from twinrun.data.cache_files import ARRAY, COLUMNS, read_table, row_of
from twinrun.data.cache_key import cache_name
from twinrun.data.decode_settings import DecodeSettings
from twinrun.data.decoding import DecodedImage, read_header, read_values
from twinrun.data.image_decoder import ImageDecoder
from twinrun.data.index import unreadable_images
from twinrun.data.opening import UNREADABLE, why_unreadable
from twinrun.data.pixels import PixelRows, Pixels
from twinrun.data.wide_values import ValueRange, Values
from twinrun.plain_files import read_bytes

# How many are decoded.
FEW = 16


class Decoding(NamedTuple):
    """What is to be decoded before a training.

    Attributes:
        images: How many files.
        seconds: About so long.
        nbytes: About so much of the disk.
    """

    images: int
    seconds: float
    nbytes: int


def pixels_without_writing(
    index: pd.DataFrame, folder: Path, size: int, cache: Path, how: DecodeSettings
) -> tuple[Pixels, Decoding]:
    """The images of an index as a cache holds them, or a few of them in place of all.

    Args:
        index: From `list_images`, of files that can be read.
        folder: The data folder.
        size: Shorter side, in pixels.
        cache: The folder of all caches, which need not be there. A cache that has them all is
            used; images of more than 8 bits a value are not looked for in one.
        how: Files are decoded.

    Returns:
        The images; and what is to be decoded yet.

    Raises:
        InputError: None of the few can be read.
    """
    files = index.drop_duplicates("sha256")
    place = cache / cache_name(size, own=how.own)
    table = read_table(place)
    if files["sha256"].isin(table.index).all():
        return Pixels(size, place / ARRAY, table), Decoding(0, 0.0, 0)
    missing = int((~files["sha256"].isin(table.index)).sum())
    few = files.iloc[np.unique(np.linspace(0, len(files) - 1, FEW).astype(int))]["path"].tolist()
    found, reasons, seconds = _decode(few, folder, size, how)
    if not found:
        raise unreadable_images(reasons, len(index), folder)
    pixels = _FewPixels(size, found, files["sha256"].tolist())
    each = pixels.nbytes / len(found)
    return pixels, Decoding(missing, seconds * missing / len(few), int(each * missing))


def _decode(
    paths: Sequence[str], folder: Path, size: int, how: DecodeSettings
) -> tuple[list[DecodedImage], dict[str, str], float]:
    """Images, why others cannot be read by path, and the seconds that it took with all cores."""
    reasons: dict[str, str] = {}

    def decode(path: str) -> DecodedImage | None:
        try:
            content = read_bytes(folder / path)
            return decoder.decode(folder / path, content, [size])[0]
        except UNREADABLE as error:
            reasons[path] = why_unreadable(error)
            return None

    decoder = ImageDecoder(how, _scale(paths, folder, how))
    started = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [image for image in pool.map(decode, paths) if image is not None]
    return found, reasons, time.perf_counter() - started


def _scale(paths: Sequence[str], folder: Path, how: DecodeSettings) -> ValueRange | None:
    """A range for what is wide of a few images: as asked for, or what these reach."""
    if how.reader is not None:  # which gives 8 bits a value
        return None
    if how.scale != "auto":
        return how.scale
    reached: list[Values] = []
    for path in paths:
        try:
            if read_header(folder / path, max_pixels=how.max_pixels).wide:
                reached.append(read_values(folder / path, max_pixels=how.max_pixels))
        except UNREADABLE:
            continue  # which is told where it is decoded
    low = min((each.lowest for each in reached), default=0.0)
    high = max((each.highest for each in reached), default=1.0)
    return ValueRange(low, high if high > low else low + 1)


class _FewRows(PixelRows):
    """Rows of an array in memory, which a loader's process is sent as it is."""

    def __init__(self, array: np.ndarray, size: int, places: np.ndarray) -> None:
        super().__init__(Path(), size, places)
        vars(self)["_array"] = array

    def __getstate__(self) -> dict[str, object]:
        return dict(vars(self))


class _FewPixels(Pixels):
    """Every file's pixels are those of one of a few images."""

    def __init__(self, size: int, images: Sequence[DecodedImage], files: Sequence[str]) -> None:
        pixels = [np.frombuffer(each.pixels, np.uint8) for each in images]
        ends = np.cumsum([len(each) for each in pixels])
        facts = [
            row_of(image, int(end) - len(each))
            for image, each, end in zip(images, pixels, ends, strict=True)
        ]
        rows = [facts[number % len(facts)] for number in range(len(files))]
        table = pd.DataFrame(rows, pd.Index(files, name="sha256"), COLUMNS)
        super().__init__(size, Path(), table)
        self._array = np.concatenate(pixels)

    @property
    def nbytes(self) -> int:
        """Bytes of the few."""
        return len(self._array)

    def rows(self, files: Sequence[str]) -> PixelRows:
        places = self.table.loc[list(files), ["offset", "rows", "columns"]]
        return _FewRows(self._array, self.size, places.to_numpy(np.int64))
