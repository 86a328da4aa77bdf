"""What the nodes share: whole files by name, in a folder or in an object store."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from twinrun.cluster.backends import (
    Backend,
    FolderBackend,
    ObjectStoreBackend,
    folder_of,
    refuse_unusable,
)
from twinrun.cluster.storage_errors import refusal
from twinrun.errors import InputError
from twinrun.files import FULL, read_text, unwritable, whole_file
from twinrun.plain_files import open_plain

# The folder of a storage for what is no run: images, index, weights.
SHARED = "cache/shared"


class Storage:
    """A place that all nodes see; it can be pickled, and used by threads and after a fork.

    Files go by names relative to it, parts joined by slashes, none of them hidden:
    `run/members/a/valid.csv`.

    Args:
        address: A folder ("runs", "/mnt/shared", "file:///mnt/shared"), or an object store's
            address as fsspec has it ("s3://bucket/prefix", "gs://bucket/prefix"). Credentials are
            those that the store's own tools find in the environment.

    Attributes:
        address: As it is printed; of a folder its absolute path.
        local: The folder, where it is one.

    Raises:
        InputError: No such kind of address; the package that it needs is missing.
    """

    def __init__(self, address: str) -> None:
        self.local = folder_of(address)
        self.address = str(self.local or address.rstrip("/"))
        # Of one process: neither connections nor the thread that serves them outlive a fork.
        self._opened: tuple[int, Backend] | None = None
        self._hasty = False
        if self.local is None:
            refuse_unusable(address)

    def __repr__(self) -> str:
        return f"Storage({self.address!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_opened": None}

    def publish(self, local: Path, name: str, *, final: bool = False) -> None:
        """Put a file under a name; readers see the old or the new whole file, whoever is killed.

        Args:
            local: The file.
            name: May be taken, and may be published by a different process at the same time.
            final: The file is on the disk, and nobody writes to it any more, though it may be
                replaced or removed: a folder of the same file system need not hold it twice.

        Raises:
            FileNotFoundError: There is no file `local`.
            InputError: The storage cannot be written.
        """
        self._put(local, check_name(name), final=final)

    def fetch(self, name: str, local: Path) -> None:
        """Bring a file to this machine, whole or not at all.

        Args:
            name: Of the file.
            local: Where it goes; what is there is replaced.

        Raises:
            FileNotFoundError: The storage can be read, and holds no file of that name.
            InputError: The storage cannot be read, or `local` not be written.
        """
        self._get(check_name(name), local)

    def names(self, folder: str = "") -> list[str]:
        """The names of all files below a folder, as they are now, sorted; none where there is none.

        Hidden files, such as locks and what is not finished, are left out.

        Args:
            folder: A name; "" for all files.

        Raises:
            InputError: The storage cannot be read.
        """
        below = f"{check_name(folder)}/" if folder else ""
        found = self._list(folder)
        return sorted(name for name in found if name.startswith(below) and _is_name(name))

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is removed already.

        Raises:
            InputError: The storage cannot be written.
        """
        self._remove(check_name(name))

    def check(self) -> None:
        """Write, find, read and remove a small file, before any work relies on it.

        Raises:
            InputError: One of these cannot be done, or takes very long.
        """
        tried = Storage(self.address)
        tried._hasty = True
        tried._try_out()

    def _try_out(self) -> None:
        content = uuid.uuid4().hex
        folder = f".check-{content}"
        name = f"{folder}/file"
        with tempfile.TemporaryDirectory() as here:
            sent, back = Path(here, "sent"), Path(here, "back")
            sent.write_text(content, encoding="ascii")
            self._put(sent, name)
            found = self._list(folder)
            with suppress(FileNotFoundError):
                self._get(name, back)
            self._remove(name)
            if self.local:
                with suppress(OSError):
                    (self.local / folder).rmdir()
            if found != [name] or not back.is_file() or read_text(back) != content:
                raise InputError(
                    f"{self.address}: a file that was just written there is not found again",
                    fix="Choose a place where what is written can be read at once.",
                )

    def _put(self, local: Path, name: str, *, final: bool = False) -> None:
        if self._is_own(name, local):
            return
        # A source that is missing is no fault of the storage.
        open_plain(local).close()
        with self._operation("written to"):
            self._place.put(local, name, final=final)

    def _get(self, name: str, local: Path) -> None:
        if self._is_own(name, local):
            return
        try:
            with whole_file(local) as temporary:
                temporary.touch()
                with self._operation("read", one=True, local=local):
                    self._place.get(name, temporary)
        except _Missing as error:
            raise FileNotFoundError(f"no file {name} in {self.address}") from error

    def _list(self, folder: str) -> list[str]:
        with self._operation("read"):
            return self._place.list_names(folder)

    def _remove(self, name: str) -> None:
        with suppress(_Missing), self._operation("written to", one=True):
            self._place.remove(name)

    def _is_own(self, name: str, local: Path) -> bool:
        """Whether a local file is the shared one itself."""
        with suppress(OSError):
            return self.local is not None and (self.local / name).samefile(local)
        return False

    @property
    def _place(self) -> Backend:
        if self._opened is None or self._opened[0] != os.getpid():
            if self.local is None:
                # Another node may lack the package that the first one has.
                refuse_unusable(self.address)
            place = (
                FolderBackend(self.local)
                if self.local
                else ObjectStoreBackend(self.address, hasty=self._hasty)
            )
            self._opened = os.getpid(), place
        return self._opened[1]

    @contextmanager
    def _operation(
        self, doing: str, *, one: bool = False, local: Path | None = None
    ) -> Iterator[None]:
        """Tell a file that is missing from all that keeps the storage from doing its work.

        Args:
            doing: What is asked of it: "read".
            one: A file is asked for that may be missing.
            local: The file of this machine that is written meanwhile.
        """
        try:
            yield
        except InputError:
            raise
        except FileNotFoundError as error:
            # Where there is no bucket, every file is found missing.
            missing = not self._place.exists()
            if one and not missing:
                raise _Missing from error
            raise refusal(self.address, doing, error, missing=missing) from error
        # What else an object store's package raises is of no common class.
        except Exception as error:
            if local is not None and isinstance(error, OSError) and error.errno in FULL:
                raise unwritable(local, error, fix="Free some space there.") from error
            raise refusal(self.address, doing, error) from error


class _Missing(Exception):
    """A file is not in a storage; no OSError, which `whole_file` takes for a full disk."""


def publish_files(
    storage: Storage, folder: Path, names: Sequence[str], to: str, *, final: bool = False
) -> None:
    """Publish files of a folder one after the other: what comes last says that all are there.

    Args:
        storage: Where they go.
        folder: Their folder on this machine.
        names: Relative to it.
        to: The name of their folder in the storage.
        final: As for `Storage.publish`.

    Raises:
        FileNotFoundError: One is not there.
        InputError: As `Storage.publish`.
    """
    for name in names:
        storage.publish(folder / name, f"{to}/{name}", final=final)


def fetch_files(storage: Storage, names: Sequence[str], folder: Path, below: str) -> None:
    """Fetch files into a folder one after the other.

    Args:
        storage: Where they are.
        names: Relative to `below` and to `folder`.
        folder: Their folder on this machine.
        below: The name of their folder in the storage.

    Raises:
        FileNotFoundError: One is not there.
        InputError: As `Storage.fetch`.
    """
    for name in names:
        storage.fetch(f"{below}/{name}", folder / name)


def check_name(name: str) -> str:
    """A name, unless it is none: that would be a fault of the program.

    Raises:
        ValueError: It is absolute, or a part of it is empty or hidden.
    """
    if not _is_name(name):
        raise ValueError(f"not a name in a storage: {name!r}")
    return name


def _is_name(name: str) -> bool:
    parts = name.split("/")
    return all(part and not part.startswith(".") for part in parts) and "\\" not in name
