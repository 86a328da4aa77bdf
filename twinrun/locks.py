"""One process at a time in a member's folder, and at a run's record."""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import SoftFileLock, Timeout

from twinrun.console import say
from twinrun.errors import InputError, OutOfTime
from twinrun.plain_files import plain, read_bytes

LOCK = ".lock"
# What is done with a folder of a training by who holds it.
TRAINED = "being trained"

# A lock file that names nobody is looked at for so long before it is said to be held, in seconds:
# one that cannot be read is taken over when it has not changed for two.
_PATIENCE = 3.0
# So long, in seconds, nobody is told what is waited for.
_SILENCE = 2.0
# This process would wait for itself for ever; seconds. One of its threads may be writing.
_OWN = 60.0
# Between two looks at a lock, in seconds: at first, and after a minute.
_SOON, _LATER = 0.05, 1.0
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
            locks.enter_context(try_lock(folder, TRAINED))
        for _, folder in ordered:
            _remove_unfinished(folder)
        yield


@contextmanager
def lock_next_training(folders: Sequence[Path], until: float = math.inf) -> Iterator[Path]:
    """Hold the first of these folders that is free while the block runs, as `lock_trainings` does.

    Where none is free, wait until one is, however long that takes.

    Args:
        folders: Of trainings; one that is tried is created where it is missing.
        until: So long, by time.monotonic(), it is waited.

    Yields:
        The one that is held.

    Raises:
        InputError: This process itself holds all of them, or one cannot be written.
        OutOfTime: None became free until then.
    """
    with _wait(folders, TRAINED, own=0, until=until) as folder:
        _remove_unfinished(folder)
        yield folder


@contextmanager
def lock_record(folder: Path) -> Iterator[None]:
    """Let this process alone run the block among those that share a run's folder.

    Members of one run may be trained by several processes at once; its record is one file. What
    killed writers left unfinished in the folder is removed: who writes there has taken a turn.

    Raises:
        InputError: The folder cannot be written.
    """
    with wait_for_lock(folder, "being written to"):
        yield


@contextmanager
def wait_for_lock(folder: Path, doing: str) -> Iterator[None]:
    """Let this process alone run the block, after all that came before it, however long they take.

    What killed writers left unfinished in the folder is removed.

    Args:
        folder: Created where it is missing.
        doing: What is done with it by who holds it, for the line that says what is waited for.

    Raises:
        InputError: The folder cannot be written.
    """
    with _wait([folder], doing, own=_OWN):
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
    candidate, started = _Candidate(folder), time.monotonic()
    while not candidate.acquire():
        # Waits only while the lock file names nobody.
        if candidate.lock.pid is not None or time.monotonic() - started > _PATIENCE:
            raise candidate.refusal(doing)
        time.sleep(_SOON)
    with candidate.held():
        yield


def is_held(folder: Path) -> bool:
    """Whether somebody who runs holds a folder, as far as that can be known.

    Raises:
        InputError: It cannot be written.
    """
    candidate = _Candidate(folder)
    if not candidate.file.exists():
        return False
    if candidate.acquire():  # it was left behind
        with candidate.held():
            return False
    return True


class _Candidate:
    """A folder that this process would hold."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / LOCK
        self.lock = SoftFileLock(self.file, thread_local=False)

    def acquire(self) -> bool:
        """Whether it could be had now; what somebody who is gone has left is taken over.

        Raises:
            InputError: It cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                plain(self.file)  # a pipe would be waited for
            _name_abandoned(self.file)
            self.lock.acquire(blocking=False)
        except Timeout:
            return False
        except OSError as error:
            raise _unlockable(self.folder, error) from error
        return True

    @contextmanager
    def held(self) -> Iterator[None]:
        try:
            yield
        finally:
            # What cannot be removed any more is recognised as left behind at the next start.
            with suppress(OSError):
                self.lock.release()

    def refusal(self, doing: str) -> InputError:
        """The error that says who holds it."""
        holder = _holder(self.file)
        if holder is None:
            return InputError(
                f"{self.folder} is locked, but {self.file} does not say by which process",
                fix="When nothing uses it any more, remove that file.",
            )
        return InputError(
            f"{self.folder} is {doing} by {holder}",
            fix="Wait for that process or end it, or choose a different --run. "
            f"If it is gone for certain, remove {self.file}.",
        )


@contextmanager
def _wait(
    folders: Sequence[Path], doing: str, *, own: float, until: float = math.inf
) -> Iterator[Path]:
    """Hold the first of some folders that is free, as soon as one is.

    Args:
        folders: One or more.
        doing: What their holders do with them.
        own: So long to wait where this process itself holds all of them, in seconds.
        until: So long, by time.monotonic(), to wait at all.
    """
    candidates, told = [_Candidate(folder) for folder in folders], set[str]()
    started = time.monotonic()
    while True:
        for candidate in candidates:
            if candidate.acquire():
                with candidate.held():
                    yield candidate.folder
                return
        waited = time.monotonic() - started
        if waited >= own and all(each.lock.is_lock_held_by_us for each in candidates):
            raise candidates[0].refusal(doing)
        if time.monotonic() >= until:
            raise OutOfTime(f"other processes hold what is left in {folders[0].parent}")
        if waited >= _SILENCE:
            _tell(candidates, doing, told)
        time.sleep(min(max(_SOON, waited / 60), _LATER))


def _tell(candidates: Sequence[_Candidate], doing: str, told: set[str]) -> None:
    """Say once of each folder what is waited for, and again where somebody else holds it."""
    for each in candidates:
        holder = _holder(each.file) or "a process that does not say who it is"
        line = f"   for {each.folder}, {doing} by {holder}. If that is gone for certain, remove "
        if each.file.exists() and line not in told:
            told.add(line)
            say(("waiting", "bold"), f"{line}{each.file}")


def _unlockable(folder: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot lock {folder} by {folder / LOCK}: {error.strerror or error}",
        fix="Free some space, or choose a different place with --out."
        if error.errno in (errno.ENOSPC, errno.EDQUOT)
        else "Choose a different place with --out.",
    )


def _holder(file: Path) -> str | None:
    """`process 4711 on node7`, as a lock file names it; None where it names nobody."""
    try:
        process, host, *_ = read_bytes(file).decode().splitlines()
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
