"""Files of which Pillow would give the high byte of each value alone: they are refused.

Where few bits are used that byte is black, and nothing in the pixels tells so. What of such files
can be read whole is read by `wide_values`.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from PIL import ImageFile

_BITS, _PLANES = 258, 284
# Pillow's names of how pixels lie: "RGB;16B". BGR;16 is a format of 5, 6 and 5 bits.
_RAW = re.compile(r"(?!I;|BGR;).*;16[BLN]?")
# Those of them that `wide_values` reads.
_READ = re.compile(r"(RGB|RGBA|RGBX);16[BLN]|LA;16B")
# Where a JPEG 2000 stream begins, with its first segment; of it where the components are counted,
# and where the first of them says its bits.
_STREAM, _COUNT, _FIRST = b"\xff\x4f\xff\x51", 40, 42
_DEEPEST = 1 << 20


class Tile(NamedTuple):
    """How Pillow decodes a file: by which decoder, and as what.

    Attributes:
        raw: Empty where the decoder finds that out itself.
        rest: Its other arguments.
    """

    decoder: str
    raw: str
    rest: tuple[Any, ...]


def first_tile(file: ImageFile.ImageFile) -> Tile:
    """Of a file that is not decoded yet."""
    if not file.tile:
        return Tile("", "", ())
    decoder, _, _, arguments = file.tile[0]
    listed = arguments if isinstance(arguments, tuple) else (arguments,)
    raw = listed[0] if listed and isinstance(listed[0], str) else ""
    return Tile(decoder, raw, listed[1:])


def why_halved(file: ImageFile.ImageFile) -> str:
    """Which values of an open file would be halved; empty where none are."""
    what = _what(file)
    return f"{what}, of which only the high byte can be decoded here" if what else ""


def _what(file: ImageFile.ImageFile) -> str:
    tile = first_tile(file)
    tags = getattr(file, "tag_v2", None)
    if tags is not None and len(file.getbands()) > 1:
        deep = max(tags.get(_BITS, (1,))) > 8
        if deep and tags.get(_PLANES, 1) == 2:
            return "colours of 16 bits in separate planes"
    if tile.decoder == "SGI16" or (tile.decoder == "sgi_rle" and ";16" in tile.raw):
        return "SGI values of 16 bits"
    if tile.decoder in ("ppm", "ppm_plain") and file.mode == "RGB" and tile.rest[0] > 255:
        return "PPM colours of 16 bits"
    if tile.decoder == "jpeg2k" and len(file.getbands()) > 1 and _deepest_of_jpeg2000(file) > 8:
        return "JPEG 2000 colours of more than 8 bits"
    if _RAW.fullmatch(tile.raw) and not _READ.fullmatch(tile.raw):
        return f"values of 16 bits ({tile.raw.partition(';')[0]})"
    return ""


def _deepest_of_jpeg2000(file: ImageFile.ImageFile) -> int:
    """The most bits that a component of a JPEG 2000 file has; 0 where it does not say."""
    content: Any = file.fp
    at = content.tell()
    content.seek(0)
    head = content.read(_DEEPEST)
    content.seek(at)
    start = head.find(_STREAM)
    if start < 0:
        return 0
    count = int.from_bytes(head[start + _COUNT : start + _COUNT + 2])
    # Of each component three bytes; the bits less one, and the sign in the highest place.
    depths = head[start + _FIRST : start + _FIRST + 3 * count : 3]
    return max(((depth & 0x7F) + 1 for depth in depths), default=0)
