"""Answers to the template's questions: each is checked where it is given, and none is lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import FIXTURE
from twinrun.errors import InputError
from twinrun.scaffold.answers import (
    answer_questions,
    answers_of,
    open_questions,
    problem_with,
    read_answers,
)
from twinrun.scaffold.inspect import Findings, inspect
from twinrun.scaffold.question import Question, Suggestion
from twinrun.scaffold.questions import QUESTIONS, TEMPLATE


@pytest.fixture(scope="module")
def found() -> Findings:
    return inspect(FIXTURE)


class Typist:
    """Types one text after the other, and then nothing, which takes what is suggested."""

    def __init__(self, *texts: str) -> None:
        self._texts: Iterator[str] = iter(texts)
        self.asked: list[str] = []
        self.suggested: dict[str, str] = {}
        self.told: list[str] = []

    def answer(self, question: Question, suggestion: Suggestion) -> str:
        self.asked.append(question.name)
        self.suggested[question.name] = suggestion.answer
        return next(self._texts, "") or suggestion.answer

    def refuse(self, question: Question, problem: str) -> None:
        self.told.append(f"{question.name}: {problem}")


def test_what_a_data_folder_shows_answers_questions_of_the_template(found: Findings) -> None:
    answers = answers_of(found, Path("Wheat"), {})
    shown = {each.name for each in QUESTIONS if each.answered_by == "data"}
    assert answers.keys() == shown
    for key, answer in answers.items():
        allowed = QUESTIONS.get(key).answers
        assert allowed is None or answer in allowed
    assert answers["classes"] == "leaf_rust,stem_rust,healthy_wheat"


def test_a_class_with_a_comma_is_refused_unless_the_user_names_the_classes(
    found: Findings,
) -> None:
    odd = replace(found, classes=["a,b", "c"])
    with pytest.raises(InputError, match="has a comma in its name"):
        answers_of(odd, Path("x"), {})
    assert "classes" not in answers_of(odd, Path("x"), {"classes": "read from the data folder"})


def test_the_user_is_asked_what_no_data_folder_shows(found: Findings) -> None:
    typist = Typist("my project")
    known = answer_questions(found, Path("somewhere/Rice 2026"), {"metric": "accuracy"}, typist)
    assert typist.suggested == {
        "project_name": "Rice 2026",
        "competition_name": "my project",
        "competition_address": "",
        "image_size": "128",
        "members": "quick",
        "validation": "5 folds",
        "licence": "Apache-2.0",
        "ci": "GitHub Actions",
    }
    assert typist.asked == open_questions({"metric": "accuracy"})
    assert known["metric"] == "accuracy"
    assert known["project_slug"] == "rice-2026"
    assert typist.told == []


def test_a_refused_answer_is_asked_again_at_once_and_no_other_is_lost(found: Findings) -> None:
    typist = Typist(
        "Rice", "Rice cup", "zindi.africa", "ftp://x", "https://zindi.africa", "acuracy"
    )
    known = answer_questions(found, Path("rice"), {}, typist)
    assert typist.asked == [
        *("project_name", "competition_name"),
        *("competition_address",) * 3,
        *("metric",) * 2,
        *("image_size", "members", "validation", "licence", "ci"),
    ]
    assert typist.told == [
        "competition_address: got 'zindi.africa', allowed: https://... or nothing",
        "competition_address: got 'ftp://x', allowed: https://... or nothing",
        "metric: 'acuracy' is not known. did you mean 'accuracy'? Allowed: "
        + ", ".join(QUESTIONS.get("metric").answers or []),
    ]
    assert known["project_name"] == "Rice"
    assert known["competition_address"] == "https://zindi.africa"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("membrs=quick", ("no question 'membrs'", "did you mean 'members'?", "Known questions: ")),
        ("metric", ("no question 'metric'",)),
        ("metric=acuracy", ("'acuracy' is not known", "did you mean 'accuracy'?", "macro F1")),
        ("image_size=5", ("got '5', allowed: a whole number from 32 to 4096",)),
        ("project_name=a\nb", ("allowed: printable text",)),
        ("classes=one", ("allowed: two or more different names",)),
        ("competition_address=zindi", ("https://... or nothing",)),
    ],
)
def test_an_answer_that_cannot_be_is_refused(answer: str, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        read_answers([answer])
    assert not [each for each in words if each not in str(caught.value)]


def test_two_answers_to_one_question_are_refused_unless_they_are_one() -> None:
    with pytest.raises(InputError, match="metric=AUC: 'accuracy' was given before"):
        read_answers(["metric=accuracy", "metric=AUC"])
    assert read_answers(["metric=AUC", "metric=AUC"]) == {"metric": "AUC"}


def test_answers_are_kept_by_question() -> None:
    assert read_answers(["metric=AUC", "competition_address=https://a=b"]) == {
        "metric": "AUC",
        "competition_address": "https://a=b",
    }


def test_an_answer_that_does_not_go_with_the_data_is_refused_before_any_question(
    found: Findings,
) -> None:
    given = read_answers(["submission_columns=the last class's probability"])
    typist = Typist()
    with pytest.raises(InputError, match=r"submission_columns: .* exactly two classes"):
        answer_questions(found, Path("rice"), given, typist)
    assert typist.asked == []


def test_what_the_data_shows_and_the_template_refuses_is_told_before_any_question(
    found: Findings,
) -> None:
    typist = Typist()
    odd = replace(found, id_column="a\nb", classes=["id", "other"])
    with pytest.raises(InputError) as caught:
        answer_questions(odd, Path("rice"), {}, typist)
    assert typist.asked == []
    assert "id_column: got 'a\\nb'" in str(caught.value)
    assert "classes: 'id' is the name of a column" in str(caught.value)
    assert "--answer" in caught.value.fix


@pytest.mark.parametrize("name", ["x" * 100, "a-" * 40, "天", "L'été"])
def test_every_folder_has_a_slug_that_the_template_takes(found: Findings, name: str) -> None:
    slug = answers_of(found, Path(name), {})["project_slug"]
    assert problem_with(QUESTIONS.get("project_slug"), slug, {}) == ""


def test_every_suggestion_of_a_plain_folder_is_taken(found: Findings) -> None:
    typist = Typist()
    answer_questions(found, Path("rice"), {}, typist)
    assert typist.told == []


def test_the_templates_own_check_is_the_one_that_is_asked() -> None:
    assert (TEMPLATE / "generation.py").is_file()
    size = QUESTIONS.get("image_size")
    good: Iterable[str] = ("32", "224", "4096")
    assert [problem_with(size, text, {}) for text in good] == ["", "", ""]
    assert all(problem_with(size, text, {}) for text in ("31", "4097", "²²⁴", "", "9" * 6000))


def test_members_that_say_themselves_what_they_are_judged_by_leave_no_question(
    found: Findings,
) -> None:
    typist = Typist(*[""] * 5, "13th place")
    known = answer_questions(found, Path("rice"), {}, typist)
    assert known["members"] == "13th place"
    assert "validation" not in typist.asked
    assert "validation" not in known
    assert "validation" not in open_questions({"members": "13th place"})


def test_an_answer_that_another_leaves_no_place_for_is_never_ignored(found: Findings) -> None:
    given = {"validation": "5 folds"}
    typist = Typist(*[""] * 5, "13th place", "strong")
    known = answer_questions(found, Path("rice"), given, typist)
    says = "'13th place' leaves nothing to answer to 'validation', which is '5 folds'"
    assert typist.told == [f"members: {says}"]
    assert known["members"] == "strong"
    with pytest.raises(InputError, match=f"members: {says}") as caught:
        answer_questions(found, Path("rice"), {**given, "members": "13th place"}, Typist())
    assert len(caught.value.details) == 1
