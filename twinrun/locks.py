"""One process at a time in a member's folder, and at a run's record."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import SoftFileLock, Timeout

from twinrun.console import say
from twinrun.errors import InputError

LOCK = ".lock"

# A lock file that cannot be read is taken over when it has not changed for two seconds.
_PATIENCE = 3.0
# Writing a run's record takes a moment; seconds.
_TURN = 60.0
# Nobody takes this long, in seconds, from creating a lock file to writing who holds it.
_ABANDONED = 10.0


@contextmanager
def lock_trainings(folders: Sequence[Path]) -> Iterator[None]:
    """Hold all of these folders for this process while the block runs, or none of them.

    Each gets a file `.lock` that names process and host, and that is removed however the block
    ends. One that a killed process of this host left is taken over at once; its process id may
    even be in use again, because the time when a process started is part of it. Whatever killed
    writers left unfinished in the folders and in their checkpoint/ is removed; a fold below one of
    them has a lock of its own, and somebody may be writing there.

    Args:
        folders: Created where they are missing.

    Raises:
        InputError: Another process holds one of them, or one cannot be written.
    """
    # In one order, so that of two processes that want overlapping folders one gets them.
    ordered = sorted({folder.resolve(): folder for folder in folders}.items())
    with ExitStack() as locks:
        for _, folder in ordered:
            locks.enter_context(try_lock(folder, "being trained"))
        for _, folder in ordered:
            _remove_unfinished(folder)
        yield


@contextmanager
def lock_record(folder: Path) -> Iterator[None]:
    """Let this process alone run the block, for a moment, among those that share a run's folder.

    Members of one run may be trained by several processes at once; its record is one file. What
    killed writers left unfinished in the folder is removed: who writes there has taken a turn.

    Raises:
        InputError: Somebody has held the folder for a minute, or it cannot be written.
    """
    with _lock(folder, "held", seconds=_TURN):
        _remove_unfinished(folder)
        yield


@contextmanager
def wait_for_lock(folder: Path, doing: str) -> Iterator[None]:
    """Let this process alone run the block, after all that came before it, however long they take.

    What killed writers left unfinished in the folder is removed.

    Args:
        folder: Created where it is missing.
        doing: What its holder does with it, for the line that says what is waited for.

    Raises:
        InputError: The folder cannot be written.
    """
    said: list[str] = []

    def told(_: int | None) -> bool:
        holder = _holder(folder / LOCK)
        if holder is not None and holder not in said:
            said.append(holder)
            text = f"for {holder}, which is {doing}: {folder}. If that process is gone for certain,"
            say(("waiting", "bold"), f"   {text} remove {folder / LOCK}")
        return False

    with _lock(folder, doing, seconds=-1, ended_by=told):
        _remove_unfinished(folder)
        yield


@contextmanager
def try_lock(folder: Path, doing: str) -> Iterator[None]:
    """Hold a folder for this process while the block runs, unless somebody who runs holds it.

    Args:
        folder: Created where it is missing.
        doing: What its holder does with it, for the refusal.

    Raises:
        InputError: Another process holds it, or it cannot be written.
    """
    # Waits only while the lock file names nobody.
    with _lock(folder, doing, seconds=_PATIENCE, ended_by=lambda holder: holder is not None):
        yield


@contextmanager
def _lock(
    folder: Path,
    doing: str,
    *,
    seconds: float,
    ended_by: Callable[[int | None], bool] = lambda _: False,
) -> Iterator[None]:
    """Hold one folder.

    Args:
        folder: Created where it is missing.
        doing: What its holder does with it, for the refusal.
        seconds: How long to wait; -1 for ever.
        ended_by: Asked while waiting, with the process that holds it, None where that is not
            known: whether to give up.
    """
    file = folder / LOCK
    lock = SoftFileLock(file, thread_local=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _name_abandoned(file)
        lock.acquire(seconds, 0.05, cancel_check=lambda: ended_by(lock.pid))
    except Timeout:
        raise _refusal(folder, file, doing) from None
    except OSError as error:
        raise _unlockable(folder, error) from error
    try:
        yield
    finally:
        # What cannot be removed any more is recognised as left behind at the next start.
        with suppress(OSError):
            lock.release()


def _unlockable(folder: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot lock {folder}: {error.strerror or error}",
        fix="Free some space, or choose a different place with --out."
        if error.errno in (errno.ENOSPC, errno.EDQUOT)
        else "Choose a different place with --out.",
    )


def _refusal(folder: Path, file: Path, doing: str) -> InputError:
    holder = _holder(file)
    if holder is None:
        return InputError(
            f"{folder} is locked, but {file} does not say by which process",
            fix="When nothing is training it any more, remove that file.",
        )
    return InputError(
        f"{folder} is {doing} by {holder}",
        fix="Wait for that process or end it, or choose a different --run. "
        f"If it is gone for certain, remove {file}.",
    )


def _holder(file: Path) -> str | None:
    """`process 4711 on node7`, as a lock file names it; None where it names nobody."""
    try:
        process, host, *_ = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    # In a container the host's name is followed by the number of the process-id namespace.
    return f"process {process} on {host.partition('?pidns-')[0]}"


def _name_abandoned(file: Path) -> None:
    """Write something into a lock file that is still empty because its writer was killed.

    SoftFileLock waits for ever for an empty one to name its holder, and takes over a wrong one.
    """
    with suppress(OSError):
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0))
        try:
            state = os.fstat(descriptor)
            if state.st_size == 0 and time.time() - state.st_mtime > _ABANDONED:
                os.write(descriptor, b"abandoned\n")
        finally:
            os.close(descriptor)


def _remove_unfinished(folder: Path) -> None:
    """Remove the temporary files of `files.whole_file` whose writers were killed."""
    for place in (folder, folder / "checkpoint"):
        for path in place.glob(".*.part"):
            with suppress(OSError):
                path.unlink()
