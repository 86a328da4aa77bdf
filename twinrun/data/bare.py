"""An image file without its metadata: what is left where a damaged part of it stops a decoder.

Colour profiles, texts, dates and thumbnails decide no pixel here. So a file that cannot be read as
it is, because one of them is damaged, larger than the decoder takes, or of a different kind than
it says, is read without them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_PNG = b"\x89PNG\r\n\x1a\n"
# The chunks that decide pixels; the last three are those of an animation.
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT")
_JPEG = b"\xff\xd8\xff"
_EXIF = b"Exif\x00\x00"
# Segments of applications, and comments; the first and the one of Adobe say how colours are coded.
_JPEG_DROPPED = {*range(0xE1, 0xEE), 0xEF, 0xFE}
# Markers without a length, which may stand between segments.
_ALONE = {0x01, *range(0xD0, 0xD8)}
_SCAN = 0xDA


class Bare(NamedTuple):
    """A file without its metadata.

    Attributes:
        content: Of the file.
        exif: What its EXIF block held; None where there was none.
    """

    content: bytes
    exif: bytes | None


def without_metadata(content: bytes) -> Bare | None:
    """A JPEG or PNG without its metadata; None for a file of another format, or beyond reading."""
    if content.startswith(_JPEG):
        parts = list(_jpeg_segments(content))
        kept = [part for marker, part in parts if marker not in _JPEG_DROPPED]
        blocks = [part[4:] for marker, part in parts if marker == 0xE1]
        exif = next((block for block in blocks if block.startswith(_EXIF)), None)
        return Bare(b"\xff\xd8" + b"".join(kept), exif)
    if content.startswith(_PNG):
        chunks = list(_png_chunks(content))
        kept = [part for kind, part in chunks if kind in _PNG_KEPT]
        exif = next((part[8:-4] for kind, part in chunks if kind == b"eXIf"), None)
        return Bare(_PNG + b"".join(kept), exif)
    return None


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Of each segment its marker and all its bytes; the first scan goes to the file's end."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == _SCAN:
            break
        end = at + 2
        if marker not in _ALONE:
            end += int.from_bytes(content[at + 2 : at + 4])
        yield marker, content[at:end]
        at = end
    yield _SCAN, content[at:]


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Of each chunk its type and all its bytes."""
    at = len(_PNG)
    while at < len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4])
        yield content[at + 4 : at + 8], content[at:end]
        at = end
