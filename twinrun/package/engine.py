"""The engine of a project: its folder twinrun/, or the wheel in vendor/ that its lock names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from twinrun.errors import InputError
from twinrun.files import read_text, sha256_file
from twinrun.package.contents import BROKEN_ZIP
from twinrun.package.paths import LOCK_NAME
from twinrun.repro.source import code_digest, wheel_code_digest

FOLDER = "twinrun/"

# A requirement that is a file of the project; its hashes stand behind it.
_FILE = re.compile(r"\.{0,2}/\S+")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")
_FIX = "Bring back what was committed, or write the lock anew with `nox -s lock`."


@dataclass(frozen=True)
class ProjectEngine:
    """The engine that a project's files hold.

    Attributes:
        place: Of its files, in the project: `twinrun/`, or `vendor/twinrun-0.2.0-py3-none-any.whl`.
        code: Its `code_digest`.
    """

    place: str
    code: str


@dataclass(frozen=True)
class LockedFile:
    """A requirement of a lock that is a file of the project.

    Attributes:
        name: As the lock has it: `./vendor/twinrun-0.2.0-py3-none-any.whl`.
        hashes: The SHA-256 that it may have.
    """

    name: str
    hashes: tuple[str, ...]

    @property
    def place(self) -> str:
        """In the project, as `git ls-files` names it."""
        return self.name.removeprefix("./")

    @property
    def is_engine(self) -> bool:
        """Whether it is a wheel of Twinrun, by its name."""
        return self.name.rpartition("/")[2].startswith("twinrun-")


def locked_files(lock: str) -> Iterator[LockedFile]:
    """The requirements of a lock that are files of the project.

    Args:
        lock: The text of a requirements.lock.
    """
    for line in lock.replace("\\\n", " ").splitlines():
        if found := _FILE.match(line):
            yield LockedFile(found[0], tuple(_HASH.findall(line)))


def read_lock(lock: Path) -> str:
    """The text of a requirements.lock.

    Raises:
        InputError: It is no text in UTF-8, or cannot be read.
    """
    return read_text(lock, fix=_FIX)


def find_engine(root: Path, names: Collection[str]) -> ProjectEngine:
    """The engine of a project: its folder twinrun/ where it has one, else the wheel of its lock.

    The files that the lock names are checked first, also beside a folder twinrun/: without them
    nothing can be installed from the lock.

    Args:
        root: The project's folder.
        names: Its files, relative to it, with slashes; others that lie there do not count.

    Raises:
        InputError: There is no engine, the lock names several, or a file that it names is missing
            or has a different hash.
    """
    locked = list(locked_files(read_lock(root / LOCK_NAME))) if LOCK_NAME in names else []
    for each in locked:
        if each.place not in names:
            raise InputError(f"{each.place}: {LOCK_NAME} names it, and it is not there", fix=_FIX)
        if sha256_file(root / each.place) not in each.hashes:
            raise InputError(f"{each.place}: its SHA-256 is not the one in {LOCK_NAME}", fix=_FIX)
    engines = [each.place for each in locked if each.is_engine]
    if len(engines) > 1:
        raise InputError(
            f"{LOCK_NAME} names several engines: {', '.join(engines)}",
            fix="Leave one wheel of Twinrun in vendor/, and run `nox -s lock`.",
        )
    if f"{FOLDER}__main__.py" in names:
        own = [name.removeprefix(FOLDER) for name in names if name.startswith(FOLDER)]
        return ProjectEngine(FOLDER, code_digest(root / FOLDER, own))
    if not engines:
        raise InputError(
            f"no engine: there is no folder {FOLDER}, and {LOCK_NAME} names no wheel of Twinrun",
            fix=_FIX,
        )
    try:
        return ProjectEngine(engines[0], wheel_code_digest(root / engines[0]))
    except BROKEN_ZIP as error:
        raise InputError(f"{engines[0]} is not a whole wheel: {error}", fix=_FIX) from None
