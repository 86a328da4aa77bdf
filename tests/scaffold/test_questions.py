"""The template's questions: cookiecutter.json is written from their table."""

from __future__ import annotations

import pytest

from twinrun.scaffold.questions import FILE, cookiecutter_json, slug


def test_the_templates_file_is_what_the_table_says() -> None:
    written = FILE.read_text(encoding="utf-8")
    assert written == cookiecutter_json(), "run: python -m twinrun.scaffold.questions"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("Rice 2026", "rice-2026"), ("L'été", "l-ete"), ("天", "competition"), ("--a__b", "a-b")),
        (f"{'a' * 59}-b", "a" * 59),
    ],
)
def test_a_folders_name_becomes_a_slug(name: str, expected: str) -> None:
    assert slug(name) == expected
