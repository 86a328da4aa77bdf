"""Where Twinrun prints: one console, quiet when asked to be, without colour in a file."""

from __future__ import annotations

import warnings

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

# How the deprecations begin that fastai itself brings along.
KNOWN_WARNINGS = (
    "`torch.jit.script` is deprecated",
    "The 'mode.chained_assignment' option is deprecated",
)

console = Console(highlight=False, soft_wrap=False)
error_console = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Print one line of rich markup unless --quiet was given; paths in it need `escape`."""
    console.print(text, soft_wrap=True)


def box(title: str, text: str) -> None:
    """Print a text in a visible box, also when --quiet was given: it must not be overlooked."""
    quiet, console.quiet = console.quiet, False
    console.print(
        Panel(escape(text), title=title, border_style="yellow", title_align="left", padding=(1, 2))
    )
    console.quiet = quiet


class _Bars(Progress):
    def stop(self) -> None:
        if not self.disable:  # rich 13 would print an empty line
            super().stop()


def progress_bars() -> Progress:
    """Progress bars that appear only on a terminal, and vanish when the work is done."""
    return _Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
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


def count_of(count: int, one: str, many: str = "") -> str:
    """A count with its word: `1 image`, `1,234 images`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
