"""What a message says where a library of an extra is missing."""

from __future__ import annotations

import re
import sys
import tomllib

import pytest

from tests.conftest import ROOT
from twinrun.cluster.connect import connect
from twinrun.errors import InputError

SOURCES = sorted((ROOT / "twinrun").rglob("*.py"))
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "template").rglob("*.md")]


def test_without_ray_the_message_names_the_session_that_adds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match="Ray, which is not installed") as error, connect(""):
        pass
    assert "nox -s lock -- --extra cluster\n" in error.value.fix


def test_every_extra_that_a_message_or_a_page_names_is_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set()
    for path in SOURCES:
        for extras in re.findall(r"how_to_add\(([^)]*)\)", path.read_text(encoding="utf-8")):
            named |= set(re.findall(r"[\"'](\w+)[\"']", extras))
    for page in PAGES:
        named |= set(re.findall(r"--extra (\w+)", page.read_text(encoding="utf-8")))
    assert named == set(project["optional-dependencies"])


def test_nothing_asks_a_registry_for_a_package_of_the_engines_name() -> None:
    for path in (*SOURCES, *PAGES):
        assert not re.search(r"install +'?\"?twinrun", path.read_text(encoding="utf-8")), path
