"""A section of the report from outside, in this one file: heading, navigation, values, escaping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.report.made_run import make_run
from tests.report.page import Element, elements, shown
from twinrun.registry import IncompleteEntry
from twinrun.report.report import render
from twinrun.report.run_data import RunData
from twinrun.report.sections import SECTIONS, Section


def gather(data: RunData) -> Mapping[str, Any]:
    """The slowest member's seconds, as its member.json has them."""
    records = {each.name: each.record for each in data.members if each.record is not None}
    slowest = max(records, key=lambda name: (records[name].at("seconds"), name))
    assert data.errors is not None
    return {"name": slowest, "record": records[slowest], "image": data.errors["worst"][0]["id"]}


SLOWEST = Section(
    name="slowest",
    title="The slowest member",
    nav="Slowest <3",
    gather=gather,
    template='{% from "parts.html" import scroll %}\n'
    '{% call scroll("Slowest") %}<p>{{ name }}, and {{ image }}: '
    '{{ record.show("seconds", form=clock) }}, {{ 1 | some("member") }}</p>{% endcall %}\n',
)
PARTS = ("name", "title", "nav", "gather", "template")


@pytest.fixture
def slowest() -> Iterator[Section]:
    with SECTIONS.including(SLOWEST) as entry:
        yield entry


def element(html: str, name: str) -> Element:
    (found,) = [each for each in elements(html) if each.attributes.get("id") == name]
    return found


def test_it_stands_at_the_end_of_page_and_navigation(tmp_path: Path, slowest: Section) -> None:
    html = render(make_run(tmp_path, members=("a", "b")))
    found = elements(html)
    sections = [each.attributes["id"] for each in found if each.tag == "section"]
    assert sections == SECTIONS.names
    assert sections[-1] == "slowest"
    links = [each for each in found if each.tag == "a" and "nav" in each.inside]
    assert [each.attributes["href"] for each in links] == [f"#{name}" for name in SECTIONS.names]
    assert links[-1].text == "Slowest <3"
    assert element(html, "slowest-h").text == "The slowest member"
    assert element(html, "slowest").attributes["aria-labelledby"] == "slowest-h"


def test_its_values_name_their_file_and_its_texts_are_escaped(
    tmp_path: Path, slowest: Section
) -> None:
    html = render(make_run(tmp_path, ids=["<i>leaf", "<b>stem", "<u>"], count=3))
    section = element(html, "slowest")
    assert section.text.startswith("The slowest member b, and <")
    assert section.text.endswith(", 1 member")
    assert not [each for each in section.children if each.tag in "ibu"]
    own = [each for each in section.children if "data-source" in each.attributes]
    assert [each.attributes["data-source"] for each in own] == ["members/b/member.json"]
    assert [each.attributes["data-key"] for each in own] == ["/seconds"]
    assert len(shown(html)) > len(own)


def test_without_it_the_page_has_none_of_it(tmp_path: Path) -> None:
    assert "slowest" not in SECTIONS
    assert "slowest" not in render(make_run(tmp_path)).lower()


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_left_out_is_named(part: str) -> None:
    parts = {each: getattr(SLOWEST, each) for each in PARTS}
    with pytest.raises(TypeError, match=part):
        Section(**{name: value for name, value in parts.items() if name != part})
    empty: Any = None if part == "gather" else ""
    with pytest.raises(IncompleteEntry, match=f"lacks: {part}$"):
        SECTIONS.add(replace(SLOWEST, **{part: empty}))
    assert "slowest" not in SECTIONS


def test_a_name_that_its_template_asks_for_and_that_is_not_gathered_is_an_error(
    tmp_path: Path,
) -> None:
    from jinja2 import UndefinedError

    with (
        SECTIONS.including(replace(SLOWEST, gather=lambda _: {"name": "a", "image": "b"})),
        pytest.raises(UndefinedError, match="'record' is undefined"),
    ):
        render(make_run(tmp_path))
