"""Files under competition/ that a competitor's code opens: those that a text in it names.

What is named is digested before anything runs. Any other file is refused where it is opened, so
that nothing is reached unseen.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from twinrun.errors import InputError
from twinrun.hooks.mistakes import is_own_file, place_of


class _Watched:
    """What is watched in this process; nothing as long as the folder is empty."""

    installed = False
    folder = ""
    allowed: frozenset[str] = frozenset()


# What a thread may open besides.
_more = threading.local()


def watch(folder: str, allowed: frozenset[str]) -> None:
    """Watch what is opened under a folder from now on.

    Args:
        folder: competition/, resolved; empty: nothing is watched.
        allowed: Paths in it, resolved, that may be opened.
    """
    _Watched.folder, _Watched.allowed = folder and folder + os.sep, allowed
    if folder and not _Watched.installed:
        _Watched.installed = True
        sys.addaudithook(_audit)  # it stays for good, and looks only at what is opened


@contextmanager
def allowing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Within this context this thread may open one file more: an image, say."""
    _more.path = os.path.realpath(path)
    try:
        yield
    finally:
        _more.path = ""


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _Watched.folder:
        return
    path = arguments[0]
    if not isinstance(path, str | bytes | os.PathLike):
        return
    real = os.path.realpath(os.fsdecode(path))
    if not real.startswith(_Watched.folder) or real in _Watched.allowed:
        return
    if real == getattr(_more, "path", ""):
        return
    line = _calling_line()
    if line is not None:
        name = os.path.relpath(real, _Watched.folder)
        raise InputError(
            f"{line}: opens {name}, which no text in this code names",
            fix=f'What a hook reads under competition/ counts for its members. Name it: "{name}".',
        )


def _calling_line() -> str | None:
    """Where in the competitor's code something is opened; None: the engine itself opens it."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if is_own_file(frame.f_code.co_filename):
            return place_of(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return None
