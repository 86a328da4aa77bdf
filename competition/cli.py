"""The command line: `competition COMMAND`."""

from __future__ import annotations

import typer

from competition.commands import (
    auditing,
    making,
    packaging,
    proving,
    reporting,
    running,
    starting,
    storing,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
    help="Twinrun: train an image-classification competition to the same bits every time.",
    epilog="Exit codes: 0 done; 1 the answer is no (bits differ, submission invalid); "
    "2 wrong use or input.",
)
app.add_typer(starting.app)
app.add_typer(auditing.app)
app.add_typer(running.app)
app.add_typer(making.app)
app.add_typer(proving.app)
app.add_typer(reporting.app)
app.add_typer(packaging.app)
app.add_typer(storing.app)
