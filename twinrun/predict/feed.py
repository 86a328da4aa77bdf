"""New images, decoded ahead of the networks: a few at a time, and never all of them.

A file is decoded from the bytes that are digested. Its header may have been looked at before
(`Decoder.problem`), and a competitor's `read_image` opens it by its path, once for each size.
Threads decode what comes next while the networks compute, since Pillow lets other threads run.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from twinrun.data.decode_settings import DecodeSettings
from twinrun.data.decoding import read_header
from twinrun.data.hindered import hindrance, is_of_the_folder
from twinrun.data.hindered_images import hindered_images
from twinrun.data.image_decoder import ImageDecoder
from twinrun.data.opening import UNREADABLE, why_unreadable
from twinrun.data.pixels import PixelRows
from twinrun.data.wide_values import ValueRange
from twinrun.plain_files import read_bytes
from twinrun.predict.images import NewImages


@dataclass(frozen=True)
class Decoded:
    """An image in the sizes that members see it from.

    Attributes:
        id: Its name.
        sha256: Of its file; empty where that cannot be read.
        pixels: By size, rows x columns x 3, uint8; empty where it cannot be decoded.
        digest: Of its pixels in the largest size, by which copies are told.
        problem: Why it cannot be decoded; empty where it can be.
        missing: Why only a part of it is there; empty where it is whole.
    """

    id: str
    sha256: str
    pixels: dict[int, np.ndarray]
    digest: str = ""
    problem: str = ""
    missing: str = ""


class HeldRows(PixelRows):
    """Decoded images that lie in memory, in place of a cache's array.

    Args:
        size: The shorter side of every image.
        images: Each rows x columns x 3, uint8.
    """

    def __init__(self, size: int, images: Sequence[np.ndarray]) -> None:
        places = [[0, *image.shape[:2]] for image in images]
        super().__init__(Path(), size, np.array(places, np.int64).reshape(-1, 3))
        self._images = images

    def image(self, position: int) -> np.ndarray:
        """As the class above."""
        return self._images[position]


class Decoder:
    """Decodes files as a run did.

    Args:
        how: As its settings say.
        sizes: To which its members want them.
    """

    def __init__(self, how: DecodeSettings, sizes: Sequence[int]) -> None:
        self.how, self.sizes = how, sorted(set(sizes))
        scale = how.scale if isinstance(how.scale, ValueRange) else None
        self._images = ImageDecoder(how, scale)

    def problem(self, path: Path) -> str:
        """Why a file cannot be read, as far as its first bytes show; empty where they do not."""
        if self.how.reader is not None:
            return ""
        try:
            read_header(path, max_pixels=self.how.max_pixels)
        except UNREADABLE as error:
            return why_unreadable(error)
        return ""

    def decode(self, name: str, path: Path) -> Decoded:
        """Read and digest an image's file, and decode it to each size.

        Raises:
            InputError: Its reading was hindered.
        """
        sha256 = ""
        try:
            content = read_bytes(path)
            sha256 = hashlib.sha256(content).hexdigest()
            found = self._images.decode(path, content, self.sizes)
        except UNREADABLE as error:
            why = why_unreadable(error)
            of_the_folder = isinstance(error, OSError) and is_of_the_folder(error)
            if hindrance(error) and not of_the_folder:
                raise hindered_images({path.name: why}, 1, path.parent) from error
            return Decoded(name, sha256, {}, problem=why)
        pixels = {
            size: np.asarray(each.image) for size, each in zip(self.sizes, found, strict=True)
        }
        return Decoded(name, sha256, pixels, digest=found[-1].digest, missing=found[-1].missing)


def decode_ahead(
    images: NewImages, decoder: Decoder, *, threads: int, chunk: int
) -> Iterator[list[Decoded]]:
    """All images in their order, so many at a time; the next ones are decoded meanwhile.

    Args:
        images: Which.
        decoder: How.
        threads: That decode.
        chunk: Images that are given out together, and that are decoded ahead.
    """
    pool = ThreadPoolExecutor(threads)
    try:
        todo = zip(images.ids, images.paths, strict=True)
        waiting: deque[Future[Decoded]] = deque()

        def begin(count: int) -> None:
            waiting.extend(pool.submit(decoder.decode, *each) for each in islice(todo, count))

        begin(chunk)
        while waiting:
            found = []
            for _ in range(min(chunk, len(waiting))):
                found.append(waiting.popleft().result())
                begin(1)
            yield found
    finally:
        pool.shutdown(cancel_futures=True)
