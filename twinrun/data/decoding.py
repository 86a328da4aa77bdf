"""An image file as upright RGB pixels, in its own size or in a cache's, and a digest of them."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
import xxhash
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from twinrun.plain_files import open_plain

# What Pillow raises for files that are empty, cut short, damaged, or no images at all.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)

# A panorama or a banner must not fill the disk: what sticks out at its two ends is cut off.
LONGEST = 4
# A JPEG may be decoded at a half, a quarter or an eighth of its size, as long as that leaves so
# many times the pixels that are wanted; the rest is left to the better filter.
_GAP = 2
_FILTER = Image.Resampling.LANCZOS
# EXIF orientations that change height and width.
_QUARTER_TURNS = (5, 6, 7, 8)


@dataclass(frozen=True)
class DecodedImage:
    """An image in the size of a cache.

    Attributes:
        image: Of mode RGB, 8 bits a channel.
        format: As the content says: "JPEG".
        mode: The file's: "RGB", "P".
        width, height: The file's picture, upright, in pixels.
    """

    image: Image.Image
    format: str | None
    mode: str
    width: int
    height: int

    @cached_property
    def pixels(self) -> bytes:
        """As they lie in a cache: rows x columns x 3, uint8, row by row."""
        return self.image.tobytes()

    @property
    def digest(self) -> str:
        """Of them, from `bytes_digest`."""
        return bytes_digest(self.pixels, self.image.width, self.image.height)


def decode(path: Path) -> Image.Image:
    """Read an image file of any mode as RGB, turned upright as its EXIF orientation says.

    Of an animation the first frame is taken. An alpha channel is dropped, which leaves the colours
    that the file holds; 16-bit greys are reduced to 8 bits.

    Returns:
        An image of mode RGB, 8 bits a channel, in the file's own size.

    Raises:
        Exception: One of UNREADABLE.
    """
    with open_plain(path) as source, Image.open(source) as file:
        return _upright_rgb(file)


def decode_to(source: Path | BinaryIO, size: int) -> DecodedImage:
    """Read an image file as `decode` does, and resize it by Lanczos' filter.

    The shorter side becomes `size`, the longer one in proportion, after it was cut to at most
    LONGEST times the shorter one, around its middle. A JPEG is decoded at a fraction of its size
    where that leaves twice the pixels that are wanted, which takes a fraction of the time.

    Args:
        source: The file, or one that is open.
        size: Pixels of the shorter side.

    Raises:
        Exception: One of UNREADABLE.
    """
    opened = open_plain(source) if isinstance(source, Path) else nullcontext(source)
    with opened as content, Image.open(content) as file:
        kind, mode, stored = file.format, file.mode, file.size
        file.draft(None, (_GAP * size, _GAP * size))
        file.load()
        turned = file.getexif().get(ExifTags.Base.Orientation, 1) in _QUARTER_TURNS
        image = _upright_rgb(file)
    width, height = stored[::-1] if turned else stored
    rows, columns = shape_in_cache(width, height, size)
    box = _middle(*image.size)
    if (columns, rows) != image.size or box != (0, 0, *image.size):
        image = image.resize((columns, rows), _FILTER, box=box)
    return DecodedImage(image, kind, mode, width, height)


def header_size(path: Path) -> tuple[int, int]:
    """Width and height as a file's header says, not turned upright.

    Raises:
        Exception: One of UNREADABLE.
    """
    with open_plain(path) as source, Image.open(source) as file:
        return file.size


def shape_in_cache(width: int, height: int, size: int) -> tuple[int, int]:
    """(rows, columns) of an image in a cache of `size`."""
    short, long = sorted((width, height))
    longer = min((2 * long * size + short) // (2 * short), LONGEST * size)
    return (longer, size) if height > width else (size, longer)


def why_unreadable(error: Exception) -> str:
    """One of UNREADABLE in words, for a list of files."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image, whatever its name says"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return f"damaged or cut short ({reason})"


def bytes_digest(pixels: bytes | memoryview, width: int, height: int) -> str:
    """XXH3-128 of an image's size and pixels, in hexadecimal.

    Args:
        pixels: height x width x 3, uint8, row by row.
        width: Of the image.
        height: Of the image.
    """
    digest = xxhash.xxh3_128(f"{width}x{height}".encode())
    digest.update(pixels)
    return digest.hexdigest()


def _upright_rgb(upright: Image.Image) -> Image.Image:
    ImageOps.exif_transpose(upright, in_place=True)
    if upright.mode.startswith("I"):
        # Pillow's own conversion clips every value above 255 to white.
        high_bytes = np.clip(np.asarray(upright).astype(np.int64) >> 8, 0, 255)
        upright = Image.fromarray(high_bytes.astype(np.uint8), mode="L")
    if upright.mode == "P":
        # By way of RGBA, because a palette's transparent entry has a colour too.
        upright = upright.convert("RGBA")
    return upright if upright.mode == "RGB" else upright.convert("RGB")


def _middle(width: int, height: int) -> tuple[float, float, float, float]:
    """What is left of an image whose longer side sticks out: left, upper, right, lower."""
    across, down = min(width, LONGEST * height), min(height, LONGEST * width)
    left, upper = (width - across) / 2, (height - down) / 2
    return left, upper, left + across, upper + down
