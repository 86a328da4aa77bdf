"""The command that starts a project: init."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinrun.cli.options import (
    as_command,
)
from twinrun.console import ask, is_anyone_there, say, tell
from twinrun.errors import InputError

if TYPE_CHECKING:
    from twinrun.scaffold.answers import Asked
    from twinrun.scaffold.inspect import Findings
    from twinrun.scaffold.question import Question, Suggestion

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
        list[str] | None,
        typer.Option(
            "--train",
            help="Folder of training images in it, where that is not clear. Repeatable.",
        ),
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option(
            "--test", help="Folder of test images in it, where that is not clear. Repeatable."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            help="Table of labels, in it or anywhere else; it decides, whatever folders say.",
        ),
    ] = None,
    label_column: Annotated[
        str | None, typer.Option("--label-column", help="Its column of labels.")
    ] = None,
    sample: Annotated[
        str | None,
        typer.Option(
            "--sample", help="Sample submission, in it or anywhere else, where that is not clear."
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Ask nothing: take the suggested answers.")
    ] = False,
) -> None:
    """Make a project for a new competition from its data folder, asking what it does not show."""
    from twinrun.config.local import LOCAL
    from twinrun.config.project import SETTINGS
    from twinrun.scaffold import project
    from twinrun.scaffold.answers import answer_questions, open_questions, read_answers
    from twinrun.scaffold.data_place import refuse_folder_in_use
    from twinrun.scaffold.inspect import inspect
    from twinrun.scaffold.render import missing_programs, refuse_without_git

    # All that can go wrong without an answer, before the first question.
    project.refuse_without_template()
    refuse_without_git()
    given = read_answers(answers or [])
    if not yes:
        _refuse_without_terminal(open_questions(given))
    refuse_folder_in_use(folder, data)
    found = inspect(
        data,
        train=train or (),
        test=test or (),
        labels=labels,
        sample=sample,
        label_column=label_column,
        layout=_layout_in(given),
        unseen=[name.strip() for name in given.get("unseen", "").split(",") if name.strip()],
    )
    _say_findings(found)
    user = _Terminal()
    asked: Asked = _Suggested() if yes else user
    with _kept(user.answers):
        known = answer_questions(found, folder.resolve(), given, asked)
        address = project.make(folder, known, found)
    say("project   ", (str(folder), "bold"), f", settings in {SETTINGS}")
    local = SETTINGS.with_name(LOCAL)
    if (folder / local).is_file():
        tables = any(
            Path(path or "").is_absolute() for path in (found.labels, found.sample_submission)
        )
        what = "the places of data and tables" if tables else "the data's folder"
        say(f"          {what} in {local}, which git ignores")
    if address is None:
        say("note      no address is known here from which updates come; to name one:")
        say("          cruft link ADDRESS --directory template")
    elif address.startswith("."):
        say(f"note      updates come from {address}, as this clone has no address for")
        say("          others; to name one: cruft link ADDRESS --directory template")
    for missing in missing_programs():
        say(f"note      {missing}")
    say("")
    say("Next:")
    for line in (
        *([] if folder.resolve() == Path.cwd() else [f"cd {shlex.quote(str(folder))}"]),
        "git init -b main && git add -A && git commit -m 'Begin'",
        "nox -s full_train",
    ):
        say(f"  {line}")


def _layout_in(given: Mapping[str, str]) -> str | None:
    """The name of the layout that an answer names."""
    from twinrun.config.layouts import LAYOUTS

    return next((each.name for each in LAYOUTS if each.answer == given.get("layout")), None)


def _names(folders: str | list[str]) -> str:
    return folders if isinstance(folders, str) else ", ".join(folders)


def _say_findings(found: Findings) -> None:
    """Print what the data folder shows."""
    from twinrun.config.layouts import LAYOUTS
    from twinrun.submission_forms import FORMS

    labels = f", labels in {found.labels}" if found.labels else ""
    layout = LAYOUTS.get(found.layout).answer + labels
    say(("data", "bold"), f"      {found.folder}: {layout}")
    say(
        f"train     {_names(found.train)}, {found.train_images:,} images of "
        f"{found.width} x {found.height} px (median)"
    )
    for name in found.classes:
        say(f"          {name}: {found.counts[name]:,}")
    say(f"test      {_names(found.test)}, {found.test_images:,} images")
    asks = FORMS.get(found.columns).asks_for(found.classes)
    say(f"sample    {found.sample_submission}, asks for {asks}")
    for note in found.notes:
        say(f"note      {note}")
    for question in found.questions:
        say(("open", "yellow"), f"      {question}")


class _Suggested:
    """--yes: what is suggested is taken, and told."""

    def __init__(self) -> None:
        self._label = "answers"

    def answer(self, question: Question, suggestion: Suggestion) -> str:
        why = suggestion.why or question.words(suggestion.answer)
        taken = suggestion.answer or "none"
        say((f"{self._label:<10}", "bold"), f"{question.name}: {taken}{why and f' ({why})'}")
        self._label = ""
        return suggestion.answer

    def refuse(self, question: Question, problem: str) -> None:
        raise InputError(
            f"what is suggested for {question.name} cannot be used: {problem}",
            fix=f"Answer it yourself: --answer {question.name}=TEXT",
        )


class _Terminal:
    """Asks the user.

    Attributes:
        answers: What was answered so far, by question.
    """

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self._told: Question | None = None

    def answer(self, question: Question, suggestion: Suggestion) -> str:
        if question is not self._told:
            self._tell(question, suggestion)
        answer = ask(f"[{suggestion.answer}]: ") or suggestion.answer
        self.answers[question.name] = answer
        return answer

    def refuse(self, question: Question, problem: str) -> None:
        del self.answers[question.name]
        tell(("not possible:", "yellow"), f" {problem}")

    def _tell(self, question: Question, suggestion: Suggestion) -> None:
        """The question, its possible answers with what each means, and why one is suggested."""
        if self._told is None:
            tell("")
            tell("Enter takes what stands in brackets; Ctrl-C ends without a project.")
        self._told = question
        tell("")
        tell((question.prompt, "bold"))
        width = max(map(len, question.answers or [""]))
        for answer in question.answers or []:
            tell(f"  {answer:<{width}}  {question.words(answer)}".rstrip())
        if suggestion.why:
            tell(f"  suggested: {suggestion.answer}, {suggestion.why}")


def _refuse_without_terminal(questions: list[str]) -> None:
    if questions and not is_anyone_there():
        raise InputError(
            f"there is no terminal to ask on: {', '.join(questions)}",
            fix=f"Take what is suggested with --yes, or answer each: --answer {questions[0]}=TEXT.",
        )


@contextmanager
def _kept(answers: Mapping[str, str]) -> Iterator[None]:
    """Whatever ends the command, what was answered is told: as options for the next time."""
    try:
        yield
    except (KeyboardInterrupt, EOFError):
        raise InputError(
            "stopped before the end: no project was made", fix=_again(answers)
        ) from None
    except InputError as error:
        raise InputError(
            error.what, details=error.details, fix=[*error.fixes, *_again(answers)]
        ) from error
    except OSError as error:
        where = error.filename or "the system"
        raise InputError(f"{where}: {error.strerror or error}", fix=_again(answers)) from error


def _again(answers: Mapping[str, str]) -> list[str]:
    if not answers:
        return []
    words = [word for name, text in answers.items() for word in ("--answer", f"{name}={text}")]
    return ["Your answers, as options for the next time:", f"  {shlex.join(words)}"]
