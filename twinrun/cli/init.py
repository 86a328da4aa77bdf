"""The command that starts a project: init."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinrun.cli.options import (
    as_command,
)
from twinrun.console import ask as ask_user
from twinrun.console import say

if TYPE_CHECKING:
    from twinrun.scaffold.inspect import Findings
    from twinrun.scaffold.questions import Question

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ntwinrun init ../photos --data ~/Downloads/photos\n\n"
    "twinrun init ../photos --data ~/Downloads/photos --answer metric=accuracy --yes"
)
@as_command
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
) -> None:
    """Make a project for a new competition from its data folder, asking what it does not show."""
    from twinrun.config.local import LOCAL
    from twinrun.config.project import SETTINGS
    from twinrun.scaffold import project
    from twinrun.scaffold.data_place import refuse_folder_in_use
    from twinrun.scaffold.inspect import inspect

    project.refuse_without_template()
    refuse_folder_in_use(folder, data)
    found = inspect(
        data, train=train, test=test, labels=labels, sample=sample, label_column=label_column
    )
    _say_findings(found)
    given = project.check_answers(answers or [])
    ask = _take_suggestion if yes else _ask
    known = project.answer_questions(found, folder.resolve(), given, ask)
    address = project.make(folder, known, found)
    say("project   ", (str(folder), "bold"), f", settings in {SETTINGS}")
    local = SETTINGS.with_name(LOCAL)
    if (folder / local).is_file():
        say(f"          the data's folder in {local}, which git ignores")
    if address is None:
        say("note      no address is known here from which updates come; to name one:")
        say("          cruft link ADDRESS --directory template")
    elif address.startswith("."):
        say(f"note      updates come from {address}, as this clone has no address for")
        say("          others; to name one: cruft link ADDRESS --directory template")
    say("")
    say("Next:")
    for line in (
        f"cd {shlex.quote(str(folder))}",
        "git init -b main && git add -A && git commit -m 'Begin'",
        "nox -s full_train",
    ):
        say(f"  {line}")


def _say_findings(found: Findings) -> None:
    """Print what the data folder shows."""
    from twinrun.config.layouts import LAYOUTS
    from twinrun.submission_forms import FORMS

    labels = f", labels in {found.labels}" if found.labels else ""
    layout = LAYOUTS.get(found.layout).answer + labels
    say(("data", "bold"), f"      {found.folder}: {layout}")
    say(
        f"train     {found.train}, {found.train_images:,} images of "
        f"{found.width} x {found.height} px (median)"
    )
    for name in found.classes:
        say(f"          {name}: {found.counts[name]:,}")
    say(f"test      {found.test}, {found.test_images:,} images")
    asks = FORMS.get(found.columns).asks_for(found.classes)
    say(f"sample    {found.sample_submission}, asks for {asks}")
    for note in found.notes:
        say(f"note      {note}")
    for question in found.questions:
        say(("open", "yellow"), f"      {question}")


def _take_suggestion(question: Question, suggestion: str) -> str:
    return suggestion


def _ask(question: Question, suggestion: str) -> str:
    return ask_user(question.prompt, question.answers, suggestion)
