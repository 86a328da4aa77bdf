"""A new project for a competition, made from the template with what its data folder shows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from twinrun.errors import InputError, nearest
from twinrun.scaffold.data_place import move_project, name_data, refuse_folder_in_use
from twinrun.scaffold.inspect import Findings
from twinrun.scaffold.questions import QUESTIONS, Question
from twinrun.scaffold.render import read_address, render
from twinrun.wheel.engine_wheel import ENGINE, template_folder


def refuse_without_template() -> None:
    """Raise InputError when this engine has no template: a project unpacked it."""
    if template_folder() is None:
        raise InputError(
            f"the engine in {ENGINE} was unpacked by a project, and has no template",
            fix="Run the command of a different environment, or of a clone of Twinrun.",
        )


def answer_questions(
    found: Findings,
    folder: Path,
    given: Mapping[str, str],
    ask: Callable[[Question, str], str],
) -> dict[str, str]:
    """The answers to the template's questions, but for those whose default is taken.

    Args:
        found: In the data folder.
        folder: Of the project.
        given: Answers that the user gave beforehand.
        ask: Asks the user a question, with a suggestion.

    Raises:
        InputError: What the data folder shows is no answer.
    """
    known = answers_of(found, folder) | dict(given)
    for question in QUESTIONS:
        if question.answered_by == "user" and question.name not in known:
            known[question.name] = ask(question, question.suggestion(found, folder, known))
    return known


def answers_of(found: Findings, folder: Path) -> dict[str, str]:
    """The answers that a data folder and the project's own folder give.

    Raises:
        InputError: What they show is no answer.
    """
    return {each.name: each.read(found, folder) for each in QUESTIONS if each.read is not None}


def check_answers(texts: Sequence[str]) -> dict[str, str]:
    """Answers of the form QUESTION=TEXT, by question.

    Raises:
        InputError: An unknown question, or a text that is none of its choices.
    """
    given = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key not in QUESTIONS:
            raise InputError(
                f"--answer {text}: there is no question {key!r}. "
                f"{nearest(key, QUESTIONS.names)}".rstrip(),
                fix=f"Known questions: {', '.join(QUESTIONS.names)}.",
            )
        allowed = QUESTIONS.get(key).answers
        if allowed is not None and value not in allowed:
            raise InputError(
                f"--answer {text}: {value!r} is not known. {nearest(value, allowed)}".rstrip(),
                fix=f"Allowed: {', '.join(allowed)}.",
            )
        given[key] = value
    return given


def make(folder: Path, answers: Mapping[str, str], found: Findings) -> str | None:
    """Make the project; the folder appears whole or not at all.

    Args:
        folder: Of the project; it must not exist, be empty, or hold nothing but the data.
        answers: To the template's questions.
        found: In the data folder, which a file of the project will name that git ignores.

    Returns:
        The address that updates come from, relative to the project if it is a folder of this
        machine; None where it is not known.

    Raises:
        InputError: The folder is in use, the template is no git repository, or an answer was
            refused.
    """
    refuse_folder_in_use(folder, found.folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".twinrun-init-", dir=folder.parent) as temporary:
        made = render(Path(temporary), folder.resolve(), answers)
        name_data(made, folder, found.folder)
        move_project(made, folder)
    return read_address(folder)
