"""The commands; thin: each parses, calls and prints. Heavy imports wait until they are needed."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.markup import escape

from competition.errors import InputError, NegativeVerdict
from competition.terminal import box, clock, console, error_console, say

if TYPE_CHECKING:
    from competition.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
    help="Twinrun: train an image-classification competition to the same bits every time.",
    epilog="Exit codes: 0 done; 1 the answer is no (bits differ, submission invalid); "
    "2 wrong use or input.",
)

Config = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file. Default: competition.toml beside the engine."),
]
Profile = Annotated[
    str | None, typer.Option("--profile", help="Lay \\[profiles.NAME] over the settings.")
]
Data = Annotated[
    Path | None, typer.Option("--data", help="Data folder, in place of the settings' one.")
]
Out = Annotated[Path, typer.Option("--out", help="Folder of all runs.")]
RunName = Annotated[
    str | None, typer.Option("--run", help="Name of this run. Default: the profile, or 'full'.")
]
Change = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a setting, e.g. run.seed=7. Repeatable."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print only verdicts and errors.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
RUNS = Path("runs")


def _command(function: Callable[..., None]) -> Callable[..., None]:
    """Turn --quiet into silence, errors into one message and an exit code."""

    @functools.wraps(function)
    def answered(*args: Any, quiet: bool = False, debug: bool = False, **options: Any) -> None:
        console.quiet = quiet
        try:
            function(*args, **options, quiet=quiet, debug=debug)
        except KeyboardInterrupt:
            if debug:
                raise
            _end(
                2,
                "stopped before the end",
                "What is complete stays, nothing is half written: the same command goes on.",
            )
        except InputError as error:
            if debug:
                raise
            _end(error.exit_code, str(error))
        except OSError as error:
            if debug:
                raise
            _end(2, f"{error.filename or 'the system'}: {error.strerror or error}")

    return answered


def _end(code: int, *lines: str) -> NoReturn:
    error_console.print("[bold red]error:[/]", end=" ")
    for line in lines:
        error_console.print(line, markup=False)
    raise typer.Exit(code)


@app.command(
    epilog="Examples:\n\ncompetition run --profile fixture\n\n"
    "competition run --data ~/wheat --set run.seed=7 --run seed7"
)
@_command
def run(
    config: Config = None,
    profile: Profile = None,
    data: Data = None,
    out: Out = RUNS,
    run: RunName = None,
    changes: Change = None,
    without_data: Annotated[
        str | None,
        typer.Option(
            "--without-data",
            metavar="PROFILE",
            help="Use this profile when there is no data folder.",
        ),
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train every member, blend them, write and validate the submission."""
    from competition import pipeline, summaries

    started = time.perf_counter()
    settings = _settings(config, profile, data, changes)
    if without_data and not profile and data is None and not settings.data_folder.is_dir():
        _say_no_data(settings, without_data)
        profile = without_data
        settings = _settings(config, profile, data, changes)
    prepared = pipeline.prepare(settings, out / _run_name(run, profile))
    names = list(settings.members)
    members = pipeline.train(prepared, names)
    submission = prepared.folder / "submission.csv"
    pairs = pipeline.members_to_blend(prepared.folder, settings)
    pipeline.blend_files(pairs, settings, prepared.sample_path, submission)
    pipeline.finish(prepared, started)
    score, images = pipeline.blend_score(prepared, names)
    say("")
    console.print(summaries.members(settings, members))
    say(
        f"blend's log loss on the {images} images that every member held out: [bold]{score:.4f}[/] "
        f"(uniform guessing: {math.log(len(settings.competition.classes)):.4f})"
    )
    say(f"submission [bold]{escape(str(submission))}[/], checked against the sample: valid")
    say(f"record     {escape(str(prepared.folder / 'manifest.json'))}")
    say(f"done in {clock(time.perf_counter() - started)}")


@app.command(
    epilog="Examples:\n\ncompetition train\n\ncompetition train M27g M26c --profile fixture"
)
@_command
def train(
    members: Annotated[
        list[str] | None, typer.Argument(help="Members to train. Default: all.", show_default=False)
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
    from competition import pipeline

    started = time.perf_counter()
    settings = _settings(config, profile, data, changes)
    settings.refuse_unknown_members(members or [])
    names = [name for name in settings.members if not members or name in members]
    prepared = pipeline.prepare(settings, out / _run_name(run, profile))
    pipeline.train(prepared, names)
    pipeline.finish(prepared, started)
    took = clock(time.perf_counter() - started)
    say(f"done in {took}: {escape(str(prepared.folder / 'members'))}")


@app.command(
    epilog="Examples:\n\ncompetition blend --run full\n\n"
    "competition blend a.csv=69.0 b.csv=57.3 --output blend.csv"
)
@_command
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
    config: Config = None,
    profile: Profile = None,
    data: Data = None,
    out: Out = RUNS,
    run: RunName = None,
    changes: Change = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Blend prediction files, or a run's members, with the weights given or of the settings."""
    from competition import pipeline

    settings = _settings(config, profile, data, changes)
    if files:
        if output is None:
            raise InputError("blending files needs --output FILE")
        pairs = [_file_and_weight(text) for text in files]
    else:
        folder = out / _run_name(run, profile)
        pairs = pipeline.members_to_blend(folder, settings)
        output = output or folder / "submission.csv"
        sample = sample or settings.data_folder / settings.data.sample_submission
    pipeline.blend_files(pairs, settings, sample, output)
    if not files and output == folder / "submission.csv":
        pipeline.record_blend(folder, settings)
    say(f"blended {len(pairs)} files, {settings.blend.method} mean: [bold]{escape(str(output))}[/]")


@app.command(
    epilog="Examples:\n\ncompetition validate runs/full/submission.csv\n\n"
    "competition validate blend.csv --sample sample_submission.csv"
)
@_command
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
    from competition import pipeline

    settings = _settings(config, profile, data, changes)
    sample = sample or settings.data_folder / settings.data.sample_submission
    rows = pipeline.validate_file(submission, settings, sample)
    console.quiet = False
    texts = escape(f"{submission} has the ids and columns of {sample}, {rows} rows")
    say(f"[bold green]valid[/]: {texts}")


@app.command(
    epilog="Examples:\n\ncompetition twins --profile fixture\n\n"
    "competition twins M26c --set recipe.epochs.frozen=1"
)
@_command
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
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train members twice, in two fresh processes, and compare every bit of what comes out."""
    from competition import summaries
    from competition.proof.twins import one_member_of_each_network, run_twins

    started = time.perf_counter()
    settings = _settings(config, profile, data, changes)
    settings.refuse_unknown_members(members or [])
    chosen = members or (list(settings.members) if every else one_member_of_each_network(settings))
    options = ["--config", str(settings.config)]
    options += ["--profile", profile] if profile else []
    options += ["--data", str(data.absolute())] if data else []
    options += [part for change in changes or [] for part in ("--set", change)]
    options += ["--quiet"] if quiet else []
    verdict = run_twins(settings, chosen, options, out.absolute() / "twins")
    console.quiet = False
    console.print(summaries.twins(verdict))
    took = clock(time.perf_counter() - started)
    say(f"runs and verdict: {escape(str(out.absolute() / 'twins'))}, {took}")
    if not verdict.same:
        raise NegativeVerdict("the twins differ: the same training gave other bits")
    if not verdict.control_differs:
        raise NegativeVerdict("another seed gave the same bits: this check cannot see a difference")
    trained = "1 member" if len(chosen) == 1 else f"{len(chosen)} members"
    say(f"[bold green]same bits[/]: {trained} trained twice; another seed gives other bits")


def _settings(
    config: Path | None, profile: str | None, data: Path | None, changes: list[str] | None
) -> Settings:
    from competition.settings import DEFAULT_CONFIG
    from competition.settings_file import read_settings

    return read_settings(
        config or DEFAULT_CONFIG, profile=profile, changes=changes or [], data=data
    )


def _run_name(run: str | None, profile: str | None) -> str:
    name = run or profile or "full"
    if Path(name).name != name or name in (".", ".."):
        raise InputError(f"--run {name}: a name, not a path; the folder is chosen with --out")
    return name


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


def _say_no_data(settings: Settings, profile: str) -> None:
    address = settings.competition.address
    where = f"\nThe real data is to be had at\n{address}\n" if address else ""
    box(
        "no data folder",
        f"There is no {settings.data_folder}, so this run uses the profile '{profile}': small "
        f"drawn images, so that you see every step.\n{where}"
        "Unpack it there, or name its folder with --data, and type the command again.",
    )
