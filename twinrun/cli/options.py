"""What all commands share: their common options, --quiet, and errors as one message."""

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self, get_type_hints

import typer
from typer.core import TyperCommand

from twinrun.cli.endings import one_message
from twinrun.cli.ranks import connect_ranks
from twinrun.console import console
from twinrun.errors import InputError, NegativeVerdict, shortened
from twinrun.grades import Grade, acceptable, exit_code

if TYPE_CHECKING:
    from twinrun.config.sections import Blend
    from twinrun.config.settings import Settings


def _runs_of_project(context: typer.Context, parameter: typer.CallbackParam, value: Path) -> Path:
    """--out; unless it is given, the folder of runs of the project that the command stands in."""
    source = context.get_parameter_source(str(parameter.name))
    if source is None or source.name != "DEFAULT":
        return value
    return _default_runs()


def _default_runs() -> Path:
    from twinrun.config.project import find_project

    try:
        return find_project() / RUNS
    except InputError:  # the settings are named with --config
        return RUNS


def _is_of_blend(change: str) -> bool:
    """Whether a value of --set is one of [blend]."""
    return change.partition("=")[0].strip().partition(".")[0] == "blend"


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
Accept = Annotated[
    str | None,
    typer.Option(
        "--accept",
        metavar="GRADE",
        help="The worst grade that ends with exit code 0: "
        f"{' or '.join(acceptable())}. Default: the same bits only.",
    ),
]
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


@dataclass(frozen=True)
class SettingsOptions:
    """The options that say which settings a command works with."""

    config: Config = None
    profile: Profile = None
    data: Data = None
    changes: Change = None

    def read(self) -> Settings:
        """The settings that they give.

        Raises:
            InputError: They are missing or wrong.
        """
        return read_settings_of(self.config, self.profile, self.data, self.changes)

    def changed(self, *changes: str) -> Self:
        """The same options with more values for --set."""
        return replace(self, changes=[*(self.changes or []), *changes])


@dataclass(frozen=True)
class RunOptions(SettingsOptions):
    """The options that say which settings and which run a command works with."""

    out: Out = RUNS
    run: RunName = None

    @property
    def folder(self) -> Path:
        """The run's folder.

        Raises:
            InputError: The name cannot be a run's.
        """
        from twinrun.names import run_name_problem

        given = self.run if self.run is not None else self.profile
        name = "full" if given is None else given
        problem = run_name_problem(name)
        if problem:
            named = f"--run {shortened(name)!r}" if self.run is not None else f"profile {name!r}"
            raise InputError(
                f"{named}: {problem}",
                fix="Give a name with --run; the folder is chosen with --out.",
            )
        return self.out / name

    def written_blend(self, settings: Settings) -> Blend:
        """[blend] of the settings themselves, without the values that --set gives for it.

        Args:
            settings: As these options give them.

        Raises:
            InputError: As `read`.
        """
        kept = [each for each in self.changes or [] if not _is_of_blend(each)]
        same = len(kept) == len(self.changes or [])
        return settings.blend if same else replace(self, changes=kept).read().blend

    def command(self, name: str, run: str) -> str:
        """The command of this name for a run of these options, as it would be typed.

        Values that --set gives for [blend] are left out.
        """
        words = ["twinrun", name, "--run", run]
        given = {"--config": self.config, "--profile": self.profile, "--data": self.data}
        for option, value in given.items():
            words += [option, str(value)] if value is not None else []
        if self.out != _default_runs():
            words += ["--out", str(self.out)]
        for change in self.changes or []:
            words += [] if _is_of_blend(change) else ["--set", change]
        return shlex.join(words)


@dataclass(frozen=True)
class _EveryCommands:
    """The options that every command has."""

    quiet: Annotated[bool, typer.Option("--quiet", help="Print only verdicts and errors.")] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False


def as_command(function: Callable[..., None]) -> Callable[..., None]:
    """Make a command of a function: --quiet is silence, an error is one message and a code.

    Each parameter that is a group of options, a dataclass such as `RunOptions`, stands for the
    options that are its fields. --quiet and --debug are added; `console.quiet` says the first.
    """
    parameters, groups = _flat_parameters(function)

    @functools.wraps(function)
    def command(*args: Any, quiet: bool = False, debug: bool = False, **options: Any) -> None:
        console.quiet = quiet
        for name, group in groups.items():
            options[name] = group(**{each.name: options.pop(each.name) for each in fields(group)})
        with one_message(debug=debug), connect_ranks(function.__name__):
            function(*args, **options)

    # What typer reads instead of the function's own. In a text it keeps the lines of all paragraphs
    # but the first, which are longer than those of most terminals.
    paragraphs = (function.__doc__ or "").split("\n\n")
    command.__doc__ = "\n\n".join(" ".join(each.split()) for each in paragraphs)
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def _flat_parameters(
    function: Callable[..., None],
) -> tuple[list[inspect.Parameter], dict[str, type[Any]]]:
    """A command's parameters with those of its groups of options, and the groups by parameter."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}
    annotations = get_type_hints(function, include_extras=True)
    for parameter in inspect.signature(function).parameters.values():
        kind = annotations[parameter.name]
        if is_dataclass(kind) and isinstance(kind, type):
            groups[parameter.name] = kind
            parameters += _options_of(kind)
        else:
            parameters.append(
                parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY)
            )
    return [*parameters, *_options_of(_EveryCommands)], groups


def _options_of(group: type[Any]) -> list[inspect.Parameter]:
    annotations = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=each.default,
            annotation=annotations[each.name],
        )
        for each in fields(group)
    ]


def refuse_options(context: typer.Context, why: str, *, known: Collection[str]) -> None:
    """Check that none was given but those that a command heeds in this use of it.

    Args:
        context: Of the command.
        why: What is wrong with one, behind its name.
        known: The parameters that are heeded.

    Raises:
        InputError: Another one was given.
    """
    known = {*known, *(each.name for each in fields(_EveryCommands))}
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if parameter.name not in known and source is not None and source.name != "DEFAULT":
            value = context.params[str(parameter.name)]
            argument = parameter.param_type_name == "argument"
            what = " ".join(map(str, value)) if argument else parameter.opts[0]
            raise InputError(f"{what} {why}")


def end_with(grade: Grade, accepted: Grade, what: str) -> None:
    """End a command whose verdict has been printed: where it is accepted, nothing happens.

    Args:
        grade: The verdict's.
        accepted: From `grades.read_accepted`.
        what: What is different, in one sentence.

    Raises:
        NegativeVerdict: It is the worst grade.
        typer.Exit: With the grade's own exit code.
    """
    code = exit_code(grade, accepted)
    if code == NegativeVerdict.exit_code:
        raise NegativeVerdict(what)
    if code:
        raise typer.Exit(code)


def read_settings_of(
    config: Path | None, profile: str | None, data: Path | None, changes: list[str] | None
) -> Settings:
    """The settings that the common options give.

    Raises:
        InputError: They are missing or wrong.
    """
    from twinrun.config.reading import read_settings

    return read_settings(config, profile=profile, changes=changes or [], data=data)
