"""The pages that name the ledger's stages agree with the table; advice names files that exist."""

from __future__ import annotations

import inspect
import re

import pytest

from tests.conftest import ROOT
from twinrun.repro import stage_advice, stages
from twinrun.repro.stages import STAGES, stages_in_order

SOURCES = (ROOT / "docs" / "where-randomness-comes-in.md").read_text(encoding="utf-8")
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")


def table(page: str, head: str) -> list[list[str]]:
    """The rows of the table whose head begins so, each as its cells."""
    _, _, rest = page.partition(f"\n{head}")
    _, _, *lines = rest.splitlines()
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_the_page_of_sources_has_every_stage_in_order_with_its_words() -> None:
    assert table(SOURCES, "| stage | when |") == [
        [stage.name, ", ".join(stage.noted), stage.words] for stage in stages_in_order()
    ]


def test_what_diff_is_said_to_answer_begins_with_a_stage() -> None:
    rows = re.findall(r"^\| \d+ \|.*\| ([^|]*) \| `test_\d\d`[^|]*\|$", SOURCES, re.MULTILINE)
    assert len(rows) == 27
    for answer in rows:
        for part in answer.removeprefix("the same bits").removeprefix("; else ").split(" or "):
            assert not part or re.split(r"[,;:]", part)[0] in STAGES, answer


def test_the_design_page_has_every_stage_and_what_its_digest_is_of() -> None:
    found = {}
    for names, when, words in table(DESIGN, "| stage | when | digest of |"):
        # Two stages may share a row: "forward, loss" and "the logits; the loss".
        each = words.split("; ") if ", " in names else [words]
        for name, text in zip(names.split(", "), each, strict=True):
            found[name] = (when, text)
    assert found.keys() == set(STAGES.names)
    for name, (when, words) in found.items():
        assert when == ", ".join(STAGES.get(name).noted)
        assert words in STAGES.get(name).digest_of


@pytest.mark.parametrize("module", [stages, stage_advice])
def test_the_files_that_advice_points_to_are_there(module: object) -> None:
    text = inspect.getsource(module)  # type: ignore[arg-type]
    named = re.findall(r"[\w/]+/\w+\.py", text)
    for name in named:
        assert (ROOT / name).is_file() or name == "repro/stages.py", name
    assert named or module is stages
