"""Decoded images and the index, handed to every node once: bit for bit what the driver has.

In the storage there are, below `cache/shared`:

- `pixels/<size>px-<digest>/`: the images of an index in chunks (`chunks`), and `rows.parquet`,
  published last; the digest is that of the rows. In a shared folder there are no chunks: nodes
  read the cache itself.
- `index/<digest>.parquet`: an index; the digest is that of the file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.cluster.chunks import (
    Chunk,
    SharedSize,
    cut_chunks,
    pack_rows,
    process_chunks,
    table_digest,
)
from twinrun.cluster.fetch import fetch_images, fetch_sound, map_images
from twinrun.cluster.storage import SHARED, Storage
from twinrun.console import megabytes, say
from twinrun.data.cache_files import COLUMNS, TABLE, write_rows
from twinrun.data.decoding import bytes_digest
from twinrun.data.pixels import Pixels
from twinrun.data.unread import readable
from twinrun.errors import InputError
from twinrun.files import sha256_file, unwritable
from twinrun.locks import wait_for_lock
from twinrun.plain_files import plain

if TYPE_CHECKING:
    import pandas as pd

# Of the 64 digits of a SHA-256, in a file's name.
_DIGITS = 32


@dataclass(frozen=True)
class SharedImages:
    """Where nodes find the images of an index; small, to be pickled."""

    storage: Storage
    sizes: tuple[SharedSize, ...]

    def here(self, folder: Path) -> dict[int, Pixels]:
        """The images on this node, each of which agrees with its digest.

        Processes of one node may ask at once: one fetches what is missing, the others wait. All
        images are read for their digests once, and again after somebody has written to them.

        Args:
            folder: This node's own, kept from task to task; of images in a shared folder it gets
                no copy.

        Returns:
            By size.

        Raises:
            InputError: Images are missing in the storage or stay damaged, by name; it cannot be
                read; the disk is too small.
        """
        return {
            shared.size: map_images(self.storage, shared, shared.array, folder)
            if shared.array
            else fetch_images(self.storage, shared, folder)
            for shared in self.sizes
        }


def share_images(
    storage: Storage, index: pd.DataFrame, pixels: Mapping[int, Pixels]
) -> SharedImages:
    """Hand the images of an index to all nodes; chunks that are there already are not sent again.

    Args:
        storage: A folder: no image is copied, nodes read the cache where it lies.
        index: With a column `sha256`.
        pixels: By size.

    Raises:
        InputError: The storage cannot be written; the cache has been damaged since it was read, or
            has no space for a chunk.
    """
    files = sorted(readable(index)["sha256"].unique())
    sizes = []
    for size, source in sorted(pixels.items()):
        table = source.table.loc[files, COLUMNS]
        if storage.local:
            shared = SharedSize(size, table_digest(table), source.path.absolute())
            _publish_table(storage, shared, table)
        else:
            table = pack_rows(table)
            shared = SharedSize(size, table_digest(table), None)
            _send(storage, shared, table, source)
        sizes.append(shared)
    return SharedImages(storage, tuple(sizes))


def share_index(storage: Storage, index: pd.DataFrame) -> str:
    """Hand an index to all nodes.

    Returns:
        Its name in the storage.

    Raises:
        InputError: The storage cannot be written.
    """
    with tempfile.TemporaryDirectory() as here:
        path = Path(here, "shared.parquet")
        index.to_parquet(path, index=False)
        name = f"{SHARED}/index/{sha256_file(path)[:_DIGITS]}.parquet"
        storage.publish(path, name)
    return name


def index_here(storage: Storage, name: str, folder: Path) -> pd.DataFrame:
    """An index on this node, equal to what was shared; fetched, if it is not here yet.

    Args:
        storage: Where it is.
        name: From `share_index`.
        folder: This node's own, kept from task to task.

    Raises:
        InputError: It is missing in the storage or stays damaged; that cannot be read; the disk is
            full.
    """

    def read(path: Path) -> pd.DataFrame | None:
        import pandas as pd

        if not path.is_file() or sha256_file(path)[:_DIGITS] != path.stem:
            return None
        return pd.read_parquet(plain(path))

    return fetch_sound(storage, name, folder / Path(name).name, read)


def _publish_table(storage: Storage, shared: SharedSize, table: pd.DataFrame) -> None:
    with tempfile.TemporaryDirectory() as here:
        write_rows(Path(here, TABLE), table)
        storage.publish(Path(here, TABLE), f"{shared.folder}/{TABLE}")


def _send(storage: Storage, shared: SharedSize, table: pd.DataFrame, source: Pixels) -> None:
    """Publish the chunks that are not there, then the table."""
    cache = source.path.parent
    rows = source.rows(table.index.tolist())
    digests = table["digest"].tolist()

    def send(chunk: Chunk) -> None:
        path = cache / f".{chunk.name}.part"
        try:
            with path.open("wb") as file:
                for row in range(chunk.rows.start, chunk.rows.stop):
                    image = rows.image(row)
                    if bytes_digest(image.data, image.shape[1], image.shape[0]) != digests[row]:
                        raise InputError(
                            f"an image in {cache} has been damaged since it was read",
                            fix="Rerun the command: it is decoded anew.",
                        )
                    file.write(image.data)
            storage.publish(path, f"{shared.folder}/{chunk.name}")
        except OSError as error:
            raise unwritable(path, error, fix="Free some space there.") from error
        finally:
            path.unlink(missing_ok=True)

    # Another process may be sending the same; and what a kill has left of a chunk is removed.
    with wait_for_lock(cache, "being shared"):
        there = set(storage.names(shared.folder))
        left = [
            chunk for chunk in cut_chunks(table) if f"{shared.folder}/{chunk.name}" not in there
        ]
        if left:
            images = f"{sum(chunk.images for chunk in left):,} images at {shared.size} px"
            nbytes = megabytes(sum(chunk.nbytes for chunk in left))
            say(("sharing", "bold"), f"   {images}, {nbytes}, with {storage.address}")
            process_chunks(left, send, f"sharing {shared.size} px")
        else:
            images = f"{len(table):,} images at {shared.size} px"
            say(("shared", "bold"), f"    {images}, with {storage.address}")
        _publish_table(storage, shared, table)
