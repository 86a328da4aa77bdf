"""The command that trains members twice and compares: twins."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from twinrun.cli.diff import print_comparison
from twinrun.cli.options import (
    RUNS,
    Out,
    SettingsOptions,
    as_command,
)
from twinrun.console import clock, console, say
from twinrun.errors import NegativeVerdict
from twinrun.twins.perturbations import PERTURBATIONS, choose_perturbations

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ntwinrun twins --profile fixture\n\n"
    "twinrun twins first --perturb kill --perturb workers --device cuda"
)
@as_command
def twins(
    members: Annotated[
        list[str] | None,
        typer.Argument(help="Members. Default: one of each network.", show_default=False),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All members.")] = False,
    *,
    common: SettingsOptions,
    out: Out = RUNS,
    device: Annotated[
        str | None, typer.Option("--device", help="auto, cpu or cuda, in place of the settings'.")
    ] = None,
    perturbed: Annotated[
        list[str] | None,
        typer.Option(
            "--perturb",
            metavar="NAME",
            help="What is different for the second run: "
            f"{', '.join(PERTURBATIONS.names)}, or none. Repeatable. Default: all of them.",
        ),
    ] = None,
) -> None:
    """Train members twice, the second time under perturbations, and compare every bit."""
    from twinrun.cli import tables
    from twinrun.run_folder.paths import RunsFolder
    from twinrun.twins.twins import one_member_of_each_network, run_twins

    started = time.perf_counter()
    common = common.changed(f"run.device={device}") if device else common
    settings = common.read()
    perturbations = choose_perturbations(perturbed)
    settings.refuse_unknown_members(members or [])
    chosen = members or (list(settings.members) if every else one_member_of_each_network(settings))
    options = ["--config", str(settings.config)]
    options += ["--profile", common.profile] if common.profile else []
    options += ["--data", str(common.data.absolute())] if common.data else []
    options += [part for change in common.changes or [] for part in ("--set", change)]
    options += ["--quiet"] if console.quiet else []
    folder = RunsFolder(out.absolute()).twins.path
    verdict = run_twins(settings, chosen, options, folder, perturbations)
    console.quiet = False
    tables.twins(verdict).print()
    for name in verdict.perturbations:
        say(f"second run: {PERTURBATIONS.get(name).words}")
    took = clock(time.perf_counter() - started)
    say(f"runs and verdict: {folder}, {took}")
    if not verdict.same:
        print_comparison(verdict.report, replay=True, data=settings.data_folder)
        raise NegativeVerdict("the twins differ: the same training gave different bits")
    if not verdict.control_differs:
        raise NegativeVerdict(
            "a different seed gave the same bits: this check cannot see a difference"
        )
    trained = "1 member" if len(chosen) == 1 else f"{len(chosen)} members"
    say(
        ("same bits", "bold green"),
        f": {trained} trained twice; a different seed gives different bits",
    )
