"""Plain files, opened to be read; a pipe, a socket or a device in place of one is refused."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path


def special_kind(mode: int) -> str:
    """What a path is that is no plain file, in words; empty for a plain file."""
    if stat.S_ISREG(mode):
        return ""
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def refuse_special(path: str | Path, mode: int) -> None:
    """Raise OSError where the mode of a path, as `os.stat` gives it, is no plain file's."""
    if kind := special_kind(mode):
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(number, f"it is {kind}, not a file", str(path))


def plain(path: Path) -> Path:
    """A path that a library may open by itself: that of a plain file.

    Raises:
        OSError: Nothing is there, or what is there is a folder, a pipe, a socket or a device.
    """
    refuse_special(path, path.stat().st_mode)
    return path


def open_descriptor(path: str | Path) -> int:
    """As `open_plain`, the number of the open file: for those who read a hundred thousand."""
    # Looked at before: to open certain devices does something already.
    refuse_special(path, os.stat(path).st_mode)  # noqa: PTH116  (a Path takes as long as the rest)
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        refuse_special(path, os.fstat(number).st_mode)  # and after: it may have been exchanged
    except OSError:
        os.close(number)
        raise
    return number


def open_plain(path: Path) -> BufferedReader:
    """A plain file, opened to be read.

    Raises:
        OSError: Nothing is there, what is there is a folder, a pipe, a socket or a device, which is
            neither waited for nor read, or it cannot be opened.
    """
    return os.fdopen(open_descriptor(path), "rb")


def read_bytes(path: Path) -> bytes:
    """The content of a plain file.

    Raises:
        OSError: As `open_plain`.
    """
    with open_plain(path) as file:
        return file.read()
