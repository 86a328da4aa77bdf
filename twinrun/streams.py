"""Where a process prints to: what cannot be printed is lost, and the work goes on."""

from __future__ import annotations

import io
import os
import select
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Lasting(io.FileIO):
    """A file that takes whatever is written to it, also when it cannot keep it."""

    def write(self, data: ReadableBuffer, /) -> int:
        rest = memoryview(data).cast("B")
        length = len(rest)
        # A reader that went away, a full disk, a terminal that was closed.
        with suppress(OSError):
            while rest:
                written: int | None = super().write(rest)
                if written is None:  # somebody made it one that does not wait, and it is full
                    select.select([], [self], [])
                else:
                    rest = rest[written:]
        return length


def let_no_print_fail() -> None:
    r"""Make stdout and stderr of this process take every text, whatever is behind them.

    Characters that their encoding lacks are written as escapes such as `\u2192`. What a closed
    pipe, a full disk or a closed terminal does not take is lost without a word: the exit code and
    the files say how a command ended, too.

    Where a process was started without stdin, stdout or stderr, they lead nowhere. Otherwise the
    next file that is opened would have their number, and what libraries print would go into it.
    """
    with suppress(OSError):
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(number, True)
        os.close(number)
    sys.stdout, sys.stderr = _lasting(sys.stdout, 1), _lasting(sys.stderr, 2)


def open_lasting(file: Path | int, *, encoding: str = "utf-8", unbuffered: bool = False) -> TextIO:
    """A stream that takes every text, as stdout does after `let_no_print_fail`.

    Args:
        file: A path, which is written anew, or the number of an open file, which stays open.
        encoding: Of the text.
        unbuffered: Whether each print is written at once.
    """
    raw = _Lasting(file, "w", closefd=not isinstance(file, int))
    # Whoever writes bytes, past the text, meets no error either.
    below = raw if unbuffered else io.BufferedWriter(raw)
    return io.TextIOWrapper(
        below,
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=file == 2 or raw.isatty(),
        write_through=unbuffered,
    )


def _lasting(stream: TextIO | None, number: int) -> TextIO:
    if stream is None:
        return open_lasting(number)
    unbuffered = getattr(stream, "write_through", False)
    return open_lasting(number, encoding=stream.encoding, unbuffered=unbuffered)
