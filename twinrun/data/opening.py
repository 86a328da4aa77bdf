"""An image file, opened by who knows its first bytes: with its metadata, or else without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import chain
from typing import BinaryIO, NamedTuple, TypeVar

from PIL import Image, ImageFile

from twinrun.data.bare import without_metadata
from twinrun.data.high_bytes import why_halved
from twinrun.data.hindered import Hindered, hindrance
from twinrun.data.orientation import Orientation, orientation_in_block, orientation_of
from twinrun.image_formats import HEAD, Opener, openers, set_pillow, what_else

# Of an image, unless data.max_pixels says otherwise: the largest photos that are taken.
MOST_PIXELS = 500_000_000
_JPEG, _END_OF_JPEG = b"\xff\xd8\xff", b"\xff\xd9"
# What a library says of a file may quote the file.
_MOST_LETTERS = 200

_T = TypeVar("_T")


class UnreadableImage(Exception):
    """A file from which no image can be read; says why, in words for a list of files."""


class _Damaged(UnreadableImage):
    """A decoder stopped at the file; `told` is what it said."""

    def __init__(self, error: Exception) -> None:
        super().__init__(_reason(error))
        self.told = _told(error)


# What reading an image raises, and nothing else: the file cannot be opened, it is no image, or the
# machine is in the way.
UNREADABLE = (OSError, UnreadableImage, Hindered)


class Opened(NamedTuple):
    """An image file whose pixels are not decoded yet, and what opens it once more."""

    file: ImageFile.ImageFile
    again: Callable[[], ImageFile.ImageFile]


@contextmanager
def decoder() -> Iterator[None]:
    """Where a decoder is called: it raises whatever it likes for a damaged file.

    Raises:
        UnreadableImage: For all of that.
        Hindered: For what is not the file's.
    """
    try:
        yield
    except UnreadableImage:
        raise
    except Exception as error:
        if why := hindrance(error):
            raise Hindered(why) from error
        raise _Damaged(error) from error


def read_opened(
    content: BinaryIO,
    max_pixels: int,
    use: Callable[[Opened, Orientation | None], _T],
) -> _T:
    """What `use` makes of an image file that is opened, with its metadata or else without.

    `use` is told how the picture lies where that is known already. What it calls of a decoder
    stands within `decoder`; what else it raises is its own fault, and comes through.

    Raises:
        Exception: One of UNREADABLE.
    """
    try:
        return _with_metadata_or_without(content, max_pixels, use)
    except (MemoryError, OSError) as error:
        if why := hindrance(error):
            raise Hindered(why) from error
        raise


def _with_metadata_or_without(
    content: BinaryIO, max_pixels: int, use: Callable[[Opened, Orientation | None], _T]
) -> _T:
    try:
        with _open(content, max_pixels) as opened:
            return use(opened, None)
    except _Damaged as error:
        damaged = error
    content.seek(0)
    bare = without_metadata(content.read())
    if bare is None:
        raise damaged
    known = orientation_in_block(bare.exif)
    known = known._replace(note=known.note or f"metadata passed over: {damaged.told}")
    try:
        with _open(BytesIO(bare.content), max_pixels) as opened:
            return use(opened, known)
    except UnreadableImage as error:
        # What is told is what was wrong with the file as it is.
        raise damaged from error


def read_part(
    content: BinaryIO, max_pixels: int, use: Callable[[Opened, Orientation | None], _T]
) -> _T:
    """What `use` makes of a file that `read_opened` refuses, where it takes what there is of it.

    A JPEG is ended where it was cut, which is what its decoder waits for. Of other formats `use`
    gets the file as it is, and finds out itself how far it goes: see `load_part`. Pillow's own way
    is a switch for the whole process, which all its threads obey.
    """
    content.seek(0)
    there = content.read()
    ended = there + _END_OF_JPEG if there.startswith(_JPEG) else there
    return read_opened(BytesIO(ended), max_pixels, use)


def load_part(file: ImageFile.ImageFile) -> None:
    """Decode what there is of a file's pixels; the others stay as they were, which is 0.

    Raises:
        Exception: As its decoder, where it has not even begun.
    """
    try:
        file.load()
    except Exception as error:
        if file._im is None or hindrance(error):
            raise
        # What is decoded stays, and nobody begins again.
        file.tile = []


def too_large(pixels: int, max_pixels: int) -> str:
    """Why an image of so many pixels is refused where fewer are allowed."""
    return (
        f"{_megapixels(pixels)} megapixels, allowed are {_megapixels(max_pixels)} (data.max_pixels)"
    )


def why_unreadable(error: Exception) -> str:
    """One of UNREADABLE in words, for a list of files."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


@contextmanager
def _open(content: BinaryIO, max_pixels: int) -> Iterator[Opened]:
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
            width, height = file.size  # of a damaged IM file these may be three
        except Exception as error:
            if why := hindrance(error):
                raise Hindered(why) from error
            if opener.accepts is not None:
                problem = problem or error
            continue
        if width * height > max_pixels:
            raise UnreadableImage(too_large(width * height, max_pixels))
        if why := why_halved(file):
            raise UnreadableImage(why)

        def again(opener: Opener = opener) -> ImageFile.ImageFile:
            content.seek(0)
            with decoder():
                other: ImageFile.ImageFile = opener.factory(content, "")
                if hasattr(other, "tag_v2"):  # else Pillow turns it; of a PNG this decodes it
                    orientation_of(other)
            return other

        with file:
            yield Opened(file, again)
        return
    if problem:
        raise _Damaged(problem) from problem
    raise UnreadableImage(_what_instead(head))


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
