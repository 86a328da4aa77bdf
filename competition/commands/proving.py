"""The commands that prove something: twins, diff, verify."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from competition.commands.options import (
    RUNS,
    Change,
    Config,
    Data,
    Debug,
    Out,
    Profile,
    Quiet,
    answered,
    settings_of,
)
from competition.errors import NegativeVerdict
from competition.terminal import clock, console, say

if TYPE_CHECKING:
    from competition.proof.runs import Report

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ncompetition twins --profile fixture\n\n"
    "competition twins M26c --hostility kill --hostility workers --device cuda"
)
@answered
def twins(
    members: Annotated[
        list[str] | None,
        typer.Argument(help="Members. Default: one of each network.", show_default=False),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All members.")] = False,
    config: Config = None,
    profile: Profile = None,
    data: Data = None,
    out: Out = RUNS,
    changes: Change = None,
    device: Annotated[
        str | None, typer.Option("--device", help="auto, cpu or cuda, in place of the settings'.")
    ] = None,
    hostilities: Annotated[
        list[str] | None,
        typer.Option(
            "--hostility",
            metavar="NAME",
            help="What the second twin suffers: hash-seed, workers, folder, locale, data, "
            "cache, kill, or none. Repeatable. Default: all of them.",
        ),
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train members twice, the second time under hostile conditions, and compare every bit."""
    from competition import summaries
    from competition.proof.hostilities import HOSTILITIES, chosen_hostilities
    from competition.proof.twins import one_member_of_each_network, run_twins

    started = time.perf_counter()
    changes = [*(changes or []), *([f"run.device={device}"] if device else [])]
    settings = settings_of(config, profile, data, changes)
    suffered = chosen_hostilities(hostilities)
    settings.refuse_unknown_members(members or [])
    chosen = members or (list(settings.members) if every else one_member_of_each_network(settings))
    options = ["--config", str(settings.config)]
    options += ["--profile", profile] if profile else []
    options += ["--data", str(data.absolute())] if data else []
    options += [part for change in changes for part in ("--set", change)]
    options += ["--quiet"] if quiet else []
    folder = out.absolute() / "twins"
    verdict = run_twins(settings, chosen, options, folder, suffered)
    console.quiet = False
    console.print(summaries.twins(verdict))
    for name in verdict.hostilities:
        say(f"the second was trained with {HOSTILITIES[name]}")
    took = clock(time.perf_counter() - started)
    say(f"runs and verdict: {escape(str(folder))}, {took}")
    if not verdict.same:
        _tell(verdict.report, replay=True, data=settings.data_folder)
        raise NegativeVerdict("the twins differ: the same training gave other bits")
    if not verdict.control_differs:
        raise NegativeVerdict("another seed gave the same bits: this check cannot see a difference")
    trained = "1 member" if len(chosen) == 1 else f"{len(chosen)} members"
    say(f"[bold green]same bits[/]: {trained} trained twice; another seed gives other bits")


@app.command(
    epilog="Examples:\n\ncompetition diff runs/full runs/again\n\n"
    "competition diff runs/full runs/again --member M27g --replay"
)
@answered
def diff(
    run_a: Annotated[Path, typer.Argument(help="Folder of a run, or of a member of one.")],
    run_b: Annotated[Path, typer.Argument(help="Folder of another one.")],
    members: Annotated[
        list[str] | None,
        typer.Option("--member", metavar="NAME", help="Only this member. Repeatable."),
    ] = None,
    replay: Annotated[
        bool,
        typer.Option(
            "--replay",
            help="Make the step of the first difference again, for both, to name the image, module "
            "or parameter.",
        ),
    ] = False,
    data: Data = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Name the first difference between two recorded runs: exit code 0 same bits, 1 not."""
    from competition.proof import telling
    from competition.proof.runs import compare_runs

    report = compare_runs(run_a, run_b, members)
    console.quiet = False
    _tell(report, replay=replay, data=data, quiet=quiet)
    if not report.same:
        raise NegativeVerdict(telling.in_short(report))


@app.command(
    epilog="Examples:\n\ncompetition verify runs/full\n\n"
    "competition verify runs/full M27g --predict-only --data ~/wheat"
)
@answered
def verify(
    run: Annotated[Path, typer.Argument(help="Folder of a recorded run, such as runs/full.")],
    members: Annotated[
        list[str] | None, typer.Argument(help="Members. Default: all.", show_default=False)
    ] = None,
    predict_only: Annotated[
        bool, typer.Option("--predict-only", help="Only predict again, with the recorded weights.")
    ] = False,
    data: Data = None,
    out: Out = RUNS,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Make a recorded run again from its manifest and compare: exit code 0 same bits, 1 not."""
    from competition import summaries
    from competition.delivery.provenance import recorded_settings
    from competition.proof import verify as proof
    from competition.proof.runs import compare_runs

    started = time.perf_counter()
    settings = recorded_settings(run, data)
    names = proof.members_of(run, members or [])
    gaps = proof.environment_gaps(run, settings)
    if gaps:
        console.print(summaries.environment(gaps))
        say("other bits are to be expected where one of these decides them; going on")
    else:
        say("[bold]environment[/] as recorded")
    if predict_only:
        found = proof.verify_predictions(run, settings, names)
    else:
        found = proof.verify(run, settings, names, out / "verify" / run.resolve().name)
    console.quiet = False
    console.print(summaries.verification(found))
    say(f"took {clock(time.perf_counter() - started)}")
    if not found.same:
        if found.again is not None:
            _tell(compare_runs(run, found.again, names), replay=False, data=data)
        raise NegativeVerdict(f"{run} was made again and came out with other bits")
    what = "the predictions of" if predict_only else ""
    text = f"{what} {len(names)} {'member' if len(names) == 1 else 'members'} of {run}".strip()
    say(f"[bold green]same bits[/]: {escape(text)} made again")


def _tell(report: Report, *, replay: bool, data: Path | None, quiet: bool = False) -> None:
    """Print a comparison of two runs; with `replay`, name what differs in the first member."""
    from competition.proof import telling

    for line in telling.verdicts(report) if quiet else telling.told(report, replay=replay):
        say(line)
    if replay:
        from competition.proof.replays import REPLAYED, replay_both

        for member in report.members:
            difference = member.comparison.result
            if difference is not None and difference.stage in REPLAYED:
                runs = (report.first, report.second)
                replayed = replay_both(runs, member.name, difference, data)
                for line in telling.replayed(member, replayed, report):
                    say(line)
                return
