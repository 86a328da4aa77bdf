"""What a data folder answers of the template's questions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import FIXTURE
from twinrun.errors import InputError
from twinrun.scaffold.inspect import inspect
from twinrun.scaffold.project import answers_of
from twinrun.scaffold.questions import QUESTIONS, slug


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Rice 2026", "rice-2026"), ("L'été", "l-ete"), ("天", "competition"), ("--a__b", "a-b")],
)
def test_a_folders_name_becomes_a_slug(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_what_a_data_folder_shows_answers_questions_of_the_template() -> None:
    answers = answers_of(inspect(FIXTURE), Path("Wheat"))
    shown = {each.name for each in QUESTIONS if each.answered_by == "data"}
    assert answers.keys() == shown
    for key, answer in answers.items():
        allowed = QUESTIONS.get(key).answers
        assert allowed is None or answer in allowed
    assert answers["classes"] == "leaf_rust,stem_rust,healthy_wheat"


def test_a_class_with_a_comma_is_refused() -> None:
    found = replace(inspect(FIXTURE), classes=["a,b", "c"])
    with pytest.raises(InputError, match="has a comma in its name"):
        answers_of(found, Path("x"))
