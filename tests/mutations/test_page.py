"""The page of the sources of randomness and the tests it names are the same list."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "where-randomness-comes-in.md"


def test_every_source_of_the_page_has_its_test_and_every_test_its_source() -> None:
    rows = re.findall(r"^\| (\d+) \|.*`(test_\d\d)`[^|]*\|$", PAGE.read_text(), flags=re.MULTILINE)
    assert [f"test_{int(number):02d}" for number, _ in rows] == [name for _, name in rows]
    sources = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    tests = set(re.findall(r"^def (test_\d\d)_", sources, flags=re.MULTILINE))
    assert {name for _, name in rows} == tests
    assert len(rows) == 27
