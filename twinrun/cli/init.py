"""The command that starts a project: init."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.prompt import Prompt

from twinrun.cli.options import Debug, Quiet, answered
from twinrun.config.layouts import LAYOUTS
from twinrun.console import console, say
from twinrun.errors import InputError, nearest
from twinrun.metrics import METRICS
from twinrun.submission_forms import FORMS

if TYPE_CHECKING:
    from twinrun.scaffold.inspect import Findings

app = typer.Typer()

# What no data folder shows, in the order in which it is asked.
ASKED = (
    "project_name",
    "competition_name",
    "competition_address",
    "metric",
    "members",
    "licence",
    "ci",
)


@app.command(
    epilog="Examples:\n\ntwinrun init ../rice --data ~/Downloads/rice\n\n"
    "twinrun init ../rice --data ~/rice --answer metric=accuracy --yes"
)
@answered
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the new project.")],
    data: Annotated[Path, typer.Option("--data", help="Folder of the competition's data.")],
    answers: Annotated[
        list[str] | None,
        typer.Option(
            "--answer",
            metavar="QUESTION=TEXT",
            help="Answer a question of the template, e.g. members=strong. Repeatable.",
        ),
    ] = None,
    train: Annotated[
        str | None,
        typer.Option("--train", help="Folder of training images in it, where that is not clear."),
    ] = None,
    test: Annotated[
        str | None,
        typer.Option("--test", help="Folder of test images in it, where that is not clear."),
    ] = None,
    labels: Annotated[
        str | None, typer.Option("--labels", help="CSV of labels in it, where several would do.")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option("--label-column", help="Its column of labels.")
    ] = None,
    sample: Annotated[
        str | None,
        typer.Option("--sample", help="Sample submission in it, where that is not clear."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Ask nothing: take the suggested answers.")
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Make a project for a new competition from its data folder, asking what it does not show."""
    from twinrun.scaffold import project
    from twinrun.scaffold.inspect import inspect

    asked = project.questions()
    project.refuse_folder_in_use(folder)
    found = inspect(
        data, train=train, test=test, labels=labels, sample=sample, label_column=label_column
    )
    _say_findings(found)
    given = _given(answers or [], asked)
    known = project.answers_of(found, folder.resolve()) | given
    suggested = {
        "project_name": folder.resolve().name,
        "metric": METRICS.get(FORMS.get(found.columns).usual_metric).words,
    }
    for key in ASKED:
        if key not in given:
            suggestion = suggested.get(key, _default(asked[key], known))
            known[key] = suggestion if yes else _ask(asked, key, suggestion)
    project.make(folder, known, found)
    say(f"project   [bold]{escape(str(folder))}[/], settings in competition/competition.toml")
    say("")
    say("Next:")
    for line in (
        f"cd {shlex.quote(str(folder))}",
        "git init && git add -A && git commit -m 'Begin'",
        "nox -s full_train",
    ):
        say(f"  {escape(line)}")


def _say_findings(found: Findings) -> None:
    """Show what was seen in the data folder."""
    labels = f", labels in {found.labels}" if found.labels else ""
    layout = LAYOUTS.get(found.layout).answer + labels
    say(f"[bold]data[/]      {escape(str(found.folder))}: {escape(layout)}")
    say(
        f"train     {escape(found.train)}, {found.train_images:,} images of "
        f"{found.width} x {found.height} px (median)"
    )
    for name in found.classes:
        say(f"          {escape(name)}: {found.counts[name]:,}")
    say(f"test      {escape(found.test)}, {found.test_images:,} images")
    asks = FORMS.get(found.columns).asks_for(found.classes)
    say(f"sample    {escape(found.sample_submission)}, asks for {escape(asks)}")
    for note in found.notes:
        say(f"note      {escape(note)}")
    for question in found.questions:
        say(f"[yellow]open[/]      {escape(question)}")


def _given(texts: list[str], asked: dict[str, Any]) -> dict[str, str]:
    """The answers of --answer.

    Raises:
        InputError: An unknown question, or a text that is none of its choices.
    """
    names = [name for name in asked if not name.startswith("_")]
    given = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key not in names:
            raise InputError(
                f"--answer {text}: there is no question {key!r}. {nearest(key, names)}".rstrip(),
                fix=f"Known questions: {', '.join(names)}.",
            )
        if isinstance(asked[key], list) and value not in asked[key]:
            raise InputError(
                f"--answer {text}: {value!r} is not known. {nearest(value, asked[key])}".rstrip(),
                fix=f"Allowed: {', '.join(asked[key])}.",
            )
        given[key] = value
    return given


def _default(default: Any, known: dict[str, str]) -> str:
    if isinstance(default, list):
        return str(default[0])
    return known["project_name"] if "cookiecutter.project_name" in default else str(default)


def _ask(asked: dict[str, Any], key: str, suggestion: str) -> str:
    prompt = asked["__prompts__"][key]
    choices = asked[key] if isinstance(asked[key], list) else None
    question = prompt if isinstance(prompt, str) else prompt["__prompt__"]
    return Prompt.ask(escape(question), console=console, choices=choices, default=suggestion)
