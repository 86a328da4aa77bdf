"""Shared images and indexes on a node: whole, checked, fetched once."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from competition.cluster.pieces import AT_ONCE, Piece, SharedSize, cut, for_all
from competition.cluster.storage import Storage
from competition.data.pixels import Pixels
from competition.data.stored import ARRAY, TABLE, damaged_rows
from competition.errors import InputError, shorten
from competition.files import unwritable
from competition.locks import queued
from competition.terminal import megabytes

if TYPE_CHECKING:
    import pandas as pd

# A fetched file that does not agree is fetched once more.
_FETCHES = 2
# Left free on a node's disk, in bytes.
_SPARE = 64 << 20

_T = TypeVar("_T")


def mapped(storage: Storage, shared: SharedSize, array: Path) -> Pixels:
    """Images of a cache that every node sees.

    Args:
        storage: A folder.
        shared: The images.
        array: Of the cache.

    Raises:
        InputError: This node does not see them, or they do not agree with their digests.
    """
    assert storage.local is not None
    folder = storage.local / shared.folder
    table = shared.table(folder / TABLE)
    if table is None or not array.is_file():
        raise InputError(
            f"{platform.node()} does not see {folder if table is None else array}",
            mend="Every node must see the folder of runs and that of the cache under the same "
            "path: mount them there, or name others with --out and --set run.cache=FOLDER.",
        )
    damaged = damaged_rows(array.parent, table)
    if len(damaged):
        raise InputError(
            f"on {platform.node()}, {len(damaged)} of {len(table)} images in {array} do not agree "
            "with their digests",
            mend="Type the command again: they are decoded anew.",
        )
    return Pixels(shared.size, array, table)


def fetched(storage: Storage, shared: SharedSize, folder: Path) -> Pixels:
    """Images in a folder of this node's own; what is missing or damaged there is fetched.

    Args:
        storage: Where the pieces are.
        shared: The images.
        folder: The node's, for images of all sizes.

    Raises:
        InputError: Pieces are missing or stay damaged; the storage cannot be read; the disk is
            too small.
    """
    own = folder / Path(shared.folder).name
    table = shared.table(own / TABLE)
    if table is None or len(damaged_rows(own, table)):
        with queued(own, "being fetched"):
            name = f"{shared.folder}/{TABLE}"
            table = fetched_sound(storage, name, own / TABLE, shared.table)
            # While this one waited, another may have fetched them.
            left = _damaged_pieces(own, table, cut(table))
            _refuse_small_disk(own, table, left)
            for _ in range(_FETCHES):
                _fetch_pieces(storage, shared, own, left)
                left = _damaged_pieces(own, table, left)
            if left:
                names = [f"{shared.folder}/{piece.name}" for piece in left]
                raise _damaged(storage, names)
    return Pixels(shared.size, own / ARRAY, table)


def fetched_sound(storage: Storage, name: str, path: Path, read: Callable[[Path], _T | None]) -> _T:
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
        raise _damaged(storage, [name])
    return content


def _damaged_pieces(own: Path, table: pd.DataFrame, pieces: Sequence[Piece]) -> list[Piece]:
    """Those of some pieces that hold an image that does not agree with its digest."""
    if not pieces:
        return []
    rows = np.concatenate([np.arange(piece.rows.start, piece.rows.stop) for piece in pieces])
    damaged = table.index.isin(damaged_rows(own, table.iloc[rows]))
    return [piece for piece in pieces if damaged[piece.rows].any()]


def _refuse_small_disk(own: Path, table: pd.DataFrame, pieces: Sequence[Piece]) -> None:
    if not pieces:
        return
    array = own / ARRAY
    # A kill may have left pieces between others that are not there yet: holes take no space.
    taken = array.stat().st_blocks * 512 if array.exists() else 0
    whole = int((table["rows"] * table["columns"]).sum()) * 3
    beside = sum(sorted(piece.nbytes for piece in pieces)[-AT_ONCE:])
    needed, free = max(0, whole - taken) + beside, shutil.disk_usage(own).free
    if needed + _SPARE > free:
        raise InputError(
            f"{len(table):,} images take {megabytes(needed)} more in {own} on {platform.node()}, "
            f"but only {megabytes(free)} are free there",
            mend="Free some space there.",
        )


def _fetch_pieces(storage: Storage, shared: SharedSize, own: Path, pieces: Sequence[Piece]) -> None:
    """Put pieces into their places in the array, which others may be reading."""
    array = own / ARRAY

    def fetch(piece: Piece) -> None:
        path = own / f".{piece.name}.part"
        try:
            _fetch(storage, f"{shared.folder}/{piece.name}", path)
            # One of another length is damaged, and would spoil its neighbours.
            if path.stat().st_size == piece.nbytes:
                with path.open("rb") as source, array.open("rb+") as target:
                    target.seek(piece.start)
                    shutil.copyfileobj(source, target, 1 << 20)
        except OSError as error:
            raise unwritable(array, error, mend="Free some space there.") from error
        finally:
            path.unlink(missing_ok=True)

    if pieces:
        array.touch()
        for_all(pieces, fetch, f"fetching {shared.size} px")


def _fetch(storage: Storage, name: str, path: Path) -> None:
    try:
        storage.fetch(name, path)
    except FileNotFoundError as error:
        raise InputError(
            f"{name} is not in {storage.address} any more",
            mend="Type the command again: it is sent anew.",
        ) from error


def _damaged(storage: Storage, names: Sequence[str]) -> InputError:
    return InputError(
        f"{platform.node()} has fetched damaged files twice from {storage.address}:",
        details=shorten(names),
        mend="Remove them there and type the command again: they are sent anew.",
    )
