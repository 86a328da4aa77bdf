"""What `run` does with what is trained: blend, record, report; also when it is stopped before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twinrun.blend_methods.methods import SIMPLEST
from twinrun.cli.blend import print_blend
from twinrun.cli.options import RunOptions
from twinrun.cli.report import write_and_describe
from twinrun.console import say
from twinrun.errors import NegativeVerdict, OutOfTime, TwinrunError

if TYPE_CHECKING:
    from twinrun.blend.choice import ResolvedBlend
    from twinrun.blend.parts import Parts
    from twinrun.blend.select import ChosenBlend
    from twinrun.config.settings import Settings
    from twinrun.prepare import Prepared
    from twinrun.report.member_contributions import Tables


@dataclass(frozen=True)
class Blended:
    """A run's submission as it was written.

    Attributes:
        chosen: The blend.
        resolved: What it was asked for with.
        tables: The members' held-out predictions.
        parts: What it is made of; None: of every member, as the settings say.
        stands_in: A plain mean, in place of a fit that is still to be made.
    """

    chosen: ChosenBlend
    resolved: ResolvedBlend
    tables: Tables
    parts: Parts | None
    stands_in: bool


def blend_trained(
    run: Prepared, started: float, options: RunOptions, *, partly: bool = False, soon: bool = False
) -> Blended:
    """Write a run's submission, blend.json and manifest.json.

    Args:
        run: The run.
        started: time.perf_counter() at the command's start.
        options: Of the command.
        partly: Whether it may be partial: of what is complete, where something is not.
        soon: Whether a plain mean is written before a fit, which takes longer.

    Raises:
        NegativeVerdict: Nothing is complete that could be blended; or as `submit.blend_run`.
        InputError: As `submit.blend_run`.
    """
    from twinrun import prepare

    written = _write(run, options, partly=partly, plain=soon)
    prepare.keep_record(run, started)
    if written.stands_in:
        written = _write(run, options, partly=partly, resolved=written.resolved)
        prepare.keep_record(run, started)
    return written


def report_blended(run: Prepared, blended: Blended, options: RunOptions) -> None:
    """Write a run's report, and print what is to be said of its members and its submission.

    Args:
        run: The run.
        blended: From `blend_trained`.
        options: Of the command.

    Raises:
        InputError: A file of the run is damaged.
    """
    from twinrun import prepare
    from twinrun.blend.held_out import own_scores
    from twinrun.cli import tables as printed
    from twinrun.metrics import additional_metric
    from twinrun.run_folder.records import read_record

    settings = run.settings
    found = {name: read_record(run.member_folder(name)) for name in settings.members}
    members = {name: record for name, record in found.items() if record is not None}
    chosen, tables = blended.chosen, blended.tables
    say("")
    if members:
        metric = settings.competition.metric
        scores = own_scores(tables, metric) if additional_metric(metric) else {}
        folds = prepare.fold_scores(run, list(members))
        printed.members(settings, members, scores, chosen.weights, folds).print()
    print_blend(chosen)
    _say_choice(blended.resolved, options.command("blend", run.folder.name))
    _say_submission(run, chosen)
    say(*write_and_describe(run.folder, tables))
    lacking = [name for name in settings.members if name not in members]
    if blended.parts is not None and lacking:
        say(("missing", "bold yellow"), f"    {', '.join(lacking)}: rerun the command to go on")


def hand_in_late(
    runs: Sequence[tuple[Prepared, RunOptions]], started: float, over: OutOfTime
) -> None:
    """Say that the time was over before any training, and blend what is complete from before.

    Args:
        runs: That are to be handed in.
        started: time.perf_counter() at the command's start.
        over: Why.

    Raises:
        NegativeVerdict: Nothing is complete; or as `blend_trained`.
        InputError: As `blend_trained`.
    """
    from twinrun.blend.parts import what_is_complete

    say(("time is up", "bold yellow"), f": {over}")
    runs = [each for each in runs if what_is_complete(each[0].folder, each[0].settings).names]
    if not runs:
        raise NegativeVerdict(
            "nothing is complete yet, so that there is no submission",
            fix="Images that are decoded are kept. Rerun the command, with more hours: it goes on.",
        )
    for run, options in runs:
        _refuse_others(run)
        report_blended(run, blend_trained(run, started, options, partly=True), options)


def leave_submissions(
    runs: Callable[[], Sequence[tuple[Prepared, RunOptions]]], started: float
) -> list[str]:
    """As `leave_submission`, of some runs.

    Args:
        runs: Gives them.
        started: As for `leave_submission`.
    """
    try:
        found = runs()
    except TwinrunError as error:
        return [f"no submission of what is complete: {error.what}"]
    return [line for run, options in found for line in leave_submission(run, started, options)]


def leave_submission(run: Prepared, started: float, options: RunOptions) -> list[str]:
    """Write the submission of what is complete of a run that is being stopped, and its record.

    Whoever stops it may give it seconds only, so there is no report, and where the settings ask for
    a fit, which takes longer, a plain mean is written before it. Where nothing is complete, or the
    whole submission is there already, nothing is done.

    Args:
        run: The run.
        started: time.perf_counter() at the command's start.
        options: Of the command.

    Returns:
        What is to be said of it at the command's end.
    """
    from twinrun import prepare
    from twinrun.blend.choice import is_blended
    from twinrun.blend.parts import what_is_complete

    try:
        if not what_is_complete(run.folder, run.settings).names:
            return []
        _refuse_others(run)
        if is_blended(run.folder, run.settings):
            # The stop may have come between it and the record.
            prepare.keep_record(run, started)
            return []
        blended = blend_trained(run, started, options, partly=True, soon=True)
        _say_submission(run, blended.chosen)
    except TwinrunError as error:
        return [f"no submission of what is complete: {error.what}"]
    assert blended.parts is not None
    without = f", without {', '.join(blended.parts.missing)}" if blended.parts.missing else ""
    return [f"a submission of {_count(blended.parts)} is left{without}"]


def _refuse_others(run: Prepared) -> None:
    """Check that what is complete was made from what the run is made from, and is unchanged.

    A training begins with that; a stop may have come before.
    """
    for each in run.settings.select_trainings([]):
        if run.complete(each.member) is None:
            run.complete(each.name)


def _write(
    run: Prepared,
    options: RunOptions,
    *,
    partly: bool,
    plain: bool = False,
    resolved: ResolvedBlend | None = None,
) -> Blended:
    """Write submission.csv and blend.json.

    What is complete is looked at while no other process writes them: a partial submission must not
    replace the whole one that another process has come to.

    Args:
        run: The run.
        options: Of the command.
        partly: As for `blend_trained`.
        plain: Whether a plain mean stands in for a fit.
        resolved: What is asked for, where that is known.
    """
    from twinrun import submit
    from twinrun.blend.choice import resolve_blend
    from twinrun.blend.held_out import read_held_out_tables
    from twinrun.blend.parts import what_is_complete
    from twinrun.locks import lock_record
    from twinrun.run_folder.paths import RunFolder

    asked, folder = run.settings, run.folder
    own = options.written_blend(asked)
    with lock_record(folder):
        parts = what_is_complete(folder, asked) if partly else None
        if parts is not None and not parts.names:
            raise NegativeVerdict(
                "nothing was completed in time, so that there is no submission",
                fix="The checkpoints are kept. Rerun the command: it resumes.",
            )
        tables = read_held_out_tables(folder, list(asked.members), asked.classes)
        resolved = resolved or resolve_blend(folder, asked, own)
        # Of folds alone nothing is fitted in any case.
        fitted = not (parts is not None and parts.folds)
        settings = _without_fit(resolved.settings) if plain and fitted else resolved.settings
        stands_in = settings is not resolved.settings
        chosen = submit.blend_run(
            folder,
            settings,
            run.sample_path,
            RunFolder(folder).submission,
            tables,
            # Nobody has chosen what stands in for a fit.
            settings.blend if stands_in else own,
            parts,
        )
    return Blended(chosen, resolved, tables, parts, stands_in)


def _without_fit(settings: Settings) -> Settings:
    """The settings with the simplest blend in place of one that is to be fitted."""
    if not settings.blend.fitted:
        return settings
    plain = settings.blend.model_copy(update={"method": SIMPLEST.name, "calibrate": False})
    return settings.model_copy(update={"blend": plain})


def _say_submission(run: Prepared, chosen: ChosenBlend) -> None:
    from twinrun.run_folder.paths import RunFolder

    folder = RunFolder(run.folder)
    partial = (", ", ("PARTIAL", "bold yellow")) if chosen.partial else ()
    say(
        "submission ",
        (str(folder.submission), "bold"),
        *partial,
        ", checked against the sample: valid",
    )
    say(f"record     {folder.manifest}")


def _count(parts: Parts) -> str:
    from twinrun.console import count_of

    return count_of(len(parts.names), "fold" if parts.folds else "member")


def _say_choice(resolved: ResolvedBlend, back: str) -> None:
    """Print whether the blend that a command chose earlier is kept.

    Args:
        resolved: The blend.
        back: The command that blends as the settings say.
    """
    choice = f"the blend that a command chose ({', '.join(resolved.choice)})"
    if resolved.dropped:
        say(("dropped", "yellow"), f"    {choice}: {'; '.join(resolved.dropped)}")
    elif resolved.choice:
        say(("kept", "bold"), f"       {choice}; back to that of the settings: {back}")
