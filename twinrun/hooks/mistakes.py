"""A mistake in a competitor's code, told as theirs: file, line, lines of their code only."""

from __future__ import annotations

import traceback
from pathlib import Path

from twinrun.errors import InputError

# Frames that are shown, the innermost.
_MOST = 4
# The files of a competitor's code that this process has imported.
_files: set[str] = set()


def note_files(paths: list[str]) -> None:
    """Take files as a competitor's code from now on."""
    _files.update(paths)


def is_own_file(path: str) -> bool:
    """Whether a file is a competitor's code that this process has imported."""
    return path in _files


def own_mistake(error: BaseException) -> InputError | None:
    """An error as the mistake of the competitor's code that it went through; None: through none.

    Args:
        error: Any; a mistake that is told already, and a wish to stop, are none.
    """
    if isinstance(error, InputError) or not isinstance(error, Exception):
        return None
    frames = [f for f in traceback.extract_tb(error.__traceback__) if is_own_file(f.filename)]
    if isinstance(error, SyntaxError) and error.filename and is_own_file(error.filename):
        return InputError(f"{place_of(error.filename, error.lineno)}: {error.msg}", fix=_FIX)
    if not frames:
        return None
    last = frames[-1]
    told = " ".join(f"{type(error).__name__}: {error}".split())
    return InputError(
        f"{place_of(last.filename, last.lineno)}: {told}",
        details=[
            f"{Path(each.filename).name}, line {each.lineno}, in {each.name}: {each.line}"
            for each in frames[-_MOST:]
        ],
        fix=_FIX,
    )


_FIX = "This is your own code: mend it there, then rerun the command."


def place_of(file: str, line: int | None) -> str:
    """A line of a file of the competitor's for a message: `competition/hooks.py, line 12`."""
    path = Path(file)
    return f"{path.parent.name}/{path.name}, line {line}"
