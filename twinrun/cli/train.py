"""The command that trains members or folds of them: train."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from twinrun.cli.options import (
    RUNS,
    Change,
    Config,
    Data,
    Debug,
    Out,
    Profile,
    Quiet,
    RunName,
    answered,
    run_name,
    settings_of,
)
from twinrun.console import clock, say
from twinrun.process import without_collector

if TYPE_CHECKING:
    pass

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ntwinrun train\n\ntwinrun train M27g M26c --profile fixture\n\n"
    "twinrun train M27g/fold-1"
)
@answered
def train(
    members: Annotated[
        list[str] | None,
        typer.Argument(
            help="Members, or folds of them: M27g/fold-1. Default: all.", show_default=False
        ),
    ] = None,
    config: Config = None,
    profile: Profile = None,
    data: Data = None,
    out: Out = RUNS,
    run: RunName = None,
    changes: Change = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train members; those that are complete are skipped."""
    with without_collector():
        from twinrun import prepare, train_run
        from twinrun.run_folder.paths import RunFolder

    started = time.perf_counter()
    settings = settings_of(config, profile, data, changes)
    names = members or []
    asked = list(dict.fromkeys(each.member for each in settings.select_trainings(names)))
    prepared = prepare.prepare(settings, out / run_name(run, profile))
    prepare.warn_of_validation(prepared, asked)
    train_run.train(prepared, names, started)
    took = clock(time.perf_counter() - started)
    say(f"done in {took}: {escape(str(RunFolder(prepared.folder).members))}")
