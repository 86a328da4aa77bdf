"""Image files decoded to the sizes that are wanted, by many threads: large ones one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from pathlib import Path
from threading import Lock

from twinrun.data.decode_settings import DecodeSettings
from twinrun.data.decoding import DecodedImage, Header, decode_to, read_header
from twinrun.data.wide_values import ValueRange

# Images with more pixels are decoded one at a time; those that are wide count as `Header.load`.
LARGE = 64 << 20


class LargeOnesAlone:
    """Lets threads decode together, but of images that take the memory of many one at a time."""

    def __init__(self) -> None:
        self._alone = Lock()

    def turn(self, load: int) -> AbstractContextManager[object]:
        """To be held while an image is decoded.

        Args:
            load: As `Header.load` counts its pixels.
        """
        return self._alone if load > LARGE else nullcontext()


class ImageDecoder:
    """Decodes by the competitor's own reader, if there is one, and else as the engine reads.

    Args:
        how: As the settings say.
        scale: The range in which images of more than 8 bits a value are seen; None: such an image
            is refused.
    """

    def __init__(self, how: DecodeSettings, scale: ValueRange | None) -> None:
        self.how, self.scale = how, scale
        self._large = LargeOnesAlone()

    def header(self, path: Path) -> Header:
        """As `read_header`; an own reader has to read all of the image for it.

        Raises:
            Exception: One of UNREADABLE.
        """
        if self.how.reader is not None:
            return Header(*self.how.reader.read(path).size, wide=False)
        return read_header(path, max_pixels=self.how.max_pixels)

    def decode(
        self, path: Path, content: bytes, sizes: Sequence[int], load: int | None = None
    ) -> list[DecodedImage]:
        """An image in each of some sizes.

        Args:
            path: Its file, which an own reader opens by itself.
            content: Of the file, which the engine reads.
            sizes: Shorter sides, in pixels.
            load: As `Header.load`, where that is known.

        Raises:
            Exception: One of UNREADABLE.
        """
        how = self.how
        if how.reader is not None:  # which reads one image after the other
            return [how.reader.decode(path, size) for size in sizes]
        if load is None:
            load = read_header(BytesIO(content), max_pixels=how.max_pixels).load
        with self._large.turn(load):
            return [
                decode_to(
                    BytesIO(content),
                    size,
                    max_pixels=how.max_pixels,
                    scale=self.scale,
                    part=how.part,
                )
                for size in sizes
            ]
