"""Images of more than 8 bits a value: which these are, and how one range makes 8 bits of them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageFile

from twinrun.data.high_bytes import first_tile
from twinrun.data.opening import decoder

# Values worked on at a time: what is between takes eight bytes each.
_BLOCK = 1 << 20
# How Pillow unpacks colours of 16 bits: it keeps the byte that comes first (B), last (L), or that
# is the high one on this machine (N).
_COLOURS = re.compile(r"(RGB|RGBA|RGBX|LA(?=;16B));16([BLN])")
_OTHER_BYTE = {"B": "L", "L": "B"}


class Values(NamedTuple):
    """What the values of an image reach.

    Attributes:
        lowest: Of those that are finite numbers.
        highest: Of these.
        not_numbers: How many are none (NaN).
    """

    lowest: float
    highest: float
    not_numbers: int


class ValueRange(NamedTuple):
    """From which value to which an image's values are seen: `low` becomes 0 and `high` 255.

    What lies beyond is clipped, and what is no number (NaN) is taken for the lowest. The result
    depends on the value alone. It is worked out by single operations on float64, which all machines
    round in the same way.
    """

    low: float
    high: float

    @property
    def words(self) -> str:
        """`0 to 4095`."""
        return f"{number(self.low)} to {number(self.high)}"

    def to_bytes(self, values: np.ndarray) -> np.ndarray:
        """Values as 8 bits, rounded to the nearest: uint8 of the same shape."""
        found = np.empty(values.shape, np.uint8)
        for part, target in zip(_blocks(values), _blocks(found), strict=True):
            # NumPy warns of a NaN that says "signal me".
            with np.errstate(invalid="ignore"):
                exact = np.nan_to_num(part.astype(np.float64), nan=self.low)
            np.clip(exact, self.low, self.high, out=exact)
            exact -= self.low
            exact *= 255
            exact /= self.high - self.low
            target[:] = np.floor(exact + 0.5)
        return found

    def image(self, values: np.ndarray) -> Image.Image:
        """Values as an image of mode L or RGB.

        Args:
            values: rows x columns, or rows x columns x 3.
        """
        return Image.fromarray(self.to_bytes(values))


def number(value: float) -> str:
    """A value as a text: `4095`, `0.1568627`."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.7g}"


def exact_number(value: float) -> str:
    """As `number`, with all digits that it takes to get the same value again."""
    return repr(value).removesuffix(".0")


def load_whole(file: ImageFile.ImageFile) -> None:
    """Decode the pixels of a file."""
    file.load()


def is_wide(file: ImageFile.ImageFile) -> bool:
    """Whether an open file has more than 8 bits a value, and does not say itself what they mean."""
    return file.mode.startswith(("I", "F")) or _colours(file) is not None


def wide_values(
    file: ImageFile.ImageFile,
    again: Callable[[], ImageFile.ImageFile],
    load: Callable[[ImageFile.ImageFile], object] = load_whole,
) -> np.ndarray:
    """The values of a wide image, as they lie in the file; transparency is left out.

    Args:
        file: That is wide; its pixels are decoded by this.
        again: Opens it once more: Pillow gives one of two bytes of a colour at a time.
        load: Decodes the pixels of one of them.

    Returns:
        rows x columns, or rows x columns x 3 for colours: uint16, int32, uint32 or float32.
    """
    colours = _colours(file)
    if colours is None:
        unsigned = first_tile(file).raw in ("I;32", "I;32N")
        values = _loaded(file, load)
        # Pillow has no mode for these.
        return values.view(np.uint32) if unsigned and values.dtype == np.int32 else values
    high = _loaded(file, load).astype(np.uint16)
    low = _low_bytes(again(), load, *colours)
    channels = 0 if colours[0] == "LA" else slice(3)
    both: np.ndarray = (high[..., channels] << 8) | low[..., channels]
    return both


def _loaded(file: ImageFile.ImageFile, load: Callable[[ImageFile.ImageFile], object]) -> np.ndarray:
    with decoder():
        load(file)
        # A copy, because a TIFF that lies on a side keeps the size that it has upright.
        return np.asarray(file.copy())


def values_of(values: np.ndarray) -> Values | None:
    """What values reach; None where none of them is a finite number."""
    lowest, highest, not_numbers = np.inf, -np.inf, 0
    for part in _blocks(values):
        finite = part
        if part.dtype.kind == "f":
            not_numbers += int(np.isnan(part).sum())
            finite = part[np.isfinite(part)]
        if finite.size:
            lowest = min(lowest, float(finite.min()))
            highest = max(highest, float(finite.max()))
    return None if lowest > highest else Values(lowest, highest, not_numbers)


def _blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    """Whole rows of an array, about _BLOCK values at a time."""
    rows = max(1, _BLOCK // max(1, values[:1].size))
    for start in range(0, len(values), rows):
        yield values[start : start + rows]


def _colours(file: ImageFile.ImageFile) -> tuple[str, str] | None:
    """Of a file of 16 bits a colour what its pixels hold, and which byte is taken of each."""
    found = _COLOURS.fullmatch(first_tile(file).raw)
    return None if found is None else (found[1], found[2])


def _low_bytes(
    file: ImageFile.ImageFile,
    load: Callable[[ImageFile.ImageFile], object],
    kind: str,
    byte: str,
) -> np.ndarray:
    """The bytes that Pillow leaves out: rows x columns x channels, uint16."""
    if byte == "N":
        byte = "L" if sys.byteorder == "little" else "B"
    # Of grey with transparency, which is in PNG alone, all four bytes are taken for channels.
    raw = "RGBA" if kind == "LA" else f"{kind};16{_OTHER_BYTE[byte]}"

    def exchanged(arguments: Any) -> Any:
        return (raw, *arguments[1:]) if isinstance(arguments, tuple) else raw

    file.tile = [tile._replace(args=exchanged(tile.args)) for tile in file.tile]
    found = _loaded(file, load).astype(np.uint16)
    return found[..., 1::2] if kind == "LA" else found
