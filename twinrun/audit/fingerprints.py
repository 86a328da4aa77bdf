"""What is worked out once of each image and kept beside its pixels.

A perceptual hash, how dark and how even it is, how it was turned. The hash is imagehash's `phash`
of 16 x 16 coefficients: which of the 256 lowest frequencies of the brightness, shrunk to 64 x 64,
lie above their median. It hardly changes when a photo is saved again, resized, or made a little
brighter.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import ExifTags, Image

from twinrun.console import progress_bars
from twinrun.data.cache_files import UNREADABLE_ROWS, in_blocks, read_rows, write_rows
from twinrun.data.decoding import UNREADABLE
from twinrun.data.pixels import Pixels
from twinrun.errors import InputError

HASH_SIDE = 16
HASH_BITS = HASH_SIDE * HASH_SIDE
# Of a new name when what is in it means something else.
_FILE = "fingerprints-1.parquet"
_COLUMNS = ["orientation", "low", "high", "hash"]
# Of an image's pixels so many are darker than `low`, and as many brighter than `high`.
_TAIL = 0.01


def fingerprint_images(index: pd.DataFrame, pixels: Pixels, folder: Path) -> pd.DataFrame:
    """The fingerprints of every image of an index; unknown ones are computed and kept.

    Args:
        index: From `build_index`.
        pixels: The cache that the images are in.
        folder: The data folder: how an image was turned stands in its file only.

    Returns:
        A row per row of the index: orientation (EXIF's, 1 for upright), low and high (brightness,
        0 to 255, that 1 % of the pixels are below and above), hash (32 bytes).
    """
    path = pixels.path.parent / _FILE
    known = _read(path)
    files = index.drop_duplicates("sha256").set_index("sha256")["path"]
    missing = files[~files.index.isin(known.index)]
    if len(missing):
        new = pd.DataFrame(_compute(missing, pixels, folder), missing.index, _COLUMNS)
        known = new if known.empty else pd.concat([known, new])
        # A cache that cannot be written to can be read all the same.
        with suppress(InputError):
            write_rows(path, known)
    return known.loc[index["sha256"]].reset_index(drop=True)


def hash_words(hashes: Sequence[bytes]) -> np.ndarray:
    """Hashes as numbers: uint64, images x 4."""
    return np.frombuffer(b"".join(hashes), np.uint64).reshape(-1, HASH_BITS // 64)


def _compute(missing: pd.Series, pixels: Pixels, folder: Path) -> list[tuple[int, int, int, bytes]]:
    import imagehash

    rows = pixels.rows(missing.index.tolist())
    paths = missing.tolist()

    def fingerprint(position: int) -> tuple[int, int, int, bytes]:
        grey = Image.fromarray(rows.image(position)).convert("L")
        below = np.cumsum(grey.histogram())
        low, high = np.searchsorted(below, np.array([_TAIL, 1 - _TAIL]) * below[-1])
        bits = imagehash.phash(grey, HASH_SIDE).hash
        return (
            _orientation(folder / paths[position]),
            int(low),
            int(high),
            np.packbits(bits).tobytes(),
        )

    found: list[tuple[int, int, int, bytes]] = []
    with progress_bars() as bars, ThreadPoolExecutor(os.cpu_count()) as pool:
        bar = bars.add_task("looking at images", total=len(paths), note="")
        for block in in_blocks(range(len(paths))):
            found += pool.map(fingerprint, block)
            bars.advance(bar, len(block))
    return found


def _orientation(path: Path) -> int:
    try:
        with Image.open(path) as file:
            return int(file.getexif().get(ExifTags.Base.Orientation, 1))
    except (*UNREADABLE, TypeError):
        # The pixels were decoded without it.
        return 1


def _read(path: Path) -> pd.DataFrame:
    with suppress(*UNREADABLE_ROWS):
        return read_rows(path, _COLUMNS)
    return pd.DataFrame(columns=_COLUMNS, index=pd.Index([], dtype=str))
