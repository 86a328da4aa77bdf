"""What `run --hours` says before the first step: what it will do in the time that it is given."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from twinrun.cli.grid import Column, Grid
from twinrun.console import clock, progress_bars, say
from twinrun.errors import InputError
from twinrun.process import without_collector

if TYPE_CHECKING:
    from twinrun.config.settings import Settings
    from twinrun.config.trainings import Training
    from twinrun.deadline.deadline import Deadline
    from twinrun.deadline.plan import Cost, Measured
    from twinrun.prepare import Prepared


def refuse_hours(hours: float | None, given: Mapping[str, bool]) -> None:
    """Check the value of --hours, and that what is given beside it goes with it.

    Args:
        hours: The value; None where it is not given.
        given: Of other options and ways to start, whether they are given.

    Raises:
        InputError: It is no number above 0, or it is not for that.
    """
    if hours is None:
        return
    if not (math.isfinite(hours) and hours > 0):
        raise InputError(
            f"--hours {hours:g}: not a number above 0", fix="Example: --hours 8.5 or --hours 0.25"
        )
    others = [name for name, is_given in given.items() if is_given]
    if others:
        raise InputError(
            f"--hours is for one run in one process on one machine, not for {', '.join(others)}",
            fix="Leave one of them out. What is stopped resumes when the command is rerun.",
        )


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
    from twinrun.blend.parts import what_is_complete
    from twinrun.deadline.deadline import Deadline
    from twinrun.deadline.plan import cost_of
    from twinrun.run_folder.paths import TrainingFolder, checkpoint_place, checkpoints_in

    settings = run.settings
    left = [
        each
        for each in settings.select_trainings([])
        if run.complete(each.member) is None and run.complete(each.name) is None
    ]
    if not left:
        return None
    measured = _measure(run, {each.member: each for each in reversed(left)})
    costs = {}
    for each in left:
        found = checkpoints_in(TrainingFolder(run.member_folder(each.name)).checkpoint)
        costs[each.name] = cost_of(
            each,
            settings.members[each.member],
            measured[each.member],
            checkpoint_place(found[0]) if found else (0, 0),
            settings.run.checkpoint_seconds,
        )
    deadline = Deadline(begun + hours * 3600, settings, costs)
    chosen = deadline.choose(left)
    plan_table(settings, deadline.order, costs, chosen).print()
    gone, kept = clock(time.monotonic() - begun), clock(deadline.reserve)
    say(
        ("time", "bold"),
        f"      {hours:g} h: {gone} gone, {kept} kept for blend and report, "
        f"{clock(max(deadline.left, 0))} for trainings, each with a tenth more than measured",
    )
    if not chosen and not what_is_complete(run.folder, settings).names:
        raise InputError(
            f"--hours {hours:g}: no training fits, and nothing is complete: there would be no "
            "submission",
            fix=f"The smallest that would help: --hours {deadline.smallest(begun):g}.",
        )
    return deadline


def plan_table(
    settings: Settings,
    order: Sequence[str],
    costs: Mapping[str, Cost],
    chosen: Sequence[Training],
) -> Grid:
    """One row per member in the order of their weight: what it takes, and what of it fits.

    Args:
        settings: Of the run.
        order: The members, from `in_order`.
        costs: By name, of the trainings that are left.
        chosen: Those that fit.
    """
    from twinrun.deadline.plan import cost_of

    known = bool(settings.blend.weights) and not settings.blend.fitted
    table = Grid(
        "What fits, measured on two steps of each member",
        [
            Column("member"),
            *(
                Column(heading, right=True)
                for heading in ("weight", "folds", "steps", "s a step", "a training", "left")
            ),
            Column("this time"),
        ],
    )
    for name in order:
        trainings = settings.trainings(name)
        own = [costs[each.name] for each in trainings if each.name in costs]
        weight = f"{settings.weight(name):g}" if known else ""
        folds = f"{len(trainings)}" if trainings[0].fold else ""
        if not own:
            table.add_row(name, weight, folds, "", "", "", "", "complete")
            continue
        measured = own[0].measured
        whole = cost_of(trainings[0], settings.members[name], measured)
        table.add_row(
            name,
            weight,
            folds,
            f"{whole.steps:,}",
            f"{whole.trained / whole.steps:.3f}",
            clock(whole.seconds),
            clock(sum(each.seconds for each in own)),
            _fitting(own, chosen),
        )
    return table


def _fitting(own: Sequence[Cost], chosen: Sequence[Training]) -> str:
    fitting = sum(each.training in chosen for each in own)
    if fitting == len(own):
        return "yes"
    return f"{fitting} of {len(own)} folds" if fitting else "no"


def _measure(run: Prepared, trainings: Mapping[str, Training]) -> dict[str, Measured]:
    """Of each member, by one of its trainings."""
    with without_collector():
        from twinrun.deadline.measure import measure

    found = {}
    with progress_bars() as bars:
        bar = bars.add_task("measuring", total=len(trainings), note="")
        for member, training in trainings.items():
            bars.update(bar, note=member)
            found[member] = measure(
                training.name, run.settings, run.index, run.pixels, run.environment
            )
            bars.advance(bar)
    return found
