"""The command that does it all: run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinrun.cli.deadline import dry_run, plan_run, refuse_hours
from twinrun.cli.options import (
    OptionalAddress,
    RunOptions,
    as_command,
)
from twinrun.cli.submission import blend_trained, leave_submission, report_blended
from twinrun.config.toml_file import LARGEST
from twinrun.console import box, clock, say
from twinrun.errors import InputError, NegativeVerdict, Stopped, shortened
from twinrun.process import without_collector

if TYPE_CHECKING:
    from twinrun.cluster.driver import Failure
    from twinrun.config.settings import Settings
    from twinrun.prepare import Prepared

app = typer.Typer()


@app.command(
    cls=OptionalAddress,
    epilog="Examples:\n\ntwinrun run --profile fixture\n\n"
    "twinrun run --data ~/Downloads/photos --set run.seed=7 --run seed7\n\n"
    "twinrun run --hours 8.5\n\n"
    "twinrun run --hours 8.5 --dry-run\n\n"
    "twinrun run --ray auto --seeds 1,2,3",
)
@as_command
def run(
    *,
    options: RunOptions,
    without_data: Annotated[
        str | None,
        typer.Option(
            "--without-data",
            metavar="PROFILE",
            help="Use this profile when there is no data folder.",
        ),
    ] = None,
    hours: Annotated[
        float | None,
        typer.Option(
            "--hours",
            help="End within this time, such as 8.5, with a submission of what is complete by "
            "then. The same command later completes the rest.",
        ),
    ] = None,
    dry: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Say what it would take: hours, disk, memory, GPU memory. Nothing is written.",
        ),
    ] = False,
    seeds: Annotated[
        str | None,
        typer.Option(
            "--seeds",
            metavar="N,N,...",
            help="A run for each of these seeds, NAME-seed1 and so on, in place of run.seed. How "
            "far they are apart is recorded in each, and in the run NAME: a yardstick for verify.",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="[ADDRESS]",
            help="Train on the nodes of a Ray cluster: auto, or HOST:PORT of its head. Without an "
            "address Ray is started on this machine.",
        ),
    ] = None,
    allow_mixed: Annotated[
        bool,
        typer.Option(
            "--allow-mixed",
            help="Train all the same where nodes, or members that are there already, differ in "
            "what decides bits: versions, GPU model, instruction set.",
        ),
    ] = False,
) -> None:
    """Train every member, blend them, write and validate the submission, write the report."""
    begun = time.monotonic()
    with without_collector():
        from twinrun import prepare
        from twinrun.repro.ranks import current_rank
        from twinrun.try_hooks import try_hooks

    started = time.perf_counter()
    settings = options.read()
    chosen = options.profile or options.data
    if without_data and chosen is None and not settings.data_folder.is_dir():
        _say_no_data(settings, without_data)
        options = replace(options, profile=without_data)
        settings = options.read()
    if ray is not None and current_rank().count > 1:
        raise InputError("--ray is not for several ranks", fix="Start it without torchrun.")
    several = {"--ray": ray is not None, "--seeds": seeds is not None}
    refuse_hours(hours, several | {"several ranks": current_rank().count > 1}, dry=dry)
    numbers = _seeds(seeds)
    folder = options.folder
    if dry:
        dry_run(settings, folder, hours, begun)
        return
    try_hooks(settings)
    failures: list[Failure] = []
    with ExitStack() as stack:
        site = None
        if ray is not None:
            from twinrun.cluster.connect import connect
            from twinrun.cluster.runs import open_site, publish_run, train_runs

            stack.enter_context(connect(ray))
            site = open_site(settings, options.out, mixed=allow_mixed)
        prepared = prepare.prepare(settings, folder, site.environment if site else None)
        runs = _with_seeds(replace(prepared, mixed=allow_mixed), numbers)
        prepare.warn_of_validation(prepared, list(settings.members))
        options_of = _options_of(runs, options, numbers)
        if site is not None:
            with _submission_when_stopped(options_of, started):
                failures = train_runs(site, runs, started)
        for number, (each, own) in enumerate(options_of):
            if site is None:
                _train_and_blend(each, own, started, hours, begun)
            elif each.settings.blend.allow_missing or each.folder.name not in {
                failure.run for failure in failures
            }:
                with _submission_when_stopped(options_of[number:], started):
                    report_blended(each, blend_trained(each, started, own), own)
        if numbers and not current_rank().rank:
            _record_spread(folder, runs)
        if site is not None:
            for each in runs:
                publish_run(site, each)
    if failures:
        raise NegativeVerdict(
            f"{len(failures)} trainings have failed:",
            details=[line for failure in failures for line in failure.lines()],
            fix="Their checkpoints are kept. Fix it, and rerun the command: it resumes; or set "
            "blend.allow_missing = true to blend the others.",
        )
    say(f"done in {clock(time.perf_counter() - started)}")


def _options_of(
    runs: Sequence[Prepared], options: RunOptions, numbers: Sequence[int]
) -> list[tuple[Prepared, RunOptions]]:
    """Each run with the options that would make it alone."""
    return [
        (each, options.changed(f"run.seed={each.settings.run.seed}") if numbers else options)
        for each in runs
    ]


def _train_and_blend(
    run: Prepared, options: RunOptions, started: float, hours: float | None, begun: float
) -> None:
    """A run in this process: all of it, or what fits into some hours since it began."""
    from twinrun import train_run
    from twinrun.repro.ranks import current_rank

    deadline = None if hours is None else plan_run(run, hours, begun)
    with _submission_when_stopped([(run, options)], started):
        train_run.train(run, [], started, deadline)
        if current_rank().rank:
            return  # the rest is for one
        blended = blend_trained(run, started, options, partly=deadline is not None)
        report_blended(run, blended, options)


@contextmanager
def _submission_when_stopped(
    runs: Sequence[tuple[Prepared, RunOptions]], started: float
) -> Iterator[None]:
    """Where the block is stopped, leave submissions of what is complete of some runs.

    A second signal ends that at once.
    """
    from twinrun.repro.ranks import current_rank

    try:
        yield
    except KeyboardInterrupt as stop:
        lines = [str(stop) or "stopped before the end"]
        for run, options in runs if not current_rank().rank else ():
            lines += leave_submission(run, started, options)
        raise Stopped("; ".join(lines)) from None


def _seeds(seeds: str | None) -> list[int]:
    """The numbers of --seeds; none where it is not given."""
    if seeds is None:
        return []
    try:
        numbers = [int(text) for text in seeds.split(",")]
        if len(set(numbers)) < len(numbers) or min(numbers) < 0 or max(numbers) > LARGEST:
            raise ValueError
    except ValueError:
        raise InputError(
            f"--seeds {shortened(seeds)}: not different whole numbers from 0 to 2^63 - 1",
            fix="Example: --seeds 1,2,3",
        ) from None
    return numbers


def _with_seeds(prepared: Prepared, numbers: Sequence[int]) -> list[Prepared]:
    """The run, or one beside it for each of some seeds."""
    if not numbers:
        return [prepared]
    return [
        replace(
            prepared,
            settings=prepared.settings.model_copy(
                update={"run": prepared.settings.run.model_copy(update={"seed": number})}
            ),
            folder=prepared.folder.with_name(f"{prepared.folder.name}-seed{number}"),
        )
        for number in numbers
    ]


def _record_spread(folder: Path, runs: Sequence[Prepared]) -> None:
    """Record how far the runs of seeds are apart, and print it; the run of the plain name is one.

    Args:
        folder: runs/<run>, which need not be there.
        runs: A run for each seed.
    """
    from twinrun.compare.spread import record_spread
    from twinrun.metrics import METRICS

    asked = runs[0].settings
    metric, columns = asked.competition.metric, asked.submission.columns
    folders = [folder, *(each.folder for each in runs)]
    found = record_spread(folders, metric, columns, asked.asked_classes)
    if found is None:
        say("spread     of seeds not recorded: it takes two complete runs of different seeds")
        return
    for name, spread in found.items():
        score = "not defined" if spread["score"] is None else f"{spread['score']:.4f}"
        say(
            f"spread     {name}: between seeds, {METRICS.get(metric).words} differs by up "
            f"to {score}, a test image's probability by {spread['largest']:.3f}"
        )


def _say_no_data(settings: Settings, profile: str) -> None:
    address = settings.competition.address
    where = ("", "Download the real data from", address) if address else ()
    box(
        "no data folder",
        f"There is no {settings.data_folder} ({settings.folder_origin.words}), so this run uses "
        f"the profile '{profile}': small drawn images, so that you see every step.",
        *where,
        "Unpack it there, or name its folder with --data, and rerun the command.",
    )
