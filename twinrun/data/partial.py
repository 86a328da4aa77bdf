"""How much of a picture is there that is damaged or cut short: which pixels its decoder writes."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from twinrun.data.opening import Opened, decoder, load_part

# What a JPEG's decoder makes of a block that is missing: the middle of each channel.
_NOTHING = 128
FILL_THEMSELVES = ("JPEG", "MPO")
# Of less of a picture nothing is to be learned.
LEAST = 0.05


def what_is_there(opened: Opened) -> np.ndarray:
    """Which pixels of a file its decoder writes.

    The file is decoded twice, over black and over white: where both are the same it was written. A
    JPEG's decoder fills what is missing itself, with an even grey.

    Args:
        opened: Whose own picture is not decoded.

    Returns:
        rows x columns, as they lie in the file; of a JPEG at an eighth of its size. bool.
    """
    black, white = (_over(opened, level) for level in (0, 255))
    written = ~_any_channel(black != white)
    if opened.file.format in FILL_THEMSELVES:
        written &= _any_channel(np.abs(black.astype(np.int16) - _NOTHING) > 1)
    return written


def _over(opened: Opened, level: int) -> np.ndarray:
    """What a file's decoder makes of an even picture."""
    file = opened.again()
    if file.format in FILL_THEMSELVES:
        with decoder():
            file.draft(None, (1, 1))
    prepare = file.load_prepare

    def filled() -> None:
        prepare()
        bands = Image.getmodebands(file.im.mode)
        colour: Any = level if bands == 1 else (level,) * bands
        file.im = Image.new(file.im.mode, file.im.size, colour).im

    file.load_prepare = filled  # type: ignore[method-assign]
    with decoder():
        load_part(file)
        found = np.asarray(file.copy())
    # A number that is none differs from itself.
    return found.view(np.uint32) if found.dtype == np.float32 else found


def _any_channel(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.any(axis=2)) if values.ndim > 2 else values
