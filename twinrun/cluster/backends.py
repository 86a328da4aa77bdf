"""Kinds of storage: a folder that all nodes see, an object store; which addresses there are."""

from __future__ import annotations

import glob
import os
import re
import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from twinrun.config.extras import how_to_install, how_to_install_extra
from twinrun.errors import InputError
from twinrun.plain_files import open_plain

# The object stores of fsspec, and what each needs. What is put there is seen whole or not at all;
# the others write a file bit by bit under its own name.
_STORES: dict[str, Callable[[], str]] = {
    "s3": partial(how_to_install_extra, "cluster"),
    "s3a": partial(how_to_install_extra, "cluster"),
    "gs": partial(how_to_install_extra, "gcs"),
    "gcs": partial(how_to_install_extra, "gcs"),
    "az": partial(how_to_install, "adlfs"),
    "abfs": partial(how_to_install, "adlfs"),
    "oci": partial(how_to_install, "ocifs"),
    "oss": partial(how_to_install, "ossfs"),
    "tos": partial(how_to_install, "tosfs"),
    "memory": partial(how_to_install_extra, "cluster"),
}
# Of botocore, for a server that may not be there at all; seconds.
_HASTE = {"connect_timeout": 5, "read_timeout": 10, "retries": {"max_attempts": 1}}
# Seconds that sending a file may take, and more for its bytes at so many a second: botocore asks
# with `Expect: 100-continue`, and aiohttp has no limit of its own for the answer.
_LIMIT, _HASTY_LIMIT, _SLOWEST = 120.0, 15.0, 250_000
_FIX = "Name a folder that all nodes see, or an object store: s3://BUCKET/FOLDER, gs://BUCKET/..."
# Unfinished files of a folder that have not changed for so long, in seconds, are nobody's.
_ABANDONED = 3600.0
# How often an unfinished file may be removed by a different process before that is no accident.
_ATTEMPTS = 5


class Backend(Protocol):
    """A kind of storage; a file that is missing is a FileNotFoundError, the rest any exception."""

    def exists(self) -> bool:
        """Whether a file that is not found is missing there, instead of all of the place."""

    def put(self, local: Path, name: str, *, final: bool) -> None:
        """Put a file there, at once; `final`: it is never written to again."""

    def get(self, name: str, local: Path) -> None:
        """Write a file's content to `local`, which need not be whole until this returns."""

    def list_names(self, folder: str) -> list[str]:
        """The names of at least all files below a folder, or of all with ""."""

    def remove(self, name: str) -> None:
        """Remove a file."""


class FolderBackend:
    """A folder that all nodes see."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def exists(self) -> bool:
        # One that is not there yet is made when a file is put into it.
        return True

    def put(self, local: Path, name: str, *, final: bool) -> None:
        place = self.root / name
        for attempt in range(_ATTEMPTS):
            try:
                now = _move_in(local, place, final=final)
                break
            except FileNotFoundError:
                # `locks` has taken the unfinished file for one that a killed writer left.
                if attempt == _ATTEMPTS - 1:
                    raise
        _remove_abandoned(place, now)

    def get(self, name: str, local: Path) -> None:
        with open_plain(self._found(name)) as source, local.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)

    def list_names(self, folder: str) -> list[str]:
        def refuse(error: OSError) -> None:
            # A folder may vanish while its parent is listed; a file holds no files.
            gone = isinstance(error, FileNotFoundError | NotADirectoryError)
            if not gone or self.root.is_file():
                raise error

        return [
            Path(path, name).relative_to(self.root).as_posix()
            for path, _, names in os.walk(self.root / folder, onerror=refuse)
            for name in names
        ]

    def remove(self, name: str) -> None:
        self._found(name).unlink()

    def _found(self, name: str) -> Path:
        """The path of a file; one below a file is missing, unless that is the root."""
        path = self.root / name
        if not path.exists() and not self.root.is_file():
            raise FileNotFoundError(name)
        return path


class ObjectStoreBackend:
    """An object store, by fsspec; the object is of one process and is not to outlive a fork.

    Args:
        address: As fsspec has it.
        hasty: Give up a server that does not answer in seconds, instead of in many minutes.
    """

    def __init__(self, address: str, *, hasty: bool = False) -> None:
        import fsspec

        # A kept listing would not show what other nodes have put there since.
        options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
        if _protocol(address) in ("s3", "s3a"):
            # A file is fetched in one answer, not in parts that may be of its old and new content,
            # and at most one part of 50 MB is in memory.
            options["max_concurrency"] = 1
            if hasty:
                options["config_kwargs"] = _HASTE
        self._limit = _HASTY_LIMIT if hasty else _LIMIT
        self._filesystem, root = fsspec.core.url_to_fs(address, **options)
        if hasty and hasattr(self._filesystem, "retries"):
            # Beside those of botocore, s3fs has its own.
            self._filesystem.retries = 1
        self._root = root.rstrip("/") + "/"

    def exists(self) -> bool:
        bucket = self._root.strip("/").partition("/")[0]
        if "memory" in self._filesystem.protocol:
            return True
        try:
            self._filesystem.info(bucket)
        except FileNotFoundError:
            return False
        except Exception:
            # Who may only use the files in a bucket cannot ask about it.
            return True
        return True

    def put(self, local: Path, name: str, *, final: bool) -> None:  # noqa: ARG002
        limit = {}
        if self._filesystem.async_impl:
            limit["timeout"] = self._limit + local.stat().st_size / _SLOWEST
        self._filesystem.put_file(str(local), self._root + name, **limit)

    def get(self, name: str, local: Path) -> None:
        self._filesystem.get_file(self._root + name, str(local))

    def list_names(self, folder: str) -> list[str]:
        # Of some stores a path begins with a slash where it was given without one.
        root = self._root.lstrip("/")
        paths = [path.lstrip("/") for path in self._filesystem.find(self._root + folder)]
        return [path.removeprefix(root) for path in paths if path.startswith(root)]

    def remove(self, name: str) -> None:
        self._filesystem.rm_file(self._root + name)


def folder_of(address: str) -> Path | None:
    """The absolute path of a storage that is a folder; None for an object store's address.

    Raises:
        InputError: It is neither.
    """
    if not address.strip():
        raise InputError("the address of the storage is empty", fix=_FIX)
    protocol = _protocol(address)
    if protocol is None:
        if re.match(r"[A-Za-z]:[\\/]|\\\\", address):
            raise InputError(f"{address} is a path of Windows, which this system is not", fix=_FIX)
        try:
            return Path(address).expanduser().absolute()
        except RuntimeError as error:
            raise InputError(f"{address} names the home of nobody here", fix=_FIX) from error
    if protocol not in ("file", "local"):
        return None
    path = address.partition("://")[2]
    if not path.startswith("/"):
        raise InputError(
            f"{address} does not hold an absolute path",
            fix=f"Three slashes begin one: {protocol}:///{path}",
        )
    return Path(path)


def refuse_unusable(address: str) -> None:
    """Refuse an address of a kind other than an object store's, or whose package is missing.

    Raises:
        InputError: And what to do about it.
    """
    protocol, rest = _protocol(address) or "", address.partition("://")[2]
    authority, at, _ = rest.partition("/")[0].rpartition("@")
    if at and ":" in authority:
        # It would stand in messages and records.
        raise InputError(
            f"the {protocol}:// address of the storage holds a password",
            fix="Leave it out: credentials are taken from the environment (docs/storage.md of "
            "Twinrun).",
        )
    if protocol not in _STORES:
        raise InputError(
            f"{address}: {protocol}:// is no storage in which readers see whole files only",
            fix=_FIX,
        )
    if protocol != "memory" and not rest.strip("/"):
        raise InputError(f"{address} names no bucket", fix=_FIX)
    try:
        import fsspec

        fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        package = error.name or str(error)
        raise InputError(
            f"{address} needs a package that is not installed: {package}",
            fix=_STORES[protocol](),
        ) from error


def _protocol(address: str) -> str | None:
    before, mark, _ = address.partition("://")
    return before.lower() if mark else None


def _move_in(local: Path, place: Path, *, final: bool) -> float:
    """Copy a file beside its place, move it there; the time by the clock that stamps files."""
    place.parent.mkdir(parents=True, exist_ok=True)
    # Unlike a process's number, unique among all hosts that share the folder.
    temporary = place.with_name(f".{place.name}.{uuid.uuid4().hex}.part")
    try:
        if not (final and _link(local, temporary)):
            with open_plain(local) as source, temporary.open("xb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
                target.flush()
                os.fsync(target.fileno())
        temporary.replace(place)
        return place.parent.stat().st_mtime
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _link(local: Path, place: Path) -> bool:
    """Give a file a second name, where both are of one file system that can do that."""
    try:
        os.link(local, place)
    except OSError:
        return False
    return True


def _remove_abandoned(place: Path, now: float) -> None:
    """Remove what killed writers of the same file have left.

    Args:
        place: The file.
        now: By the clock that stamps files there, which may be a server's.
    """
    for path in place.parent.glob(f".{glob.escape(place.name)}.*.part"):
        with suppress(OSError):
            if now - path.stat().st_mtime > _ABANDONED:
                path.unlink()
