"""The engine names no competition: a project that asked for none must not read of one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.conftest import ROOT
from twinrun.cli.app import app

ENGINE = ROOT / "twinrun"

# Of the competition that this repository comes with, and of plants and their diseases.
WORDS = re.compile(
    r"(?<![a-z])(wheat|grain|rice|maize|rusts?|crop[ -]?diseases?|diseases?|blight|leaf|healthy"
    r"|plants?|iclr|zindi|13th|thirteenth|reference competition|M2[0-9][a-z])(?![a-z])",
    re.IGNORECASE,
)

# What may stand where, by file and word, and why.
ALLOWED = {
    ("scaffold/questions.py", "13th"): "an answer that a user may give: the first members",
    ("scaffold/questions.py", "crop-disease"): "says what that answer is",
    ("package/hosts.py", "zindi"): "a host of packages, which a user may choose",
    ("package/texts/zindi.md", "zindi"): "the page for that host",
    ("config/csv_tables.py", "disease"): "what organisers call a column of labels",
    ("blend_methods/tree_stack.py", "leaf"): "an end of a decision tree",
}
# What the help of a command may name.
ALLOWED_HELP = {("package", "zindi"): "one of the hosts"}


def words_in(text: str) -> set[str]:
    """Those that a project which asked for no competition must not read."""
    return {found.group().lower() for found in WORDS.finditer(text.replace("_", " "))}


def files_of_the_engine() -> Iterator[Path]:
    for path in sorted(ENGINE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def found_in_the_engine() -> set[tuple[str, str]]:
    """(file, word) of each, in the names of the files too."""
    found = set()
    for path in files_of_the_engine():
        name = path.relative_to(ENGINE).as_posix()
        text = path.read_text(encoding="utf-8")
        found |= {(name, word) for word in words_in(f"{name}\n{text}")}
    return found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("twinrun run --data ~/wheat", {"wheat"}),
        ("members/M27g/fold-1", {"m27g"}),
        ("classes: leaf_rust, healthy_wheat", {"leaf", "rust", "healthy", "wheat"}),
        ("the crop-disease competition's 13th place", {"crop-disease", "13th"}),
        ("for the crop disease challenge", {"crop disease"}),
        ("trust crops, cropped matrices, and what leaves them out", set()),
        ("zoom_crop, CropResize, frustrating, planted", set()),
    ],
)
def test_the_words_are_found_and_no_others(text: str, words: set[str]) -> None:
    assert words_in(text) == words


def test_all_kinds_of_the_engines_files_are_read() -> None:
    kinds = {path.suffix for path in files_of_the_engine()}
    assert {".py", ".html", ".md"} <= kinds


def test_no_file_of_the_engine_names_a_competition() -> None:
    found = found_in_the_engine() - ALLOWED.keys()
    assert not found, f"use neutral names (first, ~/Downloads/photos, cat), or say why: {found}"


def test_nothing_is_allowed_that_is_not_there() -> None:
    assert ALLOWED.keys() <= found_in_the_engine()


def commands() -> dict[str, str]:
    """The help of each command, and of the whole."""
    names = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    shown = {name: [name, "--help"] for name in names} | {"": ["--help"]}
    wide = {"COLUMNS": "300", "NO_COLOR": "1"}
    return {name: CliRunner().invoke(app, line, env=wide).output for name, line in shown.items()}


def test_no_help_names_a_competition() -> None:
    helps = commands()
    assert len(helps) > 10
    assert all("Usage" in text for text in helps.values())
    found = {(name, word) for name, text in helps.items() for word in words_in(text)}
    assert found == ALLOWED_HELP.keys()
