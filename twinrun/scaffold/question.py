"""What a question to a new project is, and what is suggested as its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from twinrun.registry import IncompleteEntry
from twinrun.scaffold.inspect import Findings

Known = Mapping[str, str]


@dataclass(frozen=True)
class Choice:
    """One of the answers to a question.

    Attributes:
        answer: As it is asked for.
        words: What it means, where the answer does not say it.
        setting: What competition.toml calls it, or how it is written there.
    """

    answer: str
    words: str = ""
    setting: str = ""


@dataclass(frozen=True)
class Suggestion:
    """What is taken where the user says nothing.

    Attributes:
        answer: To the question.
        why: In half a line, from what the data folder holds; may be empty.
    """

    answer: str
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question of the template, and who answers it when `init` runs.

    Attributes:
        name: Its key in cookiecutter.json.
        prompt: As it is asked.
        answered_by: "user": `init` asks it; "data": the data folder shows it; "default": the
            template's default is taken. `--answer` goes before all three.
        default: Without `init`: a text, or a template of one. None for a question with choices.
        choices: Its possible answers, the first of them the default; None for any text.
        read: For "data": the answer, from what was found and the project's folder.
        suggest: For "user": what is suggested, from the same and the answers so far. None: the
            default.
        applies: Whether there is anything to answer, given the answers to questions before this
            one. None: always.
    """

    name: str
    prompt: str
    answered_by: Literal["user", "data", "default"]
    default: str | None = None
    choices: Callable[[], list[Choice]] | None = None
    read: Callable[[Findings, Path], str] | None = None
    suggest: Callable[[Findings, Path, Known], Suggestion] | None = None
    applies: Callable[[Known], bool] | None = None

    def __post_init__(self) -> None:
        """Raise IncompleteEntry where a part is missing that depends on another."""
        if self.default is None and self.choices is None:
            raise IncompleteEntry(f"question {self.name!r} lacks: default or choices")
        if self.answered_by not in ("user", "data", "default"):
            raise IncompleteEntry(f"question {self.name!r} lacks: answered_by")
        if self.answered_by == "data" and self.read is None:
            raise IncompleteEntry(f"question {self.name!r} lacks: read")

    @property
    def answers(self) -> list[str] | None:
        """The possible answers; None for any text."""
        return None if self.choices is None else [choice.answer for choice in self.choices()]

    def is_open(self, known: Known) -> bool:
        """Whether the user is asked it.

        Args:
            known: The answers so far.
        """
        return self.answered_by == "user" and self.name not in known and self.has_place(known)

    def has_place(self, known: Known) -> bool:
        """Whether the other answers leave anything to answer here."""
        return self.applies is None or self.applies(known)

    def suggestion(self, found: Findings, folder: Path, known: Known) -> Suggestion:
        """What is taken where the user says nothing.

        Args:
            found: In the data folder.
            folder: Of the project.
            known: The answers so far.
        """
        if self.suggest is not None:
            return self.suggest(found, folder, known)
        return Suggestion(self.answers[0] if self.answers else str(self.default))

    def words(self, answer: str) -> str:
        """What one of the possible answers means; empty where it says so itself."""
        choices = self.choices() if self.choices else []
        return next((choice.words for choice in choices if choice.answer == answer), "")
