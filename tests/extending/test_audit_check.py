"""A check of the audit from outside: found, recorded, printed, in the help and in a refusal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.conftest import FIXTURE
from twinrun.audit.check import AuditedData, Check, Finding
from twinrun.audit.checks import CHECKS
from twinrun.cli.app import app
from twinrun.registry import IncompleteEntry


class Portrait(Check):
    name = "portrait"
    severity = "error"
    title = "higher than wide, in a competition of landscapes"
    meaning = "an image is higher than wide"
    fix = "Turn these images, or ask the organiser."

    def find(self, data: AuditedData) -> list[Finding]:
        which = (data.index["height"] > data.index["width"]).to_numpy()
        shapes = [shape for shape, chosen in zip(data.shapes(), which, strict=True) if chosen]
        found = self.finding(int(which.sum()), tuple(data.paths[which]), sorted(set(shapes)))
        return [found] if which.any() else []


@pytest.fixture
def portrait() -> Iterator[Check]:
    with CHECKS.including(Portrait()) as entry:
        yield entry


def audit(config: Path, out: Path, *more: str) -> Any:
    arguments = ["audit", "--config", str(config), "--data", str(FIXTURE), "--out", str(out)]
    return CliRunner().invoke(app, [*arguments, *more], env={"COLUMNS": "200"})


def findings(out: Path) -> dict[str, dict[str, Any]]:
    content = json.loads((out / "full" / "audit.json").read_text(encoding="utf-8"))
    return {found["check"]: found for found in content["findings"]}


def test_it_is_found_recorded_printed_and_refuses_with_its_own_words(
    small_toml: Path, tmp_path: Path, portrait: Check
) -> None:
    done = audit(small_toml, tmp_path)
    assert done.exit_code == 1, done.output
    found = findings(tmp_path)["portrait"]
    assert found["severity"] == "error"
    assert found["count"] == len(found["images"]) > 0
    assert f"{found['count']}: {portrait.title}" in done.output
    assert found["details"][0] in done.output
    assert portrait.fix in done.output


def test_without_it_the_other_findings_are_the_same(small_toml: Path, tmp_path: Path) -> None:
    assert audit(small_toml, tmp_path).exit_code == 0
    before = findings(tmp_path)
    with CHECKS.including(Portrait()):
        audit(small_toml, tmp_path)
    after = findings(tmp_path)
    assert after.pop("portrait")
    assert after == before


def test_the_help_names_it(portrait: Check) -> None:
    shown = CliRunner().invoke(app, ["audit", "--help"], env={"COLUMNS": "300"})
    for name in [*CHECKS.names, "--data ~/Downloads/photos"]:
        assert name in shown.output


PARTS = ["name", "severity", "title", "meaning"]


@pytest.mark.parametrize("part", PARTS)
def test_one_that_lacks_a_part_is_refused_by_that_parts_name(part: str) -> None:
    parts = {name: getattr(Portrait, name) for name in PARTS if name != part}
    incomplete = type("Incomplete", (Check,), {**parts, "find": Portrait.find})
    with (
        pytest.raises(IncompleteEntry, match=rf"lacks: {part}$"),
        CHECKS.including(incomplete()),
    ):
        pass


def test_one_that_finds_nothing_cannot_be_made() -> None:
    parts = {name: getattr(Portrait, name) for name in PARTS}
    with pytest.raises(TypeError, match=r"abstract method '?find"):
        type("Incomplete", (Check,), parts)()
