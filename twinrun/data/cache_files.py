"""A cache on the disk: a folder for one size and one recipe, such as `224px-1f3a9c02b7de`.

- `pixels.u8`: images one after the other, each rows x columns x 3, uint8. It only grows, so that
  who reads it is never disturbed by who adds to it.
- `rows.parquet`: where in it each image is, by the SHA-256 of its file, with the XXH3-128 of its
  pixels. It ends in a digest of itself, and is moved into place whole.
- `.lock`: while somebody adds to it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import xxhash
from pyarrow import parquet

from twinrun.console import say
from twinrun.data.decoding import DecodedImage, bytes_digest
from twinrun.data.wide_values import Values
from twinrun.files import whole_file
from twinrun.locks import LOCK, try_lock
from twinrun.plain_files import plain, read_bytes

ARRAY, TABLE = "pixels.u8", "rows.parquet"
# What decoding shows of a file.
OF_THE_FILE = [
    "format",
    "mode",
    "width",
    "height",
    "orientation",
    "note",
    "missing",
    "wide",
    "lowest",
    "highest",
    "not_numbers",
]
COLUMNS = ["offset", "rows", "columns", "digest", *OF_THE_FILE]
# Images handled between two looks at the clock: what waits for a thread takes little memory then.
BLOCK = 256
# Of the digest that a table ends in.
_DIGEST_BYTES = 16

_T = TypeVar("_T")


def read_table(folder: Path) -> pd.DataFrame:
    """rows.parquet of a cache, as `read_kept_rows`."""
    return read_kept_rows(folder / TABLE, COLUMNS, "decoding")


def write_table(
    folder: Path, table: pd.DataFrame, added: dict[str, dict[str, Any]]
) -> pd.DataFrame:
    """Write rows.parquet with more images, by the SHA-256 of the file; the whole of it."""
    new = pd.DataFrame.from_dict(added, orient="index", columns=COLUMNS)
    whole = new if table.empty else pd.concat([table, new])
    write_rows(folder / TABLE, whole)
    return whole


def row_of(found: DecodedImage, offset: int) -> dict[str, Any]:
    """The row of an image: a value for each of COLUMNS.

    Args:
        found: The image.
        offset: Of its first byte in the array.
    """
    return {
        "offset": offset,
        "rows": found.image.height,
        "columns": found.image.width,
        "digest": found.digest,
        "format": found.format,
        "mode": found.mode,
        "width": found.width,
        "height": found.height,
        "orientation": found.orientation,
        "note": found.note,
        "missing": found.missing,
        "wide": found.values is not None,
        **(found.values or Values(0.0, 0.0, 0))._asdict(),
    }


# What `read_rows` raises for a file that is missing, damaged or of other columns.
UNREADABLE_ROWS = (pa.ArrowException, OSError, KeyError, ValueError)


def read_rows(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A file of rows by the SHA-256 of a file, as `write_rows` wrote it.

    Raises one of UNREADABLE_ROWS: nothing is parsed that has not the right digest.
    """
    content = read_bytes(path)
    rows, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if xxhash.xxh3_128_digest(rows) != digest:
        raise ValueError(f"{path} was changed since it was written")
    file = parquet.ParquetFile(pa.BufferReader(rows))
    table: pd.DataFrame = file.read(["sha256", *columns], use_threads=False).to_pandas()
    return table.set_index("sha256")


def read_kept_rows(path: Path, columns: Sequence[str], doing: str = "looking at") -> pd.DataFrame:
    """As `read_rows`; none where there is no such file, or, which is said, a damaged one.

    Args:
        path: The file.
        columns: Of the table.
        doing: What is done again with the images of a damaged one.
    """
    try:
        return read_rows(path, columns)
    except FileNotFoundError:
        pass
    except UNREADABLE_ROWS:
        say(("damaged", "yellow"), f"   {path}: {doing} its images again")
    return pd.DataFrame(columns=list(columns), index=pd.Index([], dtype=str))


def write_rows(path: Path, table: pd.DataFrame) -> None:
    """Write such rows: a parquet file, and behind it the XXH3-128 of all its bytes.

    Its own checksums are of its pages alone, and not of what says where they are.

    Raises:
        InputError: The file cannot be written.
    """
    rows = pa.Table.from_pandas(table.rename_axis("sha256").reset_index(), preserve_index=False)
    sink = pa.BufferOutputStream()
    parquet.write_table(rows, sink)
    content = sink.getvalue().to_pybytes()
    with whole_file(path) as temporary:
        temporary.write_bytes(content + xxhash.xxh3_128_digest(content))


def find_damaged_rows(folder: Path, used: pd.DataFrame) -> pd.Index:
    """Which of some rows of a table have pixels that do not agree with their digest."""
    try:
        array = (
            np.memmap(plain(folder / ARRAY), np.uint8, "r") if len(used) else np.empty(0, np.uint8)
        )
    except (OSError, ValueError):
        return used.index

    def agrees(row: Any) -> bool:
        pixels = array[row.offset : row.offset + row.rows * row.columns * 3]
        return bool(bytes_digest(pixels.data, row.columns, row.rows) == row.digest)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        blocks = in_blocks(list(used.itertuples()))
        good = [same for block in blocks for same in pool.map(agrees, block)]
    return used.index[~np.array(good, bool)]


@dataclass(frozen=True)
class CacheFolder:
    """A cache on the disk: its folder's name, images and bytes."""

    name: str
    images: int
    nbytes: int


def list_caches(cache: Path) -> list[CacheFolder]:
    """The caches in a folder, by name."""
    return [
        CacheFolder(
            folder.name, len(read_table(folder)), sum(f.stat().st_size for f in folder.iterdir())
        )
        for folder in _folders(cache)
    ]


def clear_caches(cache: Path) -> None:
    """Remove all caches in a folder.

    Raises:
        InputError: Somebody adds to one, or it cannot be removed.
    """
    for folder in _folders(cache):
        with try_lock(folder, "being added to"):
            # The table first: without it nothing of the array is ever used.
            for path in sorted(folder.iterdir(), key=lambda path: path.name != TABLE):
                if path.name != LOCK:
                    path.unlink()
        with suppress(OSError):
            folder.rmdir()
    for path in cache.glob("values-*.parquet"):
        path.unlink()
    # What the nodes of a cluster were handed; the next run hands it to them again.
    shutil.rmtree(cache / "shared", ignore_errors=True)
    with suppress(OSError):
        cache.rmdir()


def _folders(cache: Path) -> list[Path]:
    return sorted(path.parent for path in cache.glob(f"*px-*/{ARRAY}"))


def in_blocks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """BLOCK at a time."""
    for start in range(0, len(items), BLOCK):
        yield items[start : start + BLOCK]
