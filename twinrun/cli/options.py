"""What all commands share: their common options, --quiet, and errors as one message."""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand

from twinrun.cli.ranks import connect_ranks, report_once
from twinrun.console import console, error_console
from twinrun.errors import InputError, TwinrunError

if TYPE_CHECKING:
    from twinrun.config.settings import Settings


def _runs_of_project(context: typer.Context, parameter: typer.CallbackParam, value: Path) -> Path:
    """--out; unless it is given, the folder of runs of the project that the command stands in."""
    from twinrun.config.project import find_project

    source = context.get_parameter_source(str(parameter.name))
    if source is None or source.name != "DEFAULT":
        return value
    try:
        return find_project() / value
    except InputError:  # the settings are named with --config
        return value


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Settings file. Default: competition/competition.toml of the project that this folder "
        "is in.",
    ),
]
Profile = Annotated[
    str | None, typer.Option("--profile", help="Lay \\[profiles.NAME] over the settings.")
]
Data = Annotated[
    Path | None, typer.Option("--data", help="Data folder, in place of the settings' one.")
]
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        help="Folder of all runs. Default: runs/ in the project's folder.",
        show_default=False,
        callback=_runs_of_project,
    ),
]
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


class OptionalAddress(TyperCommand):
    """A command whose --ray may stand alone: then its value is empty."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given: list[str] = []
        for place, word in enumerate(args):
            given.append(word)
            if word == "--ray" and (place + 1 == len(args) or args[place + 1].startswith("-")):
                given.append("")
        return super().parse_args(ctx, given)


def answered(function: Callable[..., None]) -> Callable[..., None]:
    """Make a command of a function: --quiet is silence, an error is one message and a code."""

    @functools.wraps(function)
    def command(*args: Any, quiet: bool = False, debug: bool = False, **options: Any) -> None:
        console.quiet = quiet
        try:
            with connect_ranks(function.__name__):
                function(*args, **options, quiet=quiet, debug=debug)
        except KeyboardInterrupt as stop:
            if debug:
                raise
            _end(
                2,
                str(stop) or "stopped before the end",
                "What is complete stays, nothing is half written. "
                "To resume, rerun the same command:",
                shlex.join(["twinrun", *sys.argv[1:]]),
            )
        except TwinrunError as error:
            if debug:
                raise
            _end(error.exit_code, str(error))
        except OSError as error:
            if debug:
                raise
            _end(2, f"{error.filename or 'the system'}: {error.strerror or error}")

    return command


def _end(code: int, *lines: str) -> NoReturn:
    with report_once() as reports:
        if reports:
            error_console.print("[bold red]error:[/]", end=" ")
            for line in lines:
                error_console.print(line, markup=False)
    raise typer.Exit(code)


def settings_of(
    config: Path | None, profile: str | None, data: Path | None, changes: list[str] | None
) -> Settings:
    """The settings that the common options give.

    Raises:
        InputError: They are missing or wrong.
    """
    from twinrun.config.reading import read_settings

    return read_settings(config, profile=profile, changes=changes or [], data=data)


def run_name(run: str | None, profile: str | None) -> str:
    """The name of the run's folder.

    Raises:
        InputError: It is no plain name.
    """
    name = run or profile or "full"
    if Path(name).name != name or name in (".", ".."):
        raise InputError(f"--run {name}: a name, not a path; the folder is chosen with --out")
    return name
