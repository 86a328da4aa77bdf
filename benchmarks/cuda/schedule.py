"""Runs parts one after the other, each in a process with a time limit; FILE is whole after each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

DONE, FAILED, LATE, LEFT = "done", "failed", "out of time", "not started"

_LAST_LINES = 16
_GRACE = 3.0


@dataclass(frozen=True)
class Part:
    """Something that is measured in a process of its own.

    Attributes:
        name: On the command line and in FILE.
        title: For people.
        seconds: The most that it may take when the whole has eight minutes; of other minutes its
            share. None: all that is left.
        least: With fewer seconds left it is not started.
    """

    name: str
    title: str
    seconds: float | None
    least: float = 10.0


@dataclass
class Report:
    """FILE, as it grows.

    Attributes:
        path: Of FILE.
        content: JSON values; "parts" is a list.
        hidden: Texts that no reader needs, such as folders of this machine, and what stands there
            instead.
    """

    path: Path
    content: dict[str, Any]
    hidden: Sequence[tuple[str, str]] = ()

    def add(self, record: dict[str, Any]) -> None:
        """Write FILE with one more part."""
        self.content.setdefault("parts", []).append(record)
        self.write()

    def write(self) -> None:
        """Write FILE, whole or not at all."""
        text = json.dumps(self.content, indent=1, ensure_ascii=False) + "\n"
        for word, instead in self.hidden:
            text = text.replace(json.dumps(word)[1:-1], instead)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f".{self.path.name}.partial")
        beside.write_text(text, encoding="utf-8")
        beside.replace(self.path)


def run_parts(
    parts: Iterable[Part],
    command: Callable[[Part, float, Path], Sequence[str]],
    report: Report,
    *,
    minutes: float,
    until: float,
    folder: Path,
    say: Callable[[str], None],
    ended: Callable[[], None] = lambda: None,
) -> None:
    """Run the parts in their order until the time is over.

    Args:
        parts: In the order of their worth.
        command: Of a part, given the seconds that it has and the file for its answer; a part
            writes that file anew whenever it has found something.
        report: Gets a record of each part as it ends.
        minutes: For all of it.
        until: time.monotonic() when it is over.
        folder: For logs and answers.
        say: Gets a line for each part.
        ended: Called after each part, before FILE is written once more.
    """
    for part in parts:
        left = until - time.monotonic()
        limit = left if part.seconds is None else min(left, part.seconds * minutes / 8)
        record: dict[str, Any] = {"part": part.name, "title": part.title}
        if left < part.least or limit <= 0:
            report.add({**record, "state": LEFT, "seconds": 0.0, "rows": []})
            say(f"{part.title}: {LEFT}, {max(left, 0):.0f} s left")
            continue
        answer, log = folder / f"{part.name}.json", folder / f"{part.name}.log"
        answer.unlink(missing_ok=True)
        started = time.monotonic()
        state = _run(command(part, limit, answer), log, limit)
        seconds = time.monotonic() - started
        record |= {"state": state, "seconds": round(seconds, 1), "limit": round(limit, 1)}
        record |= _answer(answer)
        # A row may tell of a failure whose cause only the log has.
        if state != DONE or any(row["kept"] == "no" for row in record["rows"]):
            record["last_lines"] = _last_lines(log)
        report.add(record)
        ended()
        report.write()
        say(f"{part.title}: {state}, {seconds:.0f} s of {limit:.0f}")


def _run(command: Sequence[str], log: Path, limit: float) -> str:
    """Run a process and all that it starts; end them at the limit, and when this process ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            return FAILED if process.wait(limit) else DONE
        except subprocess.TimeoutExpired:
            return LATE
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the processes of a session, first by SIGTERM; none is left on the GPU."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)


def _answer(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"rows": []}
    return content


def _last_lines(log: Path) -> list[str]:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line.rstrip()[:300] for line in lines if line.strip()][-_LAST_LINES:]
