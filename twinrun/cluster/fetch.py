"""Shared images and indexes on a node: whole, checked, fetched once."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from twinrun.cluster.chunks import AT_ONCE, Chunk, SharedSize, cut_chunks, process_chunks
from twinrun.cluster.storage import Storage
from twinrun.console import megabytes
from twinrun.data.cache_files import ARRAY, TABLE, find_damaged_rows
from twinrun.data.pixels import Pixels
from twinrun.errors import InputError, shorten
from twinrun.files import unwritable, write_json
from twinrun.locks import wait_for_lock
from twinrun.plain_files import open_plain, read_bytes

if TYPE_CHECKING:
    import pandas as pd

# What is noted of an array in which every image agrees.
_MARK = "checked.json"
# A fetched file that does not agree is fetched once more.
_FETCHES = 2
# Left free on a node's disk, in bytes.
_SPARE = 64 << 20

_T = TypeVar("_T")


def map_images(storage: Storage, shared: SharedSize, array: Path, folder: Path) -> Pixels:
    """Images of a cache that every node sees.

    Args:
        storage: A folder.
        shared: The images.
        array: Of the cache.
        folder: This node's own; only that the images were checked is noted there.

    Raises:
        InputError: This node does not see them, or they do not agree with their digests.
    """
    assert storage.local is not None
    there = storage.local / shared.folder
    table = shared.table(there / TABLE)
    if table is None or not array.is_file():
        raise InputError(
            f"{platform.node()} does not see {there if table is None else array}",
            fix="Every node must see the shared folder and that of the cache under the same "
            "path: mount them there, or name others with --set cluster.storage=FOLDER and "
            "--set run.cache=FOLDER.",
        )
    damaged = _damaged_files(array, table, _own(shared, folder))
    if len(damaged):
        raise InputError(
            f"on {platform.node()}, {len(damaged)} of {len(table)} images in {array} do not agree "
            "with their digests",
            fix="Rerun the command: they are decoded anew.",
        )
    return Pixels(shared.size, array, table)


def fetch_images(storage: Storage, shared: SharedSize, folder: Path) -> Pixels:
    """Images in a folder of this node's own; what is missing or damaged there is fetched.

    Args:
        storage: Where the chunks are.
        shared: The images.
        folder: The node's, for images of all sizes.

    Raises:
        InputError: Chunks are missing or stay damaged; the storage cannot be read; the disk is
            too small.
    """
    own = _own(shared, folder)
    array = own / ARRAY
    table = shared.table(own / TABLE)
    if table is None or len(_damaged_files(array, table, own)):
        # Whoever waits here finds what the one before it has fetched and checked.
        with wait_for_lock(own, "being fetched"):
            name = f"{shared.folder}/{TABLE}"
            table = fetch_sound(storage, name, own / TABLE, shared.table)
            left = _damaged_chunks(array, table, own)
            _refuse_small_disk(array, table, left)
            for _ in range(_FETCHES):
                _fetch_chunks(storage, shared, array, left)
                left = _damaged_chunks(array, table, own)
            if left:
                names = [f"{shared.folder}/{chunk.name}" for chunk in left]
                raise _damage_error(storage, names)
    return Pixels(shared.size, array, table)


def fetch_sound(storage: Storage, name: str, path: Path, read: Callable[[Path], _T | None]) -> _T:
    """The content of a file on this node, fetched if it is not there or not sound.

    Args:
        storage: Where it is from.
        name: Its name there.
        path: Its place here.
        read: Gives the content, None where there is none or where it is not sound.

    Raises:
        InputError: It is missing, or stays damaged; the storage cannot be read, or `path` written.
    """
    for _ in range(_FETCHES):
        content = read(path)
        if content is not None:
            return content
        _fetch(storage, name, path)
    content = read(path)
    if content is None:
        raise _damage_error(storage, [name])
    return content


def _own(shared: SharedSize, folder: Path) -> Path:
    return folder / Path(shared.folder).name


def _damaged_files(array: Path, table: pd.DataFrame, own: Path) -> pd.Index:
    """The files whose images do not agree with their digests.

    That all of them agree is noted in `own`: until somebody writes to the array, it is not read
    again for each training of this node.
    """
    mark, state = own / _MARK, _state(array)
    if state and _read_mark(mark) == state:
        return table.index[:0]
    damaged = find_damaged_rows(array.parent, table)
    if not len(damaged):
        # Without the note they are only read once more.
        with suppress(InputError):
            write_json(mark, state)
    return damaged


def _state(path: Path) -> list[int]:
    """What changes whenever somebody writes to a file; nothing where there is none."""
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _read_mark(mark: Path) -> object:
    try:
        return json.loads(read_bytes(mark))
    except (OSError, ValueError):
        return None


def _damaged_chunks(array: Path, table: pd.DataFrame, own: Path) -> list[Chunk]:
    """The chunks that hold an image that does not agree with its digest."""
    damaged = table.index.isin(_damaged_files(array, table, own))
    return [chunk for chunk in cut_chunks(table) if damaged[chunk.rows].any()]


def _refuse_small_disk(array: Path, table: pd.DataFrame, chunks: Sequence[Chunk]) -> None:
    if not chunks:
        return
    # A kill may have left chunks between others that are not there yet: holes take no space.
    taken = array.stat().st_blocks * 512 if array.exists() else 0
    whole = int((table["rows"] * table["columns"]).sum()) * 3
    beside = sum(sorted(chunk.nbytes for chunk in chunks)[-AT_ONCE:])
    needed, free = max(0, whole - taken) + beside, shutil.disk_usage(array.parent).free
    if needed + _SPARE > free:
        raise InputError(
            f"{len(table):,} images take {megabytes(needed)} more in {array.parent} on "
            f"{platform.node()}, but only {megabytes(free)} are free there",
            fix="Free some space there.",
        )


def _fetch_chunks(
    storage: Storage, shared: SharedSize, array: Path, chunks: Sequence[Chunk]
) -> None:
    """Put chunks into their places in the array, which others may be reading."""

    def fetch(chunk: Chunk) -> None:
        path = array.with_name(f".{chunk.name}.part")
        try:
            _fetch(storage, f"{shared.folder}/{chunk.name}", path)
            # One of a different length is damaged, and would spoil its neighbours.
            if path.stat().st_size == chunk.nbytes:
                with open_plain(path) as source, array.open("rb+") as target:
                    target.seek(chunk.start)
                    shutil.copyfileobj(source, target, 1 << 20)
        except OSError as error:
            raise unwritable(array, error, fix="Free some space there.") from error
        finally:
            path.unlink(missing_ok=True)

    if chunks:
        array.touch()
        process_chunks(chunks, fetch, f"fetching {shared.size} px")


def _fetch(storage: Storage, name: str, path: Path) -> None:
    try:
        storage.fetch(name, path)
    except FileNotFoundError as error:
        raise InputError(
            f"{name} is not in {storage.address} any more",
            fix="Rerun the command: it is sent anew.",
        ) from error


def _damage_error(storage: Storage, names: Sequence[str]) -> InputError:
    return InputError(
        f"{platform.node()} has fetched damaged files twice from {storage.address}:",
        details=shorten(names),
        fix="Remove them there and rerun the command: they are sent anew.",
    )
