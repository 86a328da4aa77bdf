"""A package's own code under way, confined: what it is run with, what it prints, what is taken."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from twinrun.console import rows_of
from twinrun.errors import InputError
from twinrun.package.engine import FOLDER
from twinrun.package.paths import CODE
from twinrun.repro.source import ENGINE, code_digest
from twinrun.verify.confine import View, Way, start
from twinrun.verify.packages import UnpackedPackage

# Of what it prints so much is shown, in characters and lines; and this many where it fails.
_LONGEST_LINE, _MOST_LINES, _LAST_LINES = 2000, 2000, 8
# Of a row of it among the details of an error, in cells.
_ROW = 66


def refuse_locked_engine(found: UnpackedPackage) -> None:
    """Check that a package's engine needs no environment of its own.

    It is a folder of its code, or is this verifier's own.

    Raises:
        InputError: It is a wheel, which the present environment does not hold.
    """
    engine = found.engine
    if engine.place != FOLDER and engine.code != code_digest():
        raise InputError(
            "the engine of the environment is not the package's:",
            details=(
                f"package: {CODE}/{engine.place}, source {engine.code[:8]}",
                f"environment: {ENGINE}, source {code_digest()[:8]}",
            ),
            fix="Leave --this-environment out: a fresh one is made from the lock.",
        )


def with_own_engine(found: UnpackedPackage, python: Path, folder: Path) -> dict[str, str]:
    """The variables by which the present environment finds a copy of this verifier's engine.

    It is for a package whose code is its hooks alone: its engine is a wheel, and of the same files.

    Args:
        found: The package.
        python: With which its code is run.
        folder: That the code sees; the copy is made in it.
    """
    if found.engine.place == FOLDER or python != Path(sys.executable):
        return {}
    place = folder / "engine"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ENGINE, place / ENGINE.name, ignore=ignored)
    return {"PYTHONPATH": str(place)}


def refuse_in_reach(answers: Path, view: View, *, fix: str) -> None:
    """Check that code does not see what it is to make.

    Args:
        answers: A file or folder of what was recorded.
        view: What the code sees.
        fix: What to do about it.

    Raises:
        InputError: It would.
    """
    if view.shows(answers):
        raise InputError(
            f"{answers} lies where the package's own code would see it, and what it is to make",
            fix=fix,
        )


def run_their_code(
    found: UnpackedPackage,
    way: Way,
    view: View,
    command: Sequence[str],
    tell: Callable[[str], None],
) -> tuple[int, Sequence[str]]:
    """Run a package's own code, confined, in the folder of its project.

    Args:
        found: The package.
        way: From `confine.require_way`.
        view: What it sees.
        command: Its Python by the whole path, and the arguments.
        tell: Called with each line that it prints.

    Returns:
        The exit code, and the last lines.
    """
    last = deque[str](maxlen=_LAST_LINES)
    with start(way, view, found.code, command) as process:
        assert process.stdout is not None
        for number, line in enumerate(iter(partial(process.stdout.readline, _LONGEST_LINE), "")):
            last.append(line.rstrip("\n"))
            if number < _MOST_LINES:
                tell(last[-1])
        return process.wait(), last


def failed(found: UnpackedPackage, what: str, last: Sequence[str], *, fix: str) -> InputError:
    """The error of code that has not done what it was to do.

    Args:
        found: The package.
        what: It did instead.
        last: The last lines that it printed.
        fix: What to do about it.
    """
    return InputError(
        f"{found.package}: {what}",
        details=[f"its code: {row}" for line in last for row in rows_of(line, _ROW)],
        fix=fix,
    )


def copy_plain(folder: Path, name: str, target: Path, most: int) -> bool:
    """Copy a plain file out of a folder in which a stranger could write: no link is followed.

    Args:
        folder: That one.
        name: Of the file in it.
        target: Its folders are made.
        most: Bytes that it may have.

    Returns:
        Whether there is such a file.
    """
    try:
        *parents, last = Path(name).parts
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        for part in parents:
            above = opened
            try:
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                opened = os.open(part, flags, dir_fd=above)
            finally:
                os.close(above)
        try:
            # Nothing is waited for: a pipe has nobody at its other end.
            file = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=opened)
        finally:
            os.close(opened)
    except OSError:
        return False
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size > most:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as copy, os.fdopen(file, "rb", closefd=False) as source:
            shutil.copyfileobj(source, copy)
        return True
    finally:
        os.close(file)
