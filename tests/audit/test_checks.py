"""The table of the audit's checks, and the page that tells of each."""

from __future__ import annotations

from tests.conftest import ROOT
from twinrun.audit.checks import CHECKS


def test_the_page_says_of_every_check_what_its_entry_says() -> None:
    page = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    section = page.split("## What is looked at")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    entries = [f"| `{each.name}` | {each.severity} | {each.meaning} |" for each in CHECKS]
    assert sorted(lines) == sorted(entries)
