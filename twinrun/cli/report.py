"""The command that shows a run: report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinrun.cli.options import (
    Data,
    as_command,
)
from twinrun.console import Line, clock, say

if TYPE_CHECKING:
    from twinrun.report.member_contributions import Tables

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ntwinrun report runs/full\n\n"
    "twinrun report runs/full --data ~/Downloads/photos"
)
@as_command
def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run, such as runs/full.")],
    data: Data = None,
) -> None:
    """Write a run's report.html: one page with all that its files tell, to open in a browser."""
    from twinrun.report.report import write_report

    started = time.perf_counter()
    path = write_report(run, data)
    took = clock(time.perf_counter() - started)
    say("report ", (str(path), "bold"), f", {path.stat().st_size / 1e6:.1f} MB, {took}")


def write_and_describe(run: Path, tables: Tables | None = None) -> Line:
    """Write the report of a run that has just come to its end; the line to say of it.

    The run is complete by then: whatever keeps its page from being drawn is reported, and no error.

    Args:
        run: runs/<run>.
        tables: As for `write_report`.
    """
    from twinrun.report.report import write_report

    try:
        path = write_report(run, tables=tables)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return (
            ("report     not written", "yellow"),
            f": {reason}. The run itself is complete; `twinrun report {run}` tries again",
        )
    return (f"report     {path}",)
