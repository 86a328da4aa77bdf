"""The template's questions: cookiecutter.json is written from their table."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import FIXTURE
from twinrun.scaffold.inspect import Findings, inspect
from twinrun.scaffold.questions import FILE, QUESTIONS, cookiecutter_json, slug


@pytest.fixture(scope="module")
def found() -> Findings:
    return inspect(FIXTURE)


def test_the_templates_file_is_what_the_table_says() -> None:
    written = FILE.read_text(encoding="utf-8")
    assert written == cookiecutter_json(), "run: python -m twinrun.scaffold.questions"


def test_the_metric_that_a_form_of_submission_usually_has_is_suggested(found: Findings) -> None:
    suggested = QUESTIONS.get("metric").suggestion(found, Path("x"), {})
    assert suggested == "log loss"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("Rice 2026", "rice-2026"), ("L'été", "l-ete"), ("天", "competition"), ("--a__b", "a-b")),
        (f"{'a' * 59}-b", "a" * 59),
    ],
)
def test_a_folders_name_becomes_a_slug(name: str, expected: str) -> None:
    assert slug(name) == expected
