"""What `run` does with what is trained: blend, record, report; also when it is stopped before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinrun.blend_methods.methods import SIMPLEST
from twinrun.cli.blend import print_blend
from twinrun.cli.options import RunOptions
from twinrun.cli.report import write_and_describe
from twinrun.console import say
from twinrun.errors import NegativeVerdict, TwinrunError

if TYPE_CHECKING:
    from twinrun.blend.choice import ResolvedBlend
    from twinrun.blend.parts import Parts
    from twinrun.blend.select import ChosenBlend
    from twinrun.config.sections import Blend
    from twinrun.config.settings import Settings
    from twinrun.prepare import Prepared
    from twinrun.report.member_contributions import Tables


def blend_and_report(
    run: Prepared, started: float, options: RunOptions, parts: Parts | None = None
) -> None:
    """Write a run's submission, record and report, and print what is to be said of them.

    Args:
        run: The run.
        started: time.perf_counter() at the command's start.
        options: Of the command.
        parts: What the blend is made of; every member when None.

    Raises:
        NegativeVerdict: As `submit.blend_run`.
        InputError: Likewise.
    """
    from twinrun import prepare
    from twinrun.blend.held_out import own_scores
    from twinrun.cli import tables as printed
    from twinrun.metrics import additional_metric
    from twinrun.run_folder.records import read_record

    settings = run.settings
    found = {name: read_record(run.member_folder(name)) for name in settings.members}
    members = {name: record for name, record in found.items() if record is not None}
    tables = _held_out(run)
    chosen, resolved = _blend(run, started, options, parts, tables)
    say("")
    if members:
        metric = settings.competition.metric
        scores = own_scores(tables, metric) if additional_metric(metric) else {}
        folds = prepare.fold_scores(run, list(members))
        printed.members(settings, members, scores, chosen.weights, folds).print()
    print_blend(chosen)
    _say_choice(resolved, options.command("blend", run.folder.name))
    _say_submission(run, chosen)
    say(*write_and_describe(run.folder, tables))


def blend_in_time(run: Prepared, started: float, options: RunOptions) -> None:
    """As `blend_and_report`, of what was completed in the time that the command was given.

    Raises:
        NegativeVerdict: Nothing was.
        InputError: As `blend_and_report`.
    """
    from twinrun.blend.parts import what_is_complete
    from twinrun.run_folder.records import read_record

    settings = run.settings
    parts = what_is_complete(run.folder, settings)
    lacking = [name for name in settings.members if read_record(run.member_folder(name)) is None]
    if parts.missing and not parts.names:
        raise NegativeVerdict(
            "nothing was completed in time, so that there is no submission",
            fix="The checkpoints are kept. Rerun the command: it resumes.",
        )
    blend_and_report(run, started, options, parts)
    if lacking:
        say(("missing", "bold yellow"), f"    {', '.join(lacking)}: rerun the command to go on")


def leave_partial(run: Prepared, started: float, options: RunOptions) -> list[str]:
    """Write the submission of what is complete of a run that is being stopped, and its record.

    Whoever stops it may give it seconds only, so there is no report, and where the settings ask for
    a fit, which takes longer, a plain mean is written before it. Where nothing is complete, or
    nothing is missing, nothing is done.

    Args:
        run: The run.
        started: time.perf_counter() at the command's start.
        options: Of the command.

    Returns:
        What is to be said of it at the command's end.
    """
    from twinrun.blend.parts import what_is_complete

    try:
        parts = what_is_complete(run.folder, run.settings)
        if not (parts.names and parts.partial):
            return []
        chosen, _ = _blend(run, started, options, parts, _held_out(run), soon=not parts.folds)
        _say_submission(run, chosen)
    except TwinrunError as error:
        return [f"no submission of what is complete: {error.what}"]
    return [f"a submission of {_count(parts)} is left, without {', '.join(parts.missing)}"]


def _held_out(run: Prepared) -> Tables:
    from twinrun.blend.held_out import read_held_out_tables

    return read_held_out_tables(run.folder, list(run.settings.members), run.settings.classes)


def _blend(
    run: Prepared,
    started: float,
    options: RunOptions,
    parts: Parts | None,
    tables: Tables,
    *,
    soon: bool = False,
) -> tuple[ChosenBlend, ResolvedBlend]:
    """Write a run's submission, blend.json and manifest.json; `soon`: before a fit a plain mean."""
    from twinrun import prepare, submit
    from twinrun.blend.choice import resolve_blend
    from twinrun.locks import lock_record
    from twinrun.run_folder.paths import RunFolder

    def write(settings: Settings, written: Blend) -> ChosenBlend:
        output = RunFolder(run.folder).submission
        return submit.blend_run(
            run.folder, settings, run.sample_path, output, tables, written, parts
        )

    own = options.written_blend(run.settings)
    with lock_record(run.folder):
        resolved = resolve_blend(run.folder, run.settings, own)
        plain = _without_fit(resolved.settings) if soon else resolved.settings
        # Nobody has chosen what stands in for a fit.
        chosen = write(plain, own if plain is resolved.settings else plain.blend)
    prepare.keep_record(run, started)
    if plain is not resolved.settings:
        with lock_record(run.folder):
            chosen = write(resolved.settings, own)
        prepare.keep_record(run, started)
    return chosen, resolved


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
