"""An image file as upright RGB pixels, in its own size or in a cache's, and a digest of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import xxhash
from PIL import Image, ImageFile

from twinrun.data.opening import (
    MOST_PIXELS,
    Opened,
    UnreadableImage,
    decoder,
    load_part,
    read_opened,
    read_part,
)
from twinrun.data.orientation import Orientation, orientation_of
from twinrun.data.partial import FILL_THEMSELVES, LEAST, what_is_there
from twinrun.data.wide_values import (
    ValueRange,
    Values,
    is_wide,
    load_whole,
    values_of,
    wide_values,
)
from twinrun.plain_files import open_plain

# What `format_of` says of a file that a competitor's own code alone can read.
UNKNOWN = "unknown"
# A panorama or a banner must not fill the disk: what sticks out at its two ends is cut off.
LONGEST = 4
# A JPEG may be decoded at a half, a quarter or an eighth of its size, as long as that leaves so
# many times the pixels that are wanted; the rest is left to the better filter.
_GAP = 2
# So many times the memory of a pixel of 8 bits one of 16-bit colours takes while it is decoded.
WIDE_LOAD = 3
_FILTER = Image.Resampling.LANCZOS


class Header(NamedTuple):
    """What a file's header says.

    Attributes:
        width, height: In pixels, not turned upright.
        wide: Whether its values take more than 8 bits, and are scaled by a range.
    """

    width: int
    height: int
    wide: bool

    @property
    def load(self) -> int:
        """How many pixels of 8 bits a value take as much memory while they are decoded."""
        return self.width * self.height * (WIDE_LOAD if self.wide else 1)


@dataclass(frozen=True)
class DecodedImage:
    """An image in the size of a cache.

    Attributes:
        image: Of mode RGB, 8 bits a channel.
        format: As the content says: "JPEG".
        mode: The file's: "RGB", "P".
        width, height: The file's picture, upright, in pixels.
        orientation: EXIF's, from 1 for upright to 8: how the file holds it.
        note: What of its metadata could not be read; empty where nothing is to be said.
        values: What the values of a wide image reach in its file; None of one of 8 bits a value.
        missing: Why only a part of the picture is there; empty where it is whole.
    """

    image: Image.Image
    format: str | None
    mode: str
    width: int
    height: int
    orientation: int
    note: str
    values: Values | None
    missing: str

    @cached_property
    def pixels(self) -> bytes:
        """As they lie in a cache: rows x columns x 3, uint8, row by row."""
        return self.image.tobytes()

    @property
    def digest(self) -> str:
        """Of them, from `bytes_digest`."""
        return bytes_digest(self.pixels, self.image.width, self.image.height)


def decode(path: Path, *, scale: ValueRange | None = None) -> Image.Image:
    """Read an image file of any mode as RGB, turned upright as its EXIF orientation says.

    Of an animation the first frame is taken. An alpha channel is dropped, which leaves the colours
    that the file holds. Metadata never stop it: where they cannot be read, the picture is taken as
    it lies.

    Args:
        path: The file.
        scale: By which values of more than 8 bits become 8 bits. Without one an image of such
            values is refused: what they mean does not stand in the file.

    Returns:
        An image of mode RGB, 8 bits a channel, in the file's own size.

    Raises:
        Exception: One of UNREADABLE.
    """

    def upright(opened: Opened, known: Orientation | None) -> Image.Image:
        loaded = _load(opened, scale)
        return _rgb(loaded.image, known or loaded.orientation)

    with open_plain(path) as source:
        return read_opened(source, MOST_PIXELS, upright)


def decode_to(
    source: Path | BinaryIO,
    size: int,
    *,
    max_pixels: int = MOST_PIXELS,
    scale: ValueRange | None = None,
    part: bool = False,
) -> DecodedImage:
    """Read an image file as `decode` does, and resize it by Lanczos' filter.

    The shorter side becomes `size`, the longer one in proportion, after it was cut to at most
    LONGEST times the shorter one, around its middle. A JPEG is decoded at a fraction of its size
    where that leaves twice the pixels that are wanted, which takes a fraction of the time.

    Args:
        source: The file, or one that is open.
        size: Pixels of the shorter side.
        max_pixels: Of the file; one that has more is refused before any is decoded.
        scale: As `decode`.
        part: Of a file that is damaged or cut short decode what is there, if that is a twentieth of
            its pixels; the rest of the picture is black, of a JPEG an even grey.

    Raises:
        Exception: One of UNREADABLE.
    """
    opened = open_plain(source) if isinstance(source, Path) else nullcontext(source)
    with opened as content:
        try:
            return read_opened(content, max_pixels, partial(_resized, size=size, scale=scale))
        except UnreadableImage as error:
            if not part:
                raise
            refused = error
        of_part = partial(_resized, size=size, scale=scale, refused=refused)
        return read_part(content, max_pixels, of_part)


def _resized(
    opened: Opened,
    known: Orientation | None,
    *,
    size: int,
    scale: ValueRange | None,
    refused: UnreadableImage | None = None,
) -> DecodedImage:
    """As `decode_to`; of a file that is refused for a reason, what is there of it."""
    file = opened.file
    kind, mode, stored = file.format, file.mode, file.size
    with decoder():
        may_be_reduced = file.draft(None, (_GAP * size, _GAP * size)) is not None
    there = None
    if refused:
        there = what_is_there(opened)
        if there.mean() < LEAST:
            raise refused
    loaded = _load(opened, scale, there)
    turned = known or loaded.orientation
    image = _rgb(loaded.image, turned)
    if there is not None and kind not in FILL_THEMSELVES:
        image = _without_the_rest(image, turned.upright(Image.fromarray(there)))
    if may_be_reduced:
        width, height = stored[::-1] if turned.swaps_sides else stored
    else:
        width, height = image.size
    return DecodedImage(
        in_cache(image, width, height, size),
        kind,
        mode,
        width,
        height,
        turned.number,
        turned.note,
        loaded.values,
        str(refused or ""),
    )


def in_cache(image: Image.Image, width: int, height: int, size: int) -> Image.Image:
    """An upright image in the size of a cache.

    Args:
        image: Of mode RGB, of a picture that may have been decoded at a fraction of its size.
        width: Of the whole picture.
        height: Of the whole picture.
        size: Pixels of the shorter side.
    """
    rows, columns = shape_in_cache(width, height, size)
    box = _middle(*image.size)
    if (columns, rows) != image.size or box != (0, 0, *image.size):
        image = image.resize((columns, rows), _FILTER, box=box)
    return image


def read_header(source: Path | BinaryIO, *, max_pixels: int = MOST_PIXELS) -> Header:
    """What an image file's header says of its pixels; none is decoded.

    Args:
        source: The file, or one that is open.
        max_pixels: As `decode_to`.

    Raises:
        Exception: One of UNREADABLE.
    """

    def look(opened: Opened, _: Orientation | None) -> Header:
        return Header(*opened.file.size, is_wide(opened.file))

    with open_plain(source) if isinstance(source, Path) else nullcontext(source) as content:
        return read_opened(content, max_pixels, look)


def format_of(path: Path) -> str:
    """The format of an image file, as its content says; UNKNOWN of what is none.

    Raises:
        Exception: One of UNREADABLE, but UnreadableImage.
    """

    def name(opened: Opened, _: Orientation | None) -> str:
        return opened.file.format or UNKNOWN

    try:
        with open_plain(path) as source:
            return read_opened(source, sys.maxsize, name)
    except UnreadableImage:
        return UNKNOWN


def read_values(source: Path | BinaryIO, *, max_pixels: int = MOST_PIXELS) -> Values:
    """What the values of a wide image reach.

    Args:
        source: The file, whose header says that it is wide, or one that is open.
        max_pixels: As `decode_to`.

    Raises:
        Exception: One of UNREADABLE; none of its values is a finite number.
    """

    def reach(opened: Opened, _: Orientation | None) -> Values:
        return _finite(wide_values(opened.file, opened.again))

    with open_plain(source) if isinstance(source, Path) else nullcontext(source) as content:
        return read_opened(content, max_pixels, reach)


def shape_in_cache(width: int, height: int, size: int) -> tuple[int, int]:
    """(rows, columns) of an image in a cache of `size`."""
    short, long = sorted((width, height))
    longer = min((2 * long * size + short) // (2 * short), LONGEST * size)
    return (longer, size) if height > width else (size, longer)


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


class _Loaded(NamedTuple):
    """A picture as it lies in its file, how that is, and what its values reach if it is wide."""

    image: Image.Image
    orientation: Orientation
    values: Values | None


def _load(
    opened: Opened,
    scale: ValueRange | None,
    there: np.ndarray | None = None,
) -> _Loaded:
    """Decode the pixels, of a wide image by a range.

    Args:
        opened: The file.
        scale: The range.
        there: Which pixels there are; None where all have to be.
    """
    file = opened.file
    load = load_whole if there is None else load_part
    if not is_wide(file):

        def decode_it() -> None:
            with decoder():
                load(file)

        return _Loaded(file, _load_upright(file, decode_it), None)
    if scale is None:
        raise UnreadableImage(f"{_bits(file)}, and no range to see them in (data.range)")
    values: list[np.ndarray] = []
    found = _load_upright(file, lambda: values.append(wide_values(file, opened.again, load)))
    reach = _finite(values[0] if there is None else values[0][there])
    return _Loaded(scale.image(values[0]), found, reach)


def _load_upright(file: ImageFile.ImageFile, load: Callable[[], object]) -> Orientation:
    """Decode the pixels; how they lie."""
    if hasattr(file, "tag_v2"):
        # Pillow turns a TIFF as it is loaded, unless its orientation was taken off it.
        found = _lying(file)
        load()
        return found
    # A PNG may say how it lies behind its pixels.
    load()
    return _lying(file)


def _lying(file: ImageFile.ImageFile) -> Orientation:
    with decoder():
        return orientation_of(file)


def _finite(values: np.ndarray) -> Values:
    reach = values_of(values)
    if reach is None:
        raise UnreadableImage("none of its values is a finite number")
    return reach


def _bits(file: ImageFile.ImageFile) -> str:
    return "floating-point values" if file.mode == "F" else "values of more than 8 bits"


def _rgb(image: Image.Image, turned: Orientation) -> Image.Image:
    """A picture as it lies in its file, upright and as RGB."""
    with decoder():
        image = turned.upright(image)
        if image.mode == "P":
            # By way of RGBA, because a palette's transparent entry has a colour too.
            image = image.convert("RGBA")
        return image if image.mode == "RGB" else image.convert("RGB")


def _without_the_rest(image: Image.Image, there: Image.Image) -> Image.Image:
    """A picture, upright and as RGB, that is black where nothing of it is there."""
    rest = Image.new("RGB", image.size)
    rest.paste(image, mask=there)
    return rest


def _middle(width: int, height: int) -> tuple[float, float, float, float]:
    """What is left of an image whose longer side sticks out: left, upper, right, lower."""
    across, down = min(width, LONGEST * height), min(height, LONGEST * width)
    left, upper = (width - across) / 2, (height - down) / 2
    return left, upper, left + across, upper + down
