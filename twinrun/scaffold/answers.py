"""Answers to the template's questions: each is checked where it is given."""

from __future__ import annotations

import runpy
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from twinrun.errors import InputError, nearest
from twinrun.scaffold.inspect import Findings
from twinrun.scaffold.question import Known, Question, Suggestion
from twinrun.scaffold.questions import QUESTIONS, TEMPLATE


class Asked(Protocol):
    """Who answers the questions that no data folder does."""

    def answer(self, question: Question, suggestion: Suggestion) -> str:
        """The answer to a question."""

    def refuse(self, question: Question, problem: str) -> None:
        """Tell why the answer cannot be used; where this returns, `answer` is called again."""


def read_answers(texts: Sequence[str]) -> dict[str, str]:
    """Answers of the form QUESTION=TEXT, by question.

    What depends on the data folder is left to `answer_questions`.

    Raises:
        InputError: An unknown question, a text that is no answer to it, or two answers to one.
    """
    given: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key not in QUESTIONS:
            raise InputError(
                f"--answer {text}: there is no question {key!r}. "
                f"{nearest(key, QUESTIONS.names)}".rstrip(),
                fix=f"Known questions: {', '.join(QUESTIONS.names)}.",
            )
        if problem := problem_with(QUESTIONS.get(key), value, {}):
            raise InputError(f"--answer {text}: {problem}")
        if given.get(key, value) != value:
            raise InputError(
                f"--answer {text}: {given[key]!r} was given before", fix="Answer a question once."
            )
        given[key] = value
    return given


def open_questions(given: Mapping[str, str]) -> list[str]:
    """The names of the questions that a user is asked who gave these answers."""
    return [each.name for each in QUESTIONS if each.is_open(given)]


def answer_questions(
    found: Findings, folder: Path, given: Mapping[str, str], asked: Asked
) -> dict[str, str]:
    """The answers to the template's questions, but for those whose default is taken.

    Args:
        found: In the data folder.
        folder: Of the project.
        given: Answers that the user gave beforehand, from `read_answers`.
        asked: Answers what neither they nor the data folder do.

    Raises:
        InputError: What the data folder shows is no answer, or does not go with a given one.
    """
    known = {**answers_of(found, folder, given), **given}
    if problems := _problems_in(known):
        raise InputError(
            f"no project can be made with what {found.folder} shows:",
            details=[f"{name}: {problem}" for name, problem in problems.items()],
            fix=f"Give a different answer, for example --answer {next(iter(problems))}=...",
        )
    for question in QUESTIONS:
        if not question.is_open(known):
            continue
        suggestion = question.suggestion(found, folder, known)
        answer = asked.answer(question, suggestion)
        while problem := problem_with(question, answer, known):
            asked.refuse(question, problem)
            answer = asked.answer(question, suggestion)
        known[question.name] = answer
    return known


def answers_of(found: Findings, folder: Path, given: Mapping[str, str]) -> dict[str, str]:
    """The answers that a data folder and the project's own folder give.

    Args:
        found: In the data folder.
        folder: Of the project.
        given: Answers that are there already: what they answer is not looked for.

    Raises:
        InputError: What they show is no answer.
    """
    return {
        each.name: each.read(found, folder)
        for each in QUESTIONS
        if each.read is not None and each.name not in given
    }


def problem_with(question: Question, answer: str, known: Known) -> str:
    """Why an answer cannot be used, in one line; empty where it can.

    Args:
        question: That it answers.
        answer: As it was given.
        known: The answers so far: where one does not go with another, the later one is at fault.
    """
    allowed = question.answers
    if allowed is not None and answer not in allowed:
        meant = f" {nearest(answer, allowed)}".rstrip()
        return f"{answer!r} is not known.{meant} Allowed: {', '.join(allowed)}"
    others = {name: text for name, text in known.items() if name != question.name}
    together = {**others, question.name: answer}
    problems: list[str] = _template()["mistakes_in"](question.name, together)
    problems += [
        f"{answer!r} leaves nothing to answer to {other!r}, which is {text!r}"
        for other, text in others.items()
        if QUESTIONS.get(other).has_place(others) and not QUESTIONS.get(other).has_place(together)
    ]
    return "; ".join(problems)


def _problems_in(known: Known) -> dict[str, str]:
    problems = {name: problem_with(QUESTIONS.get(name), known[name], known) for name in known}
    return {name: problem for name, problem in problems.items() if problem}


@cache
def _template() -> dict[str, Any]:
    """What the template itself refuses: its own Python, which needs no engine."""
    return runpy.run_path(str(TEMPLATE / "generation.py"))
