"""What `run --hours` says before the first step: what it will do in the time that it is given."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinrun.cli.grid import Column, Grid
from twinrun.console import clock, count_of, megabytes, progress_bars, say
from twinrun.errors import InputError
from twinrun.process import without_collector

if TYPE_CHECKING:
    import pandas as pd

    from twinrun.config.recipe import Member
    from twinrun.config.settings import Settings
    from twinrun.config.trainings import Training
    from twinrun.data.pixels import Pixels
    from twinrun.deadline.deadline import Deadline
    from twinrun.deadline.plan import Cost, Measured
    from twinrun.prepare import Prepared


def refuse_hours(hours: float | None, given: Mapping[str, bool], *, dry: bool) -> None:
    """Check the value of --hours, and that what is given beside it or --dry-run goes with that.

    Args:
        hours: The value; None where it is not given.
        given: Of other options and ways to start, whether they are given.
        dry: Whether --dry-run is given.

    Raises:
        InputError: It is no number above 0, or it is not for that.
    """
    if hours is None and not dry:
        return
    if hours is not None and not (math.isfinite(hours) and hours > 0):
        raise InputError(
            f"--hours {hours:g}: not a number above 0", fix="Example: --hours 8.5 or --hours 0.25"
        )
    others = [name for name, is_given in given.items() if is_given]
    if others:
        raise InputError(
            f"{'--hours' if hours is not None else '--dry-run'} is for one run in one process on "
            f"one machine, not for {', '.join(others)}",
            fix="Leave one of them out.",
        )


@contextmanager
def ends_in_time(hours: float | None, begun: float) -> Iterator[None]:
    """End the block, which comes before any training, where the time is over within it.

    Args:
        hours: That the command was given; None: it takes what it takes.
        begun: When it began, by time.monotonic().

    Raises:
        OutOfTime: It was over; with the words to be said.
    """
    if hours is None:
        yield
        return
    from twinrun.deadline.deadline import end_of_preparing
    from twinrun.train.signals import in_time

    seconds = end_of_preparing(begun, hours) - time.monotonic()
    with in_time(seconds, f"--hours {hours:g} was over before any training"):
        yield


def plan_run(run: Prepared, hours: float, begun: float) -> Deadline | None:
    """Measure what is left of a run, and print what fits into the time.

    Args:
        run: The run. Nothing is written.
        hours: That the command was given.
        begun: When it began, by time.monotonic().

    Returns:
        None where nothing is left to be trained.

    Raises:
        InputError: No training fits, and nothing is complete that could be blended.
    """
    left = [
        each
        for each in run.settings.select_trainings([])
        if run.complete(each.member) is None and run.complete(each.name) is None
    ]
    if not left:
        return None
    settings, folder = run.settings, run.folder
    measured = _measure(settings, run.index, run.pixels, run.environment, left)
    return _plan(settings, folder, _costs(settings, folder, left, measured), hours, begun)


def dry_run(settings: Settings, folder: Path, hours: float | None, begun: float) -> None:
    """Print what a run would take, and what of it fits into the time. Nothing is written.

    Args:
        settings: Of the run.
        folder: runs/<run>, which need not be there.
        hours: That the command was given; None: all that it takes.
        begun: When it began, by time.monotonic().

    Raises:
        InputError: As `dry_run.look` and `plan_run`.
    """
    with without_collector():
        from twinrun import dry_run as dry
        from twinrun.deadline.plan import MARGIN

    with dry.libraries_without_a_home():
        found = dry.look(settings, folder)
        left = found.left
        measured = _measure(found.settings, found.index, found.pixels, found.environment, left)
    decoding = found.decoding
    if decoding.images:
        say(
            ("decoding", "bold"),
            f"  {count_of(decoding.images, 'image')}, about {clock(decoding.seconds)} and "
            f"{megabytes(decoding.nbytes)}, by a few of them",
        )
    costs = _costs(settings, folder, left, measured)
    if hours is not None and left:
        # A run decodes in the time that it is given.
        decoded = begun - decoding.seconds * (1 + MARGIN)
        _plan(settings, folder, costs, hours, decoded, needs=True)
    else:
        plan_table(settings, costs, None, needs=True).print()
        total = sum(each.seconds for each in costs.values()) + decoding.seconds
        say(("time", "bold"), f"      {clock(total)}, without blend and report")
    files = sum(_disk(each, settings) for each in costs.values())
    checkpoints = max((each.measured.checkpoints for each in costs.values()), default=0)
    needed, free = decoding.nbytes + files + checkpoints, dry.free_disk(folder)
    say(
        ("disk", "bold" if needed < free else "bold red"),
        f"      {megabytes(needed)}: decoded images {megabytes(decoding.nbytes)}, members "
        f"{megabytes(files)}, checkpoints {megabytes(checkpoints)} while they train; "
        f"{megabytes(free)} are free",
    )
    if found.environment["decides"]["device"] != "cuda":
        say(("device", "bold"), "    the CPU, so that no GPU memory is needed")
    say("nothing was written")


def _costs(
    settings: Settings,
    folder: Path,
    left: Sequence[Training],
    measured: Mapping[str, Measured],
) -> dict[str, Cost]:
    """Of what is left, by name, from the last checkpoint on."""
    from twinrun.deadline.plan import cost_of
    from twinrun.run_folder.paths import RunFolder, checkpoint_place, checkpoints_in

    costs = {}
    for each in left:
        found = checkpoints_in(RunFolder(folder).training(each.name).checkpoint)
        costs[each.name] = cost_of(
            each,
            settings.members[each.member],
            measured[each.member],
            checkpoint_place(found[0]) if found else (0, 0),
            settings.run.checkpoint_seconds,
        )
    return costs


def _plan(
    settings: Settings,
    folder: Path,
    costs: Mapping[str, Cost],
    hours: float,
    begun: float,
    *,
    needs: bool = False,
) -> Deadline:
    """Print what fits, and give the deadline that holds to it."""
    from twinrun.blend.parts import what_is_complete
    from twinrun.deadline.deadline import Deadline

    deadline = Deadline(begun + hours * 3600, settings, dict(costs))
    chosen = deadline.choose([each.training for each in costs.values()])
    plan_table(settings, costs, chosen, needs=needs).print()
    gone, kept = clock(time.monotonic() - begun), clock(deadline.reserve)
    say(
        ("time", "bold"),
        f"      {hours:g} h: {gone} gone, {kept} kept for blend and report, "
        f"{clock(max(deadline.left, 0))} for trainings, each with a tenth more than measured",
    )
    if not chosen and not what_is_complete(folder, settings).names:
        raise InputError(
            f"--hours {hours:g}: no training fits, and nothing is complete: there would be no "
            "submission",
            fix=f"The smallest that would help: --hours {deadline.smallest(begun):g}.",
        )
    return deadline


def plan_table(
    settings: Settings,
    costs: Mapping[str, Cost],
    chosen: Sequence[Training] | None,
    *,
    needs: bool = False,
) -> Grid:
    """One row per member in the order of their weight: what it takes, and what of it fits.

    Args:
        settings: Of the run.
        costs: By name, of the trainings that are left.
        chosen: Those that fit; None where nothing is said of that.
        needs: Whether to say what disk and memory it needs.
    """
    from twinrun.deadline.plan import in_order

    known = bool(settings.blend.weights) and not settings.blend.fitted
    headings = ("weight", "folds", "steps", "s a step", "a training", "left")
    more = ("disk", "memory", "GPU memory") if needs else ()
    what = "it takes" if chosen is None else "fits"
    table = Grid(
        f"What {what}, measured on two steps of each member",
        [
            Column("member"),
            *(Column(heading, right=True) for heading in (*headings, *more)),
            Column("" if chosen is None else "this time"),
        ],
    )
    for name in in_order(settings):
        trainings = settings.trainings(name)
        own = [costs[each.name] for each in trainings if each.name in costs]
        cells = [
            name,
            f"{settings.weight(name):g}" if known else "",
            f"{len(trainings)}" if trainings[0].fold else "",
            *(_time_cells(settings.members[name], own) if own else [""] * 4),
        ]
        if needs:
            cells += _need_cells(settings, own)
        table.add_row(*cells, _fitting(own, chosen))
    return table


def _time_cells(member: Member, own: Sequence[Cost]) -> list[str]:
    """Of a member: steps, seconds a step, of a training, of what is left."""
    from twinrun.deadline.plan import cost_of

    whole = cost_of(own[0].training, member, own[0].measured)
    left = sum(each.seconds for each in own)
    each = whole.trained / whole.steps
    return [f"{whole.steps:,}", f"{each:.3f}", clock(whole.seconds), clock(left)]


def _need_cells(settings: Settings, own: Sequence[Cost]) -> list[str]:
    if not own:
        return ["", "", ""]
    measured = own[0].measured
    gpu = megabytes(measured.gpu_memory) if measured.gpu_memory else ""
    return [
        megabytes(sum(_disk(each, settings) for each in own)),
        megabytes(measured.memory) if measured.memory else "",
        gpu,
    ]


def _disk(cost: Cost, settings: Settings) -> int:
    return cost.measured.disk(cost.steps, len(settings.classes))


def _fitting(own: Sequence[Cost], chosen: Sequence[Training] | None) -> str:
    """Of a member: whether what is left is trained, as far as that is known."""
    if not own:
        return "complete"
    if chosen is None:
        return ""
    fitting = sum(each.training in chosen for each in own)
    if fitting == len(own):
        return "yes"
    return f"{fitting} of {len(own)} folds" if fitting else "no"


def _measure(
    settings: Settings,
    index: pd.DataFrame,
    pixels: Mapping[int, Pixels],
    environment: dict[str, Any],
    left: Sequence[Training],
) -> dict[str, Measured]:
    """Of each member of which something is left, by one of its trainings."""
    with without_collector():
        from twinrun.deadline.measure import measure

    trainings, found = {each.member: each for each in reversed(left)}, {}
    with progress_bars() as bars:
        bar = bars.add_task("measuring", total=len(trainings), note="")
        for member, training in trainings.items():
            bars.update(bar, note=member)
            found[member] = measure(training.name, settings, index, pixels, environment)
            bars.advance(bar)
    return found
