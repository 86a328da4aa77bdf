"""What is suggested to a new project: by what its data folder holds, each with the reason."""

from __future__ import annotations

import re
import runpy
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment

from tests.conftest import FIXTURE, ROOT
from twinrun.scaffold.inspect import Findings, inspect
from twinrun.scaffold.questions import FILE, QUESTIONS, TEMPLATE
from twinrun.submission_forms import FORMS


@pytest.fixture(scope="module")
def found() -> Findings:
    return inspect(FIXTURE)


def suggested(found: Findings, name: str) -> tuple[str, str]:
    given = QUESTIONS.get(name).suggestion(found, Path("somewhere/rice"), {"project_name": "x"})
    return given.answer, given.why


@pytest.mark.parametrize(
    ("counts", "answer", "why"),
    [
        ({"a": 150, "b": 149}, "5 folds", "a tenth of 299 images is 29: too few to judge by"),
        ({"a": 150, "b": 150}, "a tenth", "a tenth of 300 images is 30: enough to judge by"),
        ({"a": 99_000, "b": 3}, "a tenth", "a tenth of 99,003 images is 9,900: enough to judge by"),
        ({"a": 20, "b": 5}, "5 folds", "a tenth of 25 images is 2: too few to judge by"),
        ({"a": 20, "b": 4}, "a tenth", "the class b has too few images for folds: 4"),
    ],
)
def test_folds_are_suggested_where_images_are_few(
    counts: dict[str, int], answer: str, why: str, found: Findings
) -> None:
    folder = replace(found, counts=counts, train_images=sum(counts.values()))
    assert suggested(folder, "validation") == (answer, why)


@pytest.mark.parametrize(
    ("shorter", "size", "why"),
    [
        (3000, 224, "the usual one; the images' shorter sides: 3,000 px"),
        (224, 224, "the usual one; the images' shorter sides: 224 px"),
        (160, 160, "a multiple of 32; the images' shorter sides: 160 px"),
        (20, 32, "the least there is; the images' shorter sides: 20 px"),
    ],
)
def test_the_side_is_found_in_the_images(
    shorter: int, size: int, why: str, found: Findings
) -> None:
    folder = replace(found, shorter_side=shorter, image_size=size)
    assert suggested(folder, "image_size") == (str(size), why)


def test_the_side_of_real_images_goes_with_what_is_said_of_it(found: Findings) -> None:
    assert (found.shorter_side // 32 * 32, found.image_size) == (128, 128)


def test_the_metric_that_a_form_of_submission_usually_has_is_suggested(found: Findings) -> None:
    assert suggested(found, "metric") == ("log loss", "usual for a probability per class")
    for form in FORMS:
        answer, why = suggested(replace(found, columns=form.name), "metric")
        assert answer in (QUESTIONS.get("metric").answers or [])
        assert form.answer in why


def test_what_is_asked_and_suggested_fits_a_terminal_of_80_columns(found: Findings) -> None:
    lines = []
    for question in QUESTIONS:
        if question.answered_by != "user":
            continue
        answers = question.answers or []
        width = max(map(len, answers), default=0)
        lines += [question.prompt]
        lines += [f"  {answer:<{width}}  {question.words(answer)}" for answer in answers]
        answer, why = suggested(found, question.name)
        lines += [f"  suggested: {answer}, {why}"]
        lines += [f"          {question.name}: {answer} ({why or question.words(answer)})"]
    assert [line for line in lines if len(line) > 80] == []


def settings(**answers: str) -> dict[str, Any]:
    """competition.toml as the template writes it for these answers."""
    generation = runpy.run_path(str(TEMPLATE / "generation.py"))
    given = {
        name: value[0] if isinstance(value, list) else value
        for name, value in generation["OFFERED"].items()
    }
    given |= {"project_slug": "rice", "competition_name": "Rice", **answers}
    assert generation["mistakes"](given) == []
    text = FILE.parent / "{{cookiecutter.project_slug}}" / "competition" / "competition.toml"
    template = Environment().from_string(text.read_text(encoding="utf-8"))
    return tomllib.loads(template.render(cookiecutter=given, **generation["TEMPLATE_NAMES"]))


@pytest.mark.parametrize("members", ["quick", "strong"])
def test_each_member_is_judged_as_it_was_answered(members: str) -> None:
    for answer, expected in (("a tenth", {"share": 0.1}), ("5 folds", {"folds": 5})):
        made = settings(members=members, validation=answer)["members"]
        assert [member["validation"] for member in made.values()] == [expected] * len(made)


@pytest.mark.parametrize(
    ("members", "count", "epochs"),
    [("quick", 1, {8}), ("strong", 3, {25}), ("13th place", 10, set())],
)
def test_the_first_members_are_what_the_question_says(
    members: str, count: int, epochs: set[int]
) -> None:
    made = settings(members=members)["members"]
    words = QUESTIONS.get("members").words(members)
    lengths = {sum(member["epochs"].values()) for member in made.values()}
    assert len(made) == count
    if epochs:
        assert lengths == epochs
        assert f"{min(epochs)} epochs" in words
        named = {re.sub(r"\W", "", name).lower() for name in re.findall(r"\w+-\d+", words)}
        assert named == {member["network"] for member in made.values()}
    else:
        assert f"{min(lengths)} to {max(lengths)} epochs" in words


def test_the_shipped_settings_are_the_members_of_the_third_answer() -> None:
    shipped = tomllib.loads((ROOT / "competition" / "competition.toml").read_text())
    made = settings(members="13th place", validation="5 folds")
    shares = [member["validation"] for member in shipped["members"].values()]
    assert [member["validation"] for member in made["members"].values()] == shares
