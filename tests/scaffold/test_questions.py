"""The template's questions: cookiecutter.json is written from their table."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import FIXTURE
from twinrun.errors import InputError
from twinrun.scaffold.inspect import Findings, inspect
from twinrun.scaffold.project import answer_questions, check_answers
from twinrun.scaffold.questions import FILE, QUESTIONS, Question, cookiecutter_json


@pytest.fixture(scope="module")
def found() -> Findings:
    return inspect(FIXTURE)


def test_the_templates_file_is_what_the_table_says() -> None:
    written = FILE.read_text(encoding="utf-8")
    assert written == cookiecutter_json(), "run: python -m twinrun.scaffold.questions"


def test_the_user_is_asked_what_no_data_folder_shows(found: Findings) -> None:
    asked: dict[str, str] = {}

    def ask(question: Question, suggestion: str) -> str:
        asked[question.name] = suggestion
        return f"my {question.name}"

    known = answer_questions(found, Path("somewhere/Rice 2026"), {"metric": "accuracy"}, ask)
    assert asked == {
        "project_name": "Rice 2026",
        "competition_name": "my project_name",
        "competition_address": "",
        "members": "quick",
        "licence": "Apache-2.0",
        "ci": "GitHub Actions",
    }
    assert known["metric"] == "accuracy"
    assert known["project_slug"] == "rice-2026"


def test_the_metric_that_a_form_of_submission_usually_has_is_suggested(found: Findings) -> None:
    suggested = QUESTIONS.get("metric").suggestion(found, Path("x"), {})
    assert suggested == "log loss"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("membrs=quick", ("no question 'membrs'", "did you mean 'members'?", "Known questions: ")),
        ("metric", ("no question 'metric'",)),
        ("metric=acuracy", ("'acuracy' is not known", "did you mean 'accuracy'?", "macro F1")),
    ],
)
def test_an_answer_that_cannot_be_is_refused(answer: str, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        check_answers([answer])
    assert not [each for each in words if each not in str(caught.value)]


def test_answers_are_kept_by_question() -> None:
    assert check_answers(["metric=AUC", "competition_address=https://a=b"]) == {
        "metric": "AUC",
        "competition_address": "https://a=b",
    }
