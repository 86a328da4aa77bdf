"""Where Twinrun prints: one console, quiet when asked to be, without colour in a file.

What is printed is foreign unless a literal of ours says otherwise: names, paths, cells of a CSV,
messages of libraries. So a text here is a text. It has no markup, emoji are not called by name, and
what a terminal would obey is spelled out, and secrets are masked (`foreign.shown`). Style is given
beside a text, as (text, style), and never within one. tests/test_foreign_text.py forbids to print
elsewhere.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Iterable
from typing import Any, TextIO

from rich.cells import chop_cells
from rich.console import Console, ConsoleOptions, RenderableType
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.prompt import Confirm
from rich.segment import Segment
from rich.text import Text

from twinrun.foreign import shown

# How the deprecations begin that fastai itself brings along.
KNOWN_WARNINGS = (
    "`torch.jit.script` is deprecated",
    "The 'mode.chained_assignment' option is deprecated",
)

Part = str | tuple[str, str]
"""A piece of a line: a text, or a text and its style ("bold red")."""
Line = tuple[Part, ...]

# Without a terminal a line tells how far long work has come, each time that so many seconds passed.
_EVERY = 30.0


def _in_a_notebook() -> bool:
    """Whether this process is a notebook's kernel, or was started by one."""
    return "JPY_PARENT_PID" in os.environ


class Terminal(Console):
    """A console that takes every text as a text, see this module."""

    def __init__(self, **options: Any) -> None:
        # A notebook's cells are no terminal, though `!twinrun` in one is given what looks like it.
        if _in_a_notebook():
            options = {"force_terminal": False, "force_jupyter": False, **options}
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """A text of a table or a panel: tamed before it is measured."""
        return super().render_str(shown(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """All that is printed comes through here, also what rich made a `Text` of by itself."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(_tamed(segment.text), segment.style)


def _tamed(text: str) -> str:
    return "\n".join(map(shown, text.split("\n")))


console = Terminal()
error_console = Terminal(stderr=True, soft_wrap=True)


def say(*parts: Part) -> None:
    """Print one line unless --quiet was given."""
    console.print(styled(*parts), soft_wrap=True)


def quote(whose: str, text: str) -> None:
    """Print a line of foreign text unless --quiet was given, each row of it marked as such.

    Else a terminal would break a long line, and the words after the break would look like ours.
    """
    for row in rows_of(text, console.width - len(whose) - 1):
        say((whose, "dim"), f" {row}")


def rows_of(text: str, width: int) -> list[str]:
    """A text as rows of at most so many cells of a terminal, at least one row."""
    return chop_cells(shown(text.expandtabs()), max(width, 20)) or [""]


def styled(*parts: Part) -> Text:
    """One line as a cell of a table takes it."""
    text = Text()
    for part in parts:
        words, style = (part, "") if isinstance(part, str) else part
        text.append(shown(words), style or None)
    return text


def stacked(lines: Iterable[Line]) -> Text:
    """Lines below each other, as a cell of a table takes them."""
    return Text("\n").join(styled(*line) for line in lines)


def box(title: str, *lines: str) -> None:
    """Print lines in a visible box, also when --quiet was given: it must not be overlooked."""
    quiet, console.quiet = console.quiet, False
    console.print(
        Panel(
            stacked((line,) for line in lines),
            title=styled(title),
            border_style="yellow",
            title_align="left",
            padding=(1, 2),
        )
    )
    console.quiet = quiet


def complain(*lines: str) -> None:
    """Print lines on stderr: why a command ends."""
    error_console.print(styled(("error:", "bold red")), end=" ")
    relay(lines)


def relay(lines: Iterable[str]) -> None:
    """Print on stderr what a process, or a library, had to say."""
    for line in lines:
        error_console.print(styled(line.expandtabs()))


def tell(*parts: Part) -> None:
    """Print one line where questions are asked, also when --quiet was given."""
    error_console.print(styled(*parts))


def is_anyone_there() -> bool:
    """Whether somebody can be asked: there is a terminal to ask on, and to answer on."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def ask(prompt: str) -> str:
    """Ask on the terminal, also when --quiet was given; what was typed, without blanks around it.

    Raises:
        EOFError: The terminal is closed, as by Ctrl-D.
    """
    return error_console.input(styled(prompt)).strip()


def confirm(question: str) -> bool:
    """Ask for a yes on the terminal, also when --quiet was given; a mere Enter is a no."""
    return Confirm.ask(styled(question), console=error_console, default=False)


class _Bars(Progress):
    """Bars on a terminal; elsewhere, as in a notebook or a log, a line now and then."""

    def __init__(self, *columns: ProgressColumn, **options: Any) -> None:
        super().__init__(*columns, **options)
        self._told = time.monotonic()
        self._begun: dict[TaskID, tuple[float, float]] = {}

    def stop(self) -> None:
        if not self.disable:  # rich 13 would print an empty line
            super().stop()

    def add_task(self, description: str, *args: Any, **options: Any) -> TaskID:
        task = super().add_task(description, *args, **options)
        self._begun[task] = time.monotonic(), self._tasks[task].completed
        return task

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._tell(task_id)

    def update(self, task_id: TaskID, **values: Any) -> None:
        super().update(task_id, **values)
        self._tell(task_id)

    def _tell(self, task_id: TaskID) -> None:
        now = time.monotonic()
        if not self.console.is_terminal and now - self._told >= _EVERY:
            self._told = now
            began, done = self._begun[task_id]
            say(_how_far(self._tasks[task_id], now - began, done))


def _how_far(task: Task, elapsed: float, before: float) -> str:
    """A task in one line: `first: 120 of 480, 2 min 10 s, 6 min 30 s left, valid loss 0.4032`.

    Args:
        task: Of rich.
        elapsed: Seconds since it was added.
        before: What was done of it by then.
    """
    done, total = task.completed, task.total
    parts = [f"{done:,.0f}" + (f" of {total:,.0f}" if total else ""), clock(elapsed)]
    if total and done > before:
        # rich's own estimate looks back for seconds only, and a line stands for half a minute.
        parts.append(f"{clock(elapsed * (total - done) / (done - before))} left")
    note = task.fields.get("note")
    return f"{task.description}: {', '.join([*parts, *([note] if note else [])])}"


class _Words(ProgressColumn):
    def render(self, task: Task) -> Text:
        return styled(task.description)


class _Note(ProgressColumn):
    def render(self, task: Task) -> Text:
        return styled(task.fields["note"])


def progress_bars() -> Progress:
    """Progress bars that vanish when the work is done; without a terminal, a line now and then."""
    return _Bars(
        _Words(),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        _Note(),
        console=console,
        transient=True,
        disable=not console.is_terminal or console.quiet,
    )


def clock(seconds: float) -> str:
    """A duration in words that fit a table: `42 s`, `3 min 07 s`, `6 h 31 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def megabytes(count: int) -> str:
    """Bytes in words that fit a line: `0.4 MB`, `290 MB`, `19.5 GB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return (
                f"{count / size:.1f} {unit}"
                if count < 100 * size
                else f"{count / size:,.0f} {unit}"
            )
    return f"{count / 1e6:.1f} MB"


def ignore_known_warnings() -> None:
    """Keep quiet about deprecations inside fastai that a user can do nothing about."""
    for beginning in KNOWN_WARNINGS:
        warnings.filterwarnings("ignore", beginning)


def relay_warnings() -> None:
    """Print what libraries warn of on this console too: a name may stand in it."""
    warnings.showwarning = _relay_warning


def _relay_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    text = warnings.formatwarning(message, category, filename, lineno, line)
    if file is None:
        relay(text.splitlines())
    else:
        file.write(text)


def count_of(count: int, one: str, many: str = "") -> str:
    """A count with its word: `1 image`, `1,234 images`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
