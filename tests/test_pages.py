"""The pages for people: every link leads somewhere, every page is listed, README begins short."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer.main

from tests.conftest import ROOT
from twinrun.cli.app import app

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
INDEX = ROOT / "docs" / "index.md"
README = (ROOT / "README.md").read_text(encoding="utf-8")

# A terminal, and what a code host shows before somebody scrolls.
SCREEN, COLUMNS = 40, 80


def prose(page: Path) -> str:
    """The text of a page without its blocks of code, which hold neither links nor headings."""
    kept, fenced = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        fenced ^= line.startswith("```")
        if not fenced and not line.startswith(("    ", "```")):
            kept.append(line)
    return "\n".join(kept)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_page_has_the_marks_of_a_conflict(page: Path) -> None:
    # Nothing else fails by them: a page is read by people alone.
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith(("<<<<<<< ", ">>>>>>> "))] == []


def links(page: Path) -> Iterator[str]:
    """What a page links to within the repository, as it is written."""
    text = re.sub(r"`[^`]*`", "", prose(page))
    for target in re.findall(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)", text, flags=re.MULTILINE):
        address = "".join(target)
        if not re.match(r"[a-z]+:", address):
            yield address


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ +(.+?) *$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def dead_links(page: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    found = []
    for link in links(page):
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert dead_links(page) == []


def test_a_link_to_a_missing_file_or_heading_is_found(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# One, two: `three`\n")
    page = tmp_path / "a.md"
    page.write_text(
        "# A\n[x](b.md) [x](b.md#one-two-three) [x](#a) [x](https://example.org/none.md)\n"
        "[x](c.md) [x](b.md#four) [x](#b) `[x](d.md)`\n\n    [x](e.md)\n\n[x]: f.md\n"
    )
    assert dead_links(page) == ["c.md", "b.md#four", "#b", "f.md"]


def test_the_index_lists_every_page_of_the_folder_once() -> None:
    listed = [link.partition("#")[0] for link in links(INDEX)]
    pages = [page.name for page in PAGES if page.parent == INDEX.parent and page != INDEX]
    assert sorted(name for name in listed if "/" not in name) == sorted(pages)
    assert "docs/index.md" in links(ROOT / "README.md")


def test_the_first_screen_of_the_readme_says_what_it_is_shows_it_and_begins() -> None:
    first = README.splitlines()[:SCREEN]
    assert max(len(line) for line in first) <= COLUMNS
    screen = "\n".join(first)
    for needed in (
        "Train it twice, get the same bits",
        "same bits: ",
        "nox -s full_train",
        "nox -s tests",
        "twinrun init",
    ):
        assert needed in screen, needed


def blocks(text: str) -> list[str]:
    """The blocks of code of a page, fenced or indented."""
    fenced = re.findall(r"^```.*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return fenced + re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, flags=re.MULTILINE)


def test_the_readme_shows_no_long_output_and_leads_to_your_competition_before_the_example() -> None:
    assert max(block.count("\n") for block in blocks(README)) <= 12
    assert README.index("## Your competition") < README.index("## The example")


def sessions(noxfile: Path) -> set[str]:
    """The names of a noxfile's sessions."""
    functions = [
        node
        for node in ast.parse(noxfile.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    ]
    return {
        each.name
        for each in functions
        if any("nox.session" in ast.unparse(decorator) for decorator in each.decorator_list)
    }


PROJECT = sessions(ROOT / "template" / "{{cookiecutter.project_slug}}" / "noxfile.py")
SESSIONS = PROJECT | sessions(ROOT / "noxfile.py")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_session_that_a_page_names_is_one(page: Path) -> None:
    named = re.findall(r"nox (?:-R )?-s\s+([a-z]\w*)", page.read_text(encoding="utf-8"))
    assert set(named) <= SESSIONS


def test_the_page_of_commands_lists_all_commands_and_the_sessions_of_a_project() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(twinrun|nox -s) (\w+)", page, flags=re.MULTILINE)
    commands: dict[str, object] = getattr(typer.main.get_command(app), "commands")  # noqa: B009
    assert [name for kind, name in rows if kind == "twinrun"] == list(commands)
    assert {name for kind, name in rows if kind == "nox -s"} == PROJECT
