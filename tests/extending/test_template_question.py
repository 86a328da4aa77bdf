"""A question of the template from outside: who the project's author is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FIXTURE
from tests.scaffold.test_answers import Typist
from twinrun.errors import InputError
from twinrun.registry import IncompleteEntry
from twinrun.scaffold.answers import answer_questions, read_answers
from twinrun.scaffold.inspect import inspect
from twinrun.scaffold.question import Choice, Question
from twinrun.scaffold.questions import QUESTIONS, cookiecutter_json

PARTS: dict[str, Any] = {
    "name": "team",
    "prompt": "Team or alone?",
    "answered_by": "user",
    "choices": lambda: [Choice("alone"), Choice("team", "several people", "shared")],
}


@pytest.fixture
def question() -> Iterator[Question]:
    with QUESTIONS.including(Question(**PARTS)) as entry:
        yield entry


@pytest.mark.usefixtures("question")
def test_it_is_written_into_the_template() -> None:
    content = json.loads(cookiecutter_json())
    assert content["team"] == ["alone", "team"]
    assert content["_settings"]["team"] == {"team": "shared"}
    assert content["__prompts__"]["team"] == {
        "__prompt__": "Team or alone?",
        "team": "several people",
    }


def asked_for(**given: str) -> tuple[list[str], dict[str, str]]:
    typist = Typist()
    known = answer_questions(inspect(FIXTURE), Path("somewhere/x"), given, typist)
    return typist.asked, known


@pytest.mark.usefixtures("question")
def test_init_asks_the_user_and_takes_an_answer() -> None:
    asked, known = asked_for()
    assert asked[-1] == "team"
    assert known["team"] == "alone"
    asked, known = asked_for(team="team")
    assert "team" not in asked
    assert known["team"] == "team"
    assert read_answers(["team=alone"]) == {"team": "alone"}
    with pytest.raises(InputError, match="'tem' is not known"):
        read_answers(["team=tem"])


@pytest.mark.parametrize(
    ("answered_by", "more", "answer"),
    [
        ("data", {"read": lambda found, _: "team" if found.train_images > 90 else "alone"}, "team"),
        ("default", {}, None),
    ],
)
def test_it_may_be_answered_by_somebody_else(
    answered_by: str, more: dict[str, Any], answer: str | None
) -> None:
    with QUESTIONS.including(Question(**PARTS | more | {"answered_by": answered_by})):
        asked, known = asked_for()
    assert "team" not in asked
    assert known.get("team") == answer


def test_nobody_is_asked_when_it_is_not_there() -> None:
    assert "team" not in json.loads(cookiecutter_json())
    with pytest.raises(InputError, match="no question 'team'"):
        read_answers(["team=alone"])


@pytest.mark.parametrize("part", ["name", "prompt"])
def test_a_text_that_is_left_out_is_named(part: str) -> None:
    with pytest.raises(IncompleteEntry, match=f"lacks: {part}$"):
        QUESTIONS.add(Question(**PARTS | {part: ""}))
    with pytest.raises(TypeError, match=part):
        Question(**{key: value for key, value in PARTS.items() if key != part})


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        ({"answered_by": ""}, "answered_by"),
        ({"answered_by": "somebody"}, "answered_by"),
        ({"answered_by": "data"}, "read"),
        ({"choices": None}, "default or choices"),
    ],
)
def test_a_part_that_is_left_out_is_named(wrong: dict[str, Any], part: str) -> None:
    with pytest.raises(IncompleteEntry, match=f"question 'team' lacks: {part}$"):
        Question(**PARTS | wrong)


def test_who_answers_it_cannot_be_left_out() -> None:
    with pytest.raises(TypeError, match="answered_by"):
        Question(**{key: value for key, value in PARTS.items() if key != "answered_by"})
    assert "team" not in QUESTIONS
