"""The fingerprint of one image: a perceptual hash, how dark and how even it is.

The hash is imagehash's `phash` of 16 x 16 coefficients: which of the 256 lowest frequencies of the
brightness, shrunk to 64 x 64, lie above their median. It hardly changes when a photo is saved
again, resized, or made a little brighter.
"""

from __future__ import annotations

import imagehash
import numpy as np
from PIL import Image

HASH_SIDE = 16
HASH_BITS = HASH_SIDE * HASH_SIDE
# Of an image's pixels so many are darker than `low`, and as many brighter than `high`.
_TAIL = 0.01


def fingerprint(pixels: np.ndarray) -> tuple[int, int, bytes]:
    """An image's fingerprint.

    Args:
        pixels: As they were decoded: rows x columns x 3, uint8.

    Returns:
        low and high (brightness, 0 to 255, that 1 % of the pixels are below and above), hash (32
        bytes).
    """
    grey = Image.fromarray(pixels).convert("L")
    below = np.cumsum(grey.histogram())
    low, high = np.searchsorted(below, np.array([_TAIL, 1 - _TAIL]) * below[-1])
    bits = imagehash.phash(grey, HASH_SIDE).hash
    return int(low), int(high), np.packbits(bits).tobytes()
