"""The table of transforms, and the page that tells of each."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from tests.conftest import ROOT
from twinrun.transforms.sets import AUGMENT_SETS, AugmentSet
from twinrun.transforms.table import TRANSFORMS
from twinrun.transforms.transform import NEVER_NEUTRAL, Transform

PAGE = ROOT / "docs" / "recipes.md"


def rows(page: Path, number: int = 0) -> dict[str, list[str]]:
    """The cells of a table of the section on random changes, by the first."""
    section = page.read_text(encoding="utf-8").split("## Random changes")[1].split("\n## ")[0]
    tables = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    found = [line.strip("| ").split(" | ") for line in tables[number].splitlines()]
    return {cells[0].strip("`"): cells[1:] for cells in found[2:]}


def test_the_page_tells_of_every_transform_in_the_tables_order() -> None:
    assert list(rows(PAGE)) == TRANSFORMS.names


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda each: each.name)
def test_the_page_says_what_the_entry_says(transform: Transform) -> None:
    default, neutral, meaning = rows(PAGE)[transform.name]
    assert default == f"`{json.dumps(transform.default)}`"
    if transform.neutral is NEVER_NEUTRAL:
        assert re.match("never: ", neutral)
    else:
        assert neutral == f"`{json.dumps(transform.neutral)}`"
    assert meaning == transform.help


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda each: each.name)
def test_default_and_neutral_value_are_values_of_the_setting(transform: Transform) -> None:
    setting = TypeAdapter[object](transform.annotation)
    assert setting.validate_python(transform.default, strict=True) == transform.default
    if transform.neutral is not NEVER_NEUTRAL:
        assert setting.validate_python(transform.neutral, strict=True) == transform.neutral


def test_the_page_says_what_each_set_stands_for() -> None:
    found = rows(PAGE, 1)
    assert [name.strip('"') for name in found] == AUGMENT_SETS.names
    for chosen in AUGMENT_SETS:
        values, meaning = found[f'"{chosen.name}"']
        written = [f"`{name} = {json.dumps(value)}`" for name, value in chosen.values.items()]
        assert values == ", ".join(written)
        assert meaning == chosen.help


@pytest.mark.parametrize("chosen", AUGMENT_SETS, ids=lambda each: each.name)
def test_the_values_of_a_set_are_values_of_the_settings(chosen: AugmentSet) -> None:
    for name, value in chosen.values.items():
        setting = TypeAdapter[object](TRANSFORMS.get(name).annotation)
        assert setting.validate_python(value, strict=True) == value
