"""What is worked out once of each image and kept beside its pixels: their fingerprints."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pandas as pd

from twinrun.audit.image_fingerprint import HASH_BITS, fingerprint
from twinrun.console import progress_bars
from twinrun.data.cache_files import in_blocks, read_kept_rows, write_rows
from twinrun.data.pixels import Pixels
from twinrun.errors import InputError
from twinrun.files import sha256_json
from twinrun.repro.maker import Maker

FINGERPRINTER = Maker(
    modules=("audit/image_fingerprint.py",),
    # SciPy is what imagehash computes with.
    libraries=("imagehash", "scipy", "PIL", "numpy"),
)
_COLUMNS = ["low", "high", "hash"]


def fingerprint_images(index: pd.DataFrame, pixels: Pixels) -> pd.DataFrame:
    """The fingerprints of every image of an index; unknown ones are computed and kept.

    Args:
        index: From `build_index`.
        pixels: The cache that the images are in.

    Returns:
        A row per row of the index: low and high (brightness, 0 to 255, that 1 % of the pixels are
        below and above), hash (32 bytes).
    """
    name = f"fingerprints-{sha256_json(FINGERPRINTER.facts())[:12]}.parquet"
    path = pixels.path.parent / name
    known = read_kept_rows(path, _COLUMNS)
    files = pd.Index(index["sha256"].unique())
    missing = files[~files.isin(known.index)]
    if len(missing):
        new = pd.DataFrame(_compute(missing.tolist(), pixels), missing, _COLUMNS)
        known = new if known.empty else pd.concat([known, new])
        # A cache that cannot be written to can be read all the same.
        with suppress(InputError):
            write_rows(path, known)
    return known.loc[index["sha256"]].reset_index(drop=True)


def hash_words(hashes: Sequence[bytes]) -> np.ndarray:
    """Hashes as numbers: uint64, images x 4."""
    return np.frombuffer(b"".join(hashes), np.uint64).reshape(-1, HASH_BITS // 64)


def _compute(missing: list[str], pixels: Pixels) -> list[tuple[int, int, bytes]]:
    rows = pixels.rows(missing)

    def compute(position: int) -> tuple[int, int, bytes]:
        return fingerprint(rows.image(position))

    found: list[tuple[int, int, bytes]] = []
    with progress_bars() as bars, ThreadPoolExecutor(os.cpu_count()) as pool:
        bar = bars.add_task("looking at images", total=len(missing), note="")
        for block in in_blocks(range(len(missing))):
            found += pool.map(compute, block)
            bars.advance(bar, len(block))
    return found
