"""An image file as upright RGB pixels, in its own size or in a cache's, and a digest of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import xxhash
from PIL import Image, ImageFile

from twinrun.data.bare import without_metadata
from twinrun.data.orientation import Orientation, orientation_in_block, orientation_of
from twinrun.image_formats import HEAD, openers, set_pillow, what_else
from twinrun.plain_files import open_plain

# A panorama or a banner must not fill the disk: what sticks out at its two ends is cut off.
LONGEST = 4
# Of an image, unless data.max_pixels says otherwise: the largest photos that are taken.
MOST_PIXELS = 500_000_000
# A JPEG may be decoded at a half, a quarter or an eighth of its size, as long as that leaves so
# many times the pixels that are wanted; the rest is left to the better filter.
_GAP = 2
_FILTER = Image.Resampling.LANCZOS
# What a library says of a file may quote the file.
_MOST_LETTERS = 200

_T = TypeVar("_T")


class UnreadableImage(Exception):
    """A file from which no image can be read; says why, in words for a list of files."""


# What reading an image raises, and nothing else: the file cannot be opened, or it is no image.
UNREADABLE = (OSError, UnreadableImage)


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
    """

    image: Image.Image
    format: str | None
    mode: str
    width: int
    height: int
    orientation: int
    note: str

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
    that the file holds; 16-bit greys are reduced to 8 bits. Metadata never stop it: where they
    cannot be read, the picture is taken as it lies.

    Returns:
        An image of mode RGB, 8 bits a channel, in the file's own size.

    Raises:
        Exception: One of UNREADABLE.
    """

    def upright(file: ImageFile.ImageFile, known: Orientation | None) -> Image.Image:
        found = _load(file)
        return _rgb((known or found).upright(file))

    with open_plain(path) as source:
        return _read(source, MOST_PIXELS, upright)


def decode_to(source: Path | BinaryIO, size: int, *, max_pixels: int = MOST_PIXELS) -> DecodedImage:
    """Read an image file as `decode` does, and resize it by Lanczos' filter.

    The shorter side becomes `size`, the longer one in proportion, after it was cut to at most
    LONGEST times the shorter one, around its middle. A JPEG is decoded at a fraction of its size
    where that leaves twice the pixels that are wanted, which takes a fraction of the time.

    Args:
        source: The file, or one that is open.
        size: Pixels of the shorter side.
        max_pixels: Of the file; one that has more is refused before any is decoded.

    Raises:
        Exception: One of UNREADABLE.
    """

    def resized(file: ImageFile.ImageFile, known: Orientation | None) -> DecodedImage:
        kind, mode, stored = file.format, file.mode, file.size
        may_be_reduced = file.draft(None, (_GAP * size, _GAP * size)) is not None
        found = _load(file)
        turned = known or found
        image = _rgb(turned.upright(file))
        if may_be_reduced:
            width, height = stored[::-1] if turned.swaps_sides else stored
        else:
            width, height = image.size
        rows, columns = shape_in_cache(width, height, size)
        box = _middle(*image.size)
        if (columns, rows) != image.size or box != (0, 0, *image.size):
            image = image.resize((columns, rows), _FILTER, box=box)
        return DecodedImage(image, kind, mode, width, height, turned.number, turned.note)

    opened = open_plain(source) if isinstance(source, Path) else nullcontext(source)
    with opened as content:
        return _read(content, max_pixels, resized)


def header_size(path: Path, *, max_pixels: int = MOST_PIXELS) -> tuple[int, int]:
    """Width and height as a file's header says, not turned upright.

    Raises:
        Exception: One of UNREADABLE.
    """
    with open_plain(path) as source:
        return _read(source, max_pixels, lambda file, _: file.size)


def shape_in_cache(width: int, height: int, size: int) -> tuple[int, int]:
    """(rows, columns) of an image in a cache of `size`."""
    short, long = sorted((width, height))
    longer = min((2 * long * size + short) // (2 * short), LONGEST * size)
    return (longer, size) if height > width else (size, longer)


def too_large(pixels: int, max_pixels: int) -> str:
    """Why an image of so many pixels is refused where fewer are allowed."""
    return (
        f"{_megapixels(pixels)} megapixels, allowed are {_megapixels(max_pixels)} (data.max_pixels)"
    )


def why_unreadable(error: Exception) -> str:
    """One of UNREADABLE in words, for a list of files."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


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


def _read(
    content: BinaryIO,
    max_pixels: int,
    use: Callable[[ImageFile.ImageFile, Orientation | None], _T],
) -> _T:
    """What `use` makes of an image file that is opened, with its metadata or else without.

    `use` is told how the picture lies where that is known already. Decoders and what they call
    raise whatever they like for a damaged file: it becomes UnreadableImage.
    """
    try:
        with _open(content, max_pixels) as file:
            return use(file, None)
    except UnreadableImage:
        raise
    except MemoryError as error:
        raise UnreadableImage("it takes more memory than there is") from error
    except Exception as error:
        reason, told = _reason(error), _told(error)
    try:
        content.seek(0)
        bare = without_metadata(content.read())
        if bare is not None:
            known = orientation_in_block(bare.exif)
            known = known._replace(note=known.note or f"metadata passed over: {told}")
            with _open(BytesIO(bare.content), max_pixels) as file:
                return use(file, known)
    except Exception as error:
        # What is told is what was wrong with the file as it is.
        raise UnreadableImage(reason) from error
    raise UnreadableImage(reason)


@contextmanager
def _open(content: BinaryIO, max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    """An image file of a format that is decoded; its pixels are not yet."""
    set_pillow(max_pixels)
    content.seek(0)
    head = content.read(HEAD)
    every = openers().values()
    known = (opener for opener in every if opener.knows(head))
    problem: Exception | None = None
    for opener in chain(known, (opener for opener in every if opener.accepts is None)):
        content.seek(0)
        try:
            # Not Image.open, which counts pixels before their number can be told, and calls all
            # that its openers raise unidentified.
            file = opener.factory(content, "")
        except Exception as error:
            if opener.accepts is not None:
                problem = problem or error
            continue
        pixels = file.width * file.height
        if pixels > max_pixels:
            raise UnreadableImage(too_large(pixels, max_pixels))
        with file:
            yield file
        return
    raise problem or UnreadableImage(_what_instead(head))


def _load(file: ImageFile.ImageFile) -> Orientation:
    """Decode the pixels; how they lie."""
    if hasattr(file, "tag_v2"):
        # Pillow turns a TIFF as it is loaded, unless its orientation was taken off it.
        found = orientation_of(file)
        file.load()
        return found
    # A PNG may say how it lies behind its pixels.
    file.load()
    return orientation_of(file)


def _what_instead(head: bytes) -> str:
    other = what_else(head)
    return str(other) if other.advice else "not an image, whatever its name says"


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "a picture within it has more pixels than are allowed (data.max_pixels)"
    return f"damaged or cut short ({_told(error)})"


def _told(error: Exception) -> str:
    told = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return "a text or colour profile is too large" if "MAX_TEXT" in told else told[:_MOST_LETTERS]


def _megapixels(pixels: int) -> str:
    return f"{pixels / 1e6:,.0f}" if pixels >= 10_000_000 else f"{pixels / 1e6:,.7g}"


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow's own conversion clips every value above 255 to white.
        high_bytes = np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255)
        image = Image.fromarray(high_bytes.astype(np.uint8), mode="L")
    if image.mode == "P":
        # By way of RGBA, because a palette's transparent entry has a colour too.
        image = image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")


def _middle(width: int, height: int) -> tuple[float, float, float, float]:
    """What is left of an image whose longer side sticks out: left, upper, right, lower."""
    across, down = min(width, LONGEST * height), min(height, LONGEST * width)
    left, upper = (width - across) / 2, (height - down) / 2
    return left, upper, left + across, upper + down
