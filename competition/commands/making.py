"""The commands for the parts of a run: train, blend, validate."""

from __future__ import annotations

import time
from contextlib import nullcontext
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
    RunName,
    answered,
    run_name,
    settings_of,
)
from competition.errors import InputError
from competition.terminal import clock, console, say

if TYPE_CHECKING:
    from competition.ensemble.choosing import Chosen

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ncompetition train\n\ncompetition train M27g M26c --profile fixture\n\n"
    "competition train M27g/fold-1"
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
    from competition import pipeline, work

    started = time.perf_counter()
    settings = settings_of(config, profile, data, changes)
    names = members or []
    asked = list(dict.fromkeys(each.member for each in settings.asked(names)))
    prepared = pipeline.prepare(settings, out / run_name(run, profile))
    pipeline.warn_of_validation(prepared, asked)
    work.train(prepared, names, started)
    took = clock(time.perf_counter() - started)
    say(f"done in {took}: {escape(str(prepared.folder / 'members'))}")


@app.command(
    epilog="Examples:\n\ncompetition blend --run full\n\n"
    "competition blend --run full --method auto\n\n"
    "competition blend a.csv=69.0 b.csv=57.3 --output blend.csv"
)
@answered
def blend(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE=WEIGHT]...",
            help="Prediction files. Default: the members of a run.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="File to write. Default: the run's submission.csv."),
    ] = None,
    sample: Annotated[
        Path | None,
        typer.Option("--sample", help="Sample submission whose row and column order is taken."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help="arithmetic, geometric, optimised, selection or auto, in place of the settings'. "
            "Files take only the first two.",
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
    """Blend a run's members as the settings say, or prediction files with the weights given."""
    from competition import submitting, summaries
    from competition.locks import turn

    changes = [*(changes or []), *([f"blend.method={method}"] if method else [])]
    settings = settings_of(config, profile, data, changes)
    if files:
        if output is None:
            raise InputError("blending files needs --output FILE")
        pairs = [_file_and_weight(text) for text in files]
        submitting.blend_files(pairs, settings, sample, output)
        text = f"{len(pairs)} files, {settings.blend.method} mean"
    else:
        folder = out / run_name(run, profile)
        output = output or folder / "submission.csv"
        sample = sample or settings.data_folder / settings.data.sample_submission
        own = output == folder / "submission.csv"
        with turn(folder) if own else nullcontext():
            chosen = submitting.blend_run(folder, settings, sample, output)
            if own:
                submitting.record_blend(folder, settings)
        tell_blend(chosen)
        many = "1 member" if len(chosen.weights) == 1 else f"{len(chosen.weights)} members"
        text = f"{many}, {summaries.in_words(chosen)}"
    say(f"blended {text}: [bold]{escape(str(output))}[/]")


@app.command(
    epilog="Examples:\n\ncompetition validate runs/full/submission.csv\n\n"
    "competition validate blend.csv --sample sample_submission.csv"
)
@answered
def validate(
    submission: Annotated[Path, typer.Argument(help="The file to hand in.")],
    sample: Annotated[
        Path | None,
        typer.Option("--sample", help="The host's sample. Default: the one of the data folder."),
    ] = None,
    config: Config = None,
    profile: Profile = None,
    data: Data = None,
    changes: Change = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Check a submission against sample_submission.csv: exit code 0 valid, 1 invalid."""
    from competition import submitting

    settings = settings_of(config, profile, data, changes)
    sample = sample or settings.data_folder / settings.data.sample_submission
    rows = submitting.validate_file(submission, settings, sample)
    console.quiet = False
    texts = escape(f"{submission} has the ids and columns of {sample}, {rows} rows")
    say(f"[bold green]valid[/]: {texts}")


def tell_blend(chosen: Chosen) -> None:
    """Print what a run's blend was judged by: tables where something was fitted, and one line."""
    from competition import summaries

    if len(chosen.candidates) > 1:
        console.print(summaries.blends(chosen))
    if chosen.taken is not None and len(chosen.weights) > 1:
        console.print(summaries.blended_members(chosen))
    say(summaries.why(chosen))
    if chosen.score is not None:
        say(summaries.blend_score(chosen.score))


def _file_and_weight(text: str) -> tuple[Path, float]:
    path, _, weight = text.rpartition("=")
    try:
        if not path:
            raise ValueError
        return Path(path), float(weight)
    except ValueError:
        raise InputError(
            f"{text}: not of the form FILE=WEIGHT", mend="Example: a.csv=69.0 b.csv=57.3"
        ) from None
