"""How a picture lies in its file: EXIF's orientation, read by itself."""

from __future__ import annotations

from typing import NamedTuple

from PIL import ExifTags, Image

from twinrun.data.hindered import hindrance

_TAG = int(ExifTags.Base.Orientation)
_ORDERS = {b"II*\x00": "little", b"MM\x00*": "big"}
# Bytes of a whole number, by its type in a TIFF directory.
_WHOLE = {1: 1, 3: 2, 4: 4}
_ENTRY = 12

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Orientation(NamedTuple):
    """How a picture lies in its file.

    Attributes:
        number: EXIF's, from 1 for upright to 8.
        note: Why it is not known, and 1 is taken; empty where it is.
    """

    number: int = 1
    note: str = ""

    @property
    def swaps_sides(self) -> bool:
        """Whether height and width change when it is turned upright."""
        return self.number >= 5

    def upright(self, image: Image.Image) -> Image.Image:
        """The picture, turned upright."""
        return image.transpose(_TURNS[self.number]) if self.number in _TURNS else image


def orientation_of(file: Image.Image) -> Orientation:
    """How the picture of an open file lies; whatever its metadata are, they do not stop it.

    Metadata are taken off the file, since Pillow would turn a TIFF by them, and stop at what it
    cannot read there.
    """
    raw = file.info.get("exif")
    # Of a TIFF it is a tag beside those that say where its pixels are.
    tags = getattr(file, "tag_v2", {})
    try:
        value = orientation_in(raw) if isinstance(raw, bytes) else tags.get(_TAG)
        if value is None:
            # Some programs write it as XMP alone.
            value = file.getexif().get(_TAG, 1)
        found = _known(value)
    except Exception as error:
        if hindrance(error):
            raise
        found = Orientation(note=f"metadata cannot be read ({str(error)[:100] or type(error)})")
    exif = file.getexif()
    for tag in set(exif):
        del exif[tag]
    return found


def orientation_in_block(exif: bytes | None) -> Orientation:
    """As `orientation_of`, from an EXIF block alone."""
    try:
        value = orientation_in(exif) if exif else None
    except ValueError as error:
        return Orientation(note=f"metadata cannot be read ({error})")
    return _known(1 if value is None else value)


def orientation_in(exif: bytes) -> int | None:
    """The orientation in an EXIF block, whatever else stands there; None where it has none.

    Raises:
        ValueError: It is no such block, it is cut short, or the orientation is no whole number.
    """
    while exif.startswith(b"Exif\x00\x00"):
        exif = exif[6:]
    if not exif:
        return None
    order = _ORDERS.get(exif[:4])
    if order is None:
        raise ValueError("no EXIF block")

    def number(start: int, size: int) -> int:
        if start + size > len(exif):
            raise ValueError("EXIF is cut short")
        return int.from_bytes(exif[start : start + size], order)  # type: ignore[arg-type]

    directory = number(4, 4)
    for entry in range(number(directory, 2)):
        at = directory + 2 + _ENTRY * entry
        if number(at, 2) == _TAG:
            kind, count = number(at + 2, 2), number(at + 4, 4)
            if kind not in _WHOLE or count != 1:
                raise ValueError("EXIF orientation is no number")
            return number(at + 8, _WHOLE[kind])
    return None


def _known(value: object) -> Orientation:
    # 0 is what cameras write that do not know it.
    if value in (0, 1):
        return Orientation()
    if isinstance(value, int) and value in _TURNS:
        return Orientation(value)
    return Orientation(note=f"EXIF orientation {str(value)[:20]!r}: there is no such")
