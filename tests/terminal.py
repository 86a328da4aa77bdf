"""What the console makes of what commands print."""

from __future__ import annotations

from rich.console import RenderableType

from twinrun.cli.grid import Grid
from twinrun.console import Line, Terminal, styled


def plain(*lines: Line) -> str:
    """Lines without their styles."""
    return "\n".join(styled(*line).plain for line in lines)


def shown(*parts: RenderableType | Line | Grid, width: int = 200) -> str:
    """Lines and tables as a terminal of so many columns has them, without colour."""
    terminal = Terminal(width=width)
    with terminal.capture() as capture:
        for part in parts:
            if isinstance(part, Grid):
                part.print(terminal)
            else:
                terminal.print(styled(*part) if isinstance(part, tuple) else part)
    return capture.get()
