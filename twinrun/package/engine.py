"""The engine of a project: its folder twinrun/, or the wheel in vendor/ that its lock names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from twinrun.errors import InputError
from twinrun.files import sha256_file
from twinrun.package.contents import BROKEN_ZIP
from twinrun.package.lock import FIX, read_lock
from twinrun.package.paths import LOCK_NAME
from twinrun.repro.source import code_digest, wheel_code_digest

FOLDER = "twinrun/"


@dataclass(frozen=True)
class ProjectEngine:
    """The engine that a project's files hold.

    Attributes:
        place: Of its files, in the project: `twinrun/`, or `vendor/twinrun-0.2.0-py3-none-any.whl`.
        code: Its `code_digest`.
    """

    place: str
    code: str


def find_engine(root: Path, names: Collection[str]) -> ProjectEngine:
    """The engine of a project: its folder twinrun/ where it has one, else the wheel of its lock.

    The files that the lock names are checked first, also beside a folder twinrun/: without them
    nothing can be installed from the lock.

    Args:
        root: The project's folder.
        names: Its files, relative to it, with slashes; others that lie there do not count.

    Raises:
        InputError: There is no engine, the lock names several or holds what no lock may hold, or a
            file that it names is missing or has a different hash.
    """
    locked = read_lock(root / LOCK_NAME) if LOCK_NAME in names else ()
    for each in locked:
        if each.place and each.place not in names:
            raise InputError(f"{each.place}: {LOCK_NAME} names it, and it is not there", fix=FIX)
        if each.place and sha256_file(root / each.place) not in each.hashes:
            raise InputError(f"{each.place}: its SHA-256 is not the one in {LOCK_NAME}", fix=FIX)
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
            fix=FIX,
        )
    try:
        return ProjectEngine(engines[0], wheel_code_digest(root / engines[0]))
    except BROKEN_ZIP as error:
        raise InputError(f"{engines[0]} is not a whole wheel: {error}", fix=FIX) from None
