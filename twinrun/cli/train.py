"""The command that trains members or folds of them: train."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from twinrun.cli.options import (
    RunOptions,
    as_command,
)
from twinrun.console import clock, say
from twinrun.process import without_collector

if TYPE_CHECKING:
    pass

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ntwinrun train\n\ntwinrun train first second --profile fixture\n\n"
    "twinrun train first/fold-1"
)
@as_command
def train(
    members: Annotated[
        list[str] | None,
        typer.Argument(
            help="Members, or folds of them: first/fold-1. Default: all.", show_default=False
        ),
    ] = None,
    *,
    options: RunOptions,
) -> None:
    """Train members; those that are complete are skipped."""
    with without_collector():
        from twinrun import prepare, train_run
        from twinrun.run_folder.paths import RunFolder
        from twinrun.try_hooks import try_hooks

    started = time.perf_counter()
    settings = options.read()
    names = members or []
    asked = list(dict.fromkeys(each.member for each in settings.select_trainings(names)))
    try_hooks(settings, asked)
    prepared = prepare.prepare(settings, options.folder)
    prepare.warn_of_validation(prepared, asked)
    train_run.train(prepared, names, started)
    took = clock(time.perf_counter() - started)
    say(f"done in {took}: {RunFolder(prepared.folder).members}")
