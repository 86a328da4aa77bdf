"""How a command ends that does not come to its end: one message and an exit code."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import typer

from twinrun.cli.ranks import report_once
from twinrun.console import complain
from twinrun.errors import InputError, TwinrunError
from twinrun.hooks.mistakes import own_mistake
from twinrun.masks import mask
from twinrun.memory import is_short_of_memory, reason
from twinrun.package.places import hide_places, telling_places
from twinrun.repro.source import ENGINE, describe_engine, read_engine

# A training says itself what it does not fit into; this is for all other work.
_LOWER = (
    "End what else uses it, or take a machine with more. Settings that need less:",
    "  run.workers: the same bits, slower",
    "  image_size of members, and so the decoded images: a different recipe, other bits",
)
# As sysexits.h has it: an internal fault of the program.
UNFORESEEN = 70


@contextmanager
def one_message(*, debug: bool) -> Iterator[None]:
    """End the process with one message and an exit code where the block raises an error.

    A mistake in what was given is 2, in the competitor's own code too, as is a wish to stop; the
    answer no is 1. What nobody foresaw
    is 70: one line, and the details in a file whose path it tells.

    Args:
        debug: Let the error through, for its traceback.
    """
    try:
        yield
    except typer.Exit:
        raise
    except KeyboardInterrupt as stop:
        if debug:
            raise
        _end(
            InputError.exit_code,
            str(stop) or "stopped before the end",
            "What is complete stays, nothing is half written. To resume, rerun the same command:",
            _command(),
        )
    except TwinrunError as error:
        if debug:
            raise
        _end(error.exit_code, *error.lines)
    except Exception as error:
        if debug:
            raise
        if is_short_of_memory(error):
            _end(
                InputError.exit_code, f"out of memory: {reason(error) or 'no more of it'}", *_LOWER
            )
        if mistake := own_mistake(error):
            _end(mistake.exit_code, *mistake.lines)
        if isinstance(error, OSError):
            named = error.filename or "the system"
            _end(InputError.exit_code, f"{named}: {error.strerror or error}")
        _end_unforeseen(error)


def _command() -> str:
    return shlex.join(["twinrun", *sys.argv[1:]])


def _end(code: int, *lines: str) -> NoReturn:
    with report_once() as reports:
        if reports:
            complain(*lines)
    raise SystemExit(code)


def _end_unforeseen(error: Exception) -> NoReturn:
    with report_once() as reports:
        if reports:
            # Cut first, it may lose what says that something is a secret.
            told = mask(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
            what = f"a fault in Twinrun itself, {told}{_place(error)}."
            details = _details(error)
            try:
                file = _write_details(details)
            except OSError as problem:
                told = f"{what} The details cannot be written to a file ({problem}):"
                complain(told, *details.splitlines())
            else:
                complain(f"{what} The details are in {file}: please report it with that file.")
    raise SystemExit(UNFORESEEN)


def _place(error: Exception) -> str:
    """Where in the engine it happened: the innermost of its lines that the error passed."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(ENGINE):
            return f" ({path.relative_to(ENGINE.parent)}, line {frame.lineno})"
    return ""


def _details(error: Exception) -> str:
    """What is there to be sent: it holds no secret, and names no folder that says whose it is."""
    places = telling_places(
        (ENGINE.parent, "the engine's folder"),
        (Path(sys.prefix), "the environment"),
        (Path(os.path.curdir), "this folder"),
    )
    # Word by word: a quotation mark in a path is written in another way in a command.
    words = [hide_places(mask(word), places) for word in sys.argv[1:]]
    text = "\n".join(
        [
            f"Twinrun {describe_engine(read_engine())}",
            f"Python {platform.python_version()}, {platform.platform()}",
            f"$ {shlex.join(['twinrun', *words])}",
            "",
            *traceback.format_exception(error),
        ]
    )
    return hide_places(mask(text), places)


def _write_details(text: str) -> Path:
    """Write the details into a new file that only its owner may read."""
    number, name = tempfile.mkstemp(prefix="twinrun-fault-", suffix=".txt")
    with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    return Path(name)
