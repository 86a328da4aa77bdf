"""The list of modules in docs/design.md is the code's; `python -m tests.test_design` writes it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "design.md"
START, END = "<!-- modules -->\n", "<!-- /modules -->"


def summary(module: Path) -> str:
    """The first paragraph of a module's docstring, in one line."""
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split()).rstrip(".")


def modules_as_text() -> str:
    """A code block: a line per module, those of the ground first, then room by room."""
    return "".join(["\n", *(f"    {line}".rstrip() + "\n" for line in _lines()), "\n"])


def _lines() -> Iterator[str]:
    engine = ROOT / "twinrun"
    for module in sorted(engine.glob("*.py")):
        if module.name != "__init__.py":
            yield f"{module.name:<24} {summary(module)}"
    for room in sorted(path.parent for path in engine.glob("*/__init__.py")):
        yield f"{room.name + '/':<24} {summary(room / '__init__.py')}"
        for module in sorted(room.glob("*.py")):
            if module.name != "__init__.py":
                yield f"  {module.name:<22} {summary(module)}"


def test_the_page_lists_every_module_as_it_describes_itself() -> None:
    listed = PAGE.read_text(encoding="utf-8").partition(START)[2].partition(END)[0]
    assert listed == modules_as_text()


def main() -> None:
    """Write the list into the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    PAGE.write_text(before + START + modules_as_text() + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
