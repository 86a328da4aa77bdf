"""Small pictures of the data's images, as data URIs within a page."""

from __future__ import annotations

import base64
import io
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from twinrun.console import count_of
from twinrun.data.decode_settings import DecodeSettings
from twinrun.data.image_decoder import ImageDecoder
from twinrun.data.opening import UNREADABLE
from twinrun.data.own_reader import OwnReader
from twinrun.data.wide_values import ValueRange
from twinrun.files import sha256_file
from twinrun.plain_files import read_bytes

# Pixels of the shorter side; a page shows them at most so large.
_SIZE = 112
_QUALITY = 72
# So many keep a page of a few hundred kilobytes.
MOST = 160


@dataclass(frozen=True)
class Thumbnail:
    """A picture that a page holds.

    Attributes:
        uri: A JPEG as data URI.
        width, height: In pixels.
    """

    uri: str
    width: int
    height: int


class Thumbnails:
    """Makes thumbnails of the images of an index, at most MOST different ones.

    An image whose file is not there any more, or is not the one that the run was made from, has
    none; `why` says so.

    Args:
        folder: The data folder, as it was recorded or named.
        index: Of the run, with part, id, path and sha256; None where the run has none.
        scale: The range that the run saw images of more than 8 bits a value in; None without such.
        reader: The competitor's own way to read them; None without such.
        part: Of files that are cut short the run saw what is there.
    """

    def __init__(
        self,
        folder: Path,
        index: pd.DataFrame | None,
        scale: ValueRange | None = None,
        reader: OwnReader | None = None,
        *,
        part: bool = False,
    ) -> None:
        self._folder = folder
        how = DecodeSettings(max_pixels=sys.maxsize, part=part, reader=reader)
        self._decoder = ImageDecoder(how, scale)
        self._files: dict[tuple[str, str], tuple[str, str]] = {}
        if index is not None:
            keys = zip(index["part"], index["id"], strict=True)
            values = zip(index["path"], index["sha256"], strict=True)
            self._files = dict(zip(keys, values, strict=True))
        self._made: dict[tuple[str, str], Thumbnail | None] = {}
        self._without_index = index is None
        self._gone = self._changed = self._too_many = 0

    def of(self, part: str, image: str) -> Thumbnail | None:
        """The thumbnail of an image, None where there is none.

        Args:
            part: "train" or "test".
            image: Its id.
        """
        key = (part, image)
        if key not in self._made and key in self._files:
            if sum(made is not None for made in self._made.values()) < MOST:
                self._made[key] = self._make(*self._files[key])
            else:
                self._too_many += 1
                self._made[key] = None
        return self._made.get(key)

    @property
    def why(self) -> str:
        """A sentence or more about what has no thumbnail; empty when all asked for have one."""
        sentences = []
        if self._without_index:
            sentences.append("Without thumbnails: the run has no index.parquet.")
        if self._gone:
            sentences.append(
                f"{count_of(self._gone, 'image')} without a thumbnail: not in {self._folder} any "
                "more, or not readable. `twinrun report RUN --data DIR` names where the data is "
                "now."
            )
        if self._changed:
            sentences.append(
                f"{count_of(self._changed, 'image')} without a thumbnail: a different file than "
                "the run was made from."
            )
        if self._too_many:
            sentences.append(
                f"{count_of(self._too_many, 'image')} without a thumbnail: a page holds {MOST}."
            )
        return " ".join(sentences)

    def _make(self, path: str, digest: str) -> Thumbnail | None:
        file = (self._folder / path).resolve()
        try:
            # The index may come from elsewhere: it must not reach out of the data folder.
            if not file.is_relative_to(self._folder.resolve()) or not file.is_file():
                self._gone += 1
                return None
            if sha256_file(file) != digest:
                self._changed += 1
                return None
            [found] = self._decoder.decode(file, read_bytes(file), [_SIZE])
        except UNREADABLE:
            self._gone += 1
            return None
        content = io.BytesIO()
        found.image.save(content, "JPEG", quality=_QUALITY)
        uri = "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")
        return Thumbnail(uri, found.image.width, found.image.height)
