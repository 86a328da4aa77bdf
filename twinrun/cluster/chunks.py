"""How images lie in a storage: one after the other, cut into chunks, and a table of the rows.

They follow in the order of the SHA-256 of their files. A chunk is cut between images and named by
its bytes' place, such as `000000000000-000000884736.u8`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twinrun.cluster.storage import SHARED
from twinrun.console import progress_bars
from twinrun.data.cache_files import COLUMNS, UNREADABLE_ROWS, read_rows
from twinrun.files import sha256_json

if TYPE_CHECKING:
    import pandas as pd

# Pieces under way at once: one connection to an object store is slower than a network.
AT_ONCE = 4
# Bytes: what a kill may lose, and what one that is under way takes on the disk.
_CHUNK = 256_000_000
# What decides where an image is and which bits it has.
_DECIDES = ["offset", "rows", "columns", "digest"]


@dataclass(frozen=True)
class Chunk:
    """Some images that follow each other.

    Attributes:
        rows: Theirs in the table.
        start, stop: Their bytes in the array.
    """

    rows: slice
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The file's."""
        return f"{self.start:012d}-{self.stop:012d}.u8"

    @property
    def images(self) -> int:
        """How many they are."""
        return int(self.rows.stop - self.rows.start)

    @property
    def nbytes(self) -> int:
        """How much they take."""
        return self.stop - self.start


@dataclass(frozen=True)
class SharedSize:
    """The images of one size in a storage.

    Attributes:
        size: The shorter side of every image, in pixels.
        digest: Of the rows of their table.
        array: The cache's array, where nodes read that; None where there are chunks.
    """

    size: int
    digest: str
    array: Path | None

    @property
    def folder(self) -> str:
        """The name of their folder in the storage."""
        return f"{SHARED}/pixels/{self.size}px-{self.digest[:12]}"

    def table(self, path: Path) -> pd.DataFrame | None:
        """Read their table from a file; None where there is none, or a different one."""
        try:
            table = read_rows(path, COLUMNS)
        except UNREADABLE_ROWS:
            return None
        return table if table_digest(table) == self.digest else None


def pack_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The table of the same images without gaps."""
    ends = (table["rows"] * table["columns"] * 3).to_numpy(np.int64).cumsum()
    return table.assign(offset=np.r_[0, ends[:-1]])


def table_digest(table: pd.DataFrame) -> str:
    """SHA-256 of a table's rows: of which files, where, and which bits; in hexadecimal."""
    return sha256_json([table.index.tolist(), *(table[name].tolist() for name in _DECIDES)])


def cut_chunks(table: pd.DataFrame) -> list[Chunk]:
    """The images of a table without gaps in chunks of at most 256 MB, or of one image."""
    starts = table["offset"].tolist()
    stops = (table["offset"] + table["rows"] * table["columns"] * 3).tolist()
    chunks, first = [], 0
    for row in range(1, len(table) + 1):
        if row == len(table) or stops[row] - starts[first] > _CHUNK:
            chunks.append(Chunk(slice(first, row), starts[first], stops[row - 1]))
            first = row
    return chunks


def process_chunks(chunks: Sequence[Chunk], work: Callable[[Chunk], None], title: str) -> None:
    """Do something with each chunk, some at once, under a bar of images; the first error ends it.

    Args:
        chunks: In the order in which they are begun.
        work: Called in threads.
        title: Of the bar.
    """
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        with progress_bars() as bars:
            bar = bars.add_task(title, total=sum(chunk.images for chunk in chunks), note="")
            for chunk, _ in zip(chunks, pool.map(work, chunks), strict=True):
                bars.advance(bar, chunk.images)
    finally:
        pool.shutdown(cancel_futures=True)
