"""Drivers and nodes as processes of their own, told what to do and listened to line by line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.conftest import ROOT

# Far more than any of it takes: what stands still is ended, not what is slow.
SECONDS = 600.0


class Talking:
    """A process whose lines are waited for; it is ended with the block."""

    def __init__(self, command: Sequence[str], folder: Path, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env={**os.environ, "COLUMNS": "160", "PYTHONPATH": str(ROOT), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout
        self.said: list[str] = []
        # A line that never comes must not hold up all tests.
        self.timer = threading.Timer(SECONDS, self.process.kill)
        self.timer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.timer.cancel()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.input.close()
        self.output.close()

    def until(self, pattern: str) -> re.Match[str]:
        """Listen until a line matches."""
        for line in self.output:
            self.said.append(line)
            found = re.search(pattern, line)
            if found:
                return found
        raise AssertionError(f"no {pattern!r} in:\n{self.text}")

    def end(self) -> int:
        """Listen to the end; the exit code."""
        self.said.extend(self.output)
        return self.process.wait()

    @property
    def text(self) -> str:
        """All that it has said."""
        return "".join(self.said)


class Nodes(Talking):
    """A cluster, see nodes.py."""

    def __init__(self) -> None:
        super().__init__(["tests.cluster.nodes"], ROOT)
        self.address = self.until(r"^address (\S+)")[1]
        # It lives as long as the tests that use it.
        self.timer.cancel()

    def __exit__(self, *details: object) -> None:
        self.input.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
        super().__exit__(None, None, None)

    def add(self, name: str, *variables: str) -> None:
        """Add a node of one core."""
        self._told(f"add {name} 1 {' '.join(variables)}")

    def remove(self, name: str) -> None:
        """Take a node away at once."""
        self._told(f"remove {name} now")

    def _told(self, line: str) -> None:
        self.input.write(f"{line}\n")
        self.input.flush()
        self.until("^done")


def driver(folder: Path, run: str, *options: str, config: str = "small.toml") -> Talking:
    """`twinrun run` in a folder."""
    command = ["twinrun", "run", "--config", config, "--run", run, *options]
    return Talking(command, folder)


def kill(process: int) -> None:
    """SIGKILL."""
    os.kill(process, signal.SIGKILL)
