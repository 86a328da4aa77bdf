"""An image file as upright RGB pixels, and a digest of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xxhash
from PIL import Image, ImageOps

# What Pillow raises for files that are empty, cut short, damaged, or no images at all.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def decode(path: Path) -> Image.Image:
    """Read an image file of any mode as RGB, turned upright as its EXIF orientation says.

    Of an animation the first frame is taken. An alpha channel is dropped, which leaves the colours
    that the file holds; 16-bit greys are reduced to 8 bits.

    Returns:
        An image of mode RGB, 8 bits a channel, in the file's own size.

    Raises:
        Exception: One of UNREADABLE.
    """
    with Image.open(path) as file:
        file.load()
        upright = ImageOps.exif_transpose(file)
    if upright.mode.startswith("I"):
        # Pillow's own conversion clips every value above 255 to white.
        high_bytes = np.clip(np.asarray(upright).astype(np.int64) >> 8, 0, 255)
        upright = Image.fromarray(high_bytes.astype(np.uint8), mode="L")
    if upright.mode == "P":
        # By way of RGBA, because a palette's transparent entry has a colour too.
        upright = upright.convert("RGBA")
    return upright.convert("RGB")


def pixel_digest(image: Image.Image) -> str:
    """XXH3-128 of an image's size and pixels (height x width x 3, uint8), in hexadecimal."""
    digest = xxhash.xxh3_128(f"{image.width}x{image.height}".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()
