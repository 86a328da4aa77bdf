"""The command that does it all: run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinrun.cli.deadline import dry_run, ends_in_time, plan_run, refuse_hours
from twinrun.cli.options import (
    OptionalAddress,
    RunOptions,
    as_command,
)
from twinrun.cli.seeds import of_seeds, options_of_each, read_seeds, record_spread_of, with_seeds
from twinrun.cli.submission import (
    blend_trained,
    hand_in_late,
    leave_submissions,
    report_blended,
)
from twinrun.console import box, clock, say
from twinrun.errors import InputError, NegativeVerdict, OutOfTime, Stopped
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

    started = time.perf_counter()
    settings = options.read()
    chosen = options.profile or options.data
    if without_data and chosen is None and not settings.data_folder.is_dir():
        _say_no_data(settings, without_data)
        options = replace(options, profile=without_data)
        settings = options.read()
    _refuse_together(ray, seeds, hours, dry=dry)
    numbers = read_seeds(seeds)
    folder = options.folder
    if dry:
        dry_run(settings, folder, hours, begun)
        return
    failures: list[Failure] = []
    with ExitStack() as stack:
        site = None
        if ray is not None:
            from twinrun.cluster.connect import connect
            from twinrun.cluster.runs import open_site, publish_run, train_runs

            stack.enter_context(connect(ray))
            site = open_site(settings, options.out, mixed=allow_mixed)
        asked = _Asked(settings, options, numbers, allow_mixed, started, hours, begun)
        prepared = asked.prepare(site.environment if site else None)
        if prepared is None:
            return
        runs = with_seeds(prepared, numbers)
        prepare.warn_of_validation(prepared, list(settings.members))
        options_of = options_of_each(runs, options, numbers)
        if site is not None:
            with _submission_when_stopped(lambda: options_of, started):
                failures = train_runs(site, runs, started)
        for number, (each, own) in enumerate(options_of):
            if site is None:
                _train_and_blend(each, own, started, hours, begun)
            elif each.settings.blend.allow_missing or each.folder.name not in {
                failure.run for failure in failures
            }:
                with _submission_when_stopped(lambda: options_of[number:], started):  # noqa: B023
                    report_blended(each, blend_trained(each, started, own), own)
        if numbers and not current_rank().rank:
            record_spread_of(folder, runs)
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


def _refuse_together(ray: str | None, seeds: str | None, hours: float | None, *, dry: bool) -> None:
    from twinrun.repro.ranks import current_rank

    several = current_rank().count > 1
    if ray is not None and several:
        raise InputError("--ray is not for several ranks", fix="Start it without torchrun.")
    given = {"--ray": ray is not None, "--seeds": seeds is not None, "several ranks": several}
    refuse_hours(hours, given, dry=dry)


@dataclass(frozen=True)
class _Asked:
    """What the command is to do, before anything is looked at."""

    settings: Settings
    options: RunOptions
    numbers: list[int]
    mixed: bool
    started: float
    hours: float | None
    begun: float

    def prepare(self, environment: dict[str, Any] | None) -> Prepared | None:
        """The run, ready to be trained.

        Returns:
            None where the time is over: what is complete from before is handed in.
        """
        from twinrun import prepare
        from twinrun.try_hooks import try_hooks

        def recorded() -> list[tuple[Prepared, RunOptions]]:
            return self._recorded(environment)

        with _submission_when_stopped(recorded, self.started):
            try:
                with ends_in_time(self.hours, self.begun):
                    try_hooks(self.settings)
                    run = prepare.prepare(self.settings, self.options.folder, environment)
            except OutOfTime as over:
                hand_in_late(recorded(), self.started, over)
                return None
        return replace(run, mixed=self.mixed)

    def _recorded(self, environment: dict[str, Any] | None) -> list[tuple[Prepared, RunOptions]]:
        """The runs as their last commands left them, as far as there are any."""
        from twinrun.as_recorded import as_recorded

        found = [
            as_recorded(settings, folder, environment, mixed=self.mixed)
            for settings, folder in of_seeds(self.settings, self.options.folder, self.numbers)
        ]
        runs = [run for run in found if run is not None]
        return options_of_each(runs, self.options, self.numbers)


def _train_and_blend(
    run: Prepared, options: RunOptions, started: float, hours: float | None, begun: float
) -> None:
    """A run in this process: all of it, or what fits into some hours since it began."""
    from twinrun import train_run
    from twinrun.repro.ranks import current_rank

    with _submission_when_stopped(lambda: [(run, options)], started):
        try:
            with ends_in_time(hours, begun):
                deadline = None if hours is None else plan_run(run, hours, begun)
        except OutOfTime as over:
            hand_in_late([(run, options)], started, over)
            return
        train_run.train(run, [], started, deadline)
        if current_rank().rank:
            return  # the rest is for one
        blended = blend_trained(run, started, options, partly=deadline is not None)
        report_blended(run, blended, options)


@contextmanager
def _submission_when_stopped(
    runs: Callable[[], Sequence[tuple[Prepared, RunOptions]]], started: float
) -> Iterator[None]:
    """Where the block is stopped, leave submissions of what is complete of some runs.

    A second signal ends that at once.
    """
    from twinrun.repro.ranks import current_rank

    try:
        yield
    except KeyboardInterrupt as stop:
        lines = [str(stop) or "stopped before the end"]
        if not current_rank().rank:
            lines += leave_submissions(runs, started)
        raise Stopped("; ".join(lines)) from None


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
