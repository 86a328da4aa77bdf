"""A command of Twinrun in a process of its own, as a notebook starts it.

A training's bits depend on what a process starts with (the hash seed, the allocator, what OpenMP
reads), and a notebook's kernel has started long before.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from twinrun.console import relay, say
from twinrun.errors import InputError, NegativeVerdict, Stopped, TwinrunError
from twinrun.process import engine_environment

_ERROR = "error:"


def run_command(words: Sequence[str], folder: Path) -> None:
    """Run a command to its end, and print what it prints, line by line.

    Where this process is interrupted, as by a notebook's stop button, so is the command: it writes
    a checkpoint and comes to its end before this raises. Where this process is killed, as by a
    kernel's restart, the command is ended as by SIGTERM.

    Args:
        words: `twinrun`'s arguments.
        folder: Where it works.

    Raises:
        InputError: The command has ended with exit code 2.
        NegativeVerdict: It has ended with 1.
        TwinrunError: It has ended otherwise: killed, or with what no one foresaw.
        KeyboardInterrupt: This process was interrupted, and the command has stopped.
    """
    command = [sys.executable, "-m", "twinrun.notebook_child", str(os.getpid()), *words]
    # In a session of its own: else a kernel's interrupt would reach it twice, and the second ends
    # it at once.
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=engine_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    said: list[str] = []
    listener = threading.Thread(target=_listen, args=(process.stderr, said), daemon=True)
    listener.start()
    interrupted = False
    with process:
        while True:
            try:
                for line in process.stdout:
                    say(line.rstrip("\n"))
                code = process.wait()
                break
            except KeyboardInterrupt:
                interrupted = True
                process.send_signal(signal.SIGINT)
        listener.join()
    if interrupted:
        raise Stopped("\n".join(said) or "stopped")
    _end_with(code, said)


def _listen(stream: IO[str], said: list[str]) -> None:
    said.extend(line.rstrip("\n") for line in stream)


def _end_with(code: int, said: Sequence[str]) -> None:
    """Raise what the command has ended with, and print what it said before that on stderr."""
    at = next((n for n, line in enumerate(said) if line.startswith(_ERROR)), len(said))
    relay(said[: at if code else None])
    if not code:
        return
    first = said[at].removeprefix(_ERROR).strip() if at < len(said) else ""
    rest = list(said[at + 1 :])
    if code in (InputError.exit_code, NegativeVerdict.exit_code):
        kind = InputError if code == InputError.exit_code else NegativeVerdict
        raise kind(first, fix=rest)
    end = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    raise CommandFailed(f"the command {end}", fix=[line for line in (first, *rest) if line])


class CommandFailed(TwinrunError):
    """A command's process has ended in a way that is no verdict and nobody's mistake."""

    exit_code = 70
