"""A report's page, taken apart by the standard library: elements, texts, the values it shows."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

_IN_A_LINE = {"a", "b", "bdi", "code", "data", "span", "strong"}
_VOID = {"meta", "link", "img", "br", "input", "hr"}


@dataclass
class Element:
    """An element with its attributes, the names of those around it, and its whole text."""

    tag: str
    attributes: dict[str, str]
    inside: tuple[str, ...]
    parts: list[str] = field(default_factory=list)
    children: list[Element] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join("".join(self.parts).split())


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[Element] = []
        self.found: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _IN_A_LINE:
            self.handle_data(" ")
        inside = tuple(each.tag for each in self.open)
        element = Element(tag, {key: value or "" for key, value in attrs}, inside)
        self.found.append(element)
        for around in self.open:
            around.children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1].tag == tag, f"</{tag}> within <{self.open[-1].tag}>"
        if tag not in _IN_A_LINE:
            self.handle_data(" ")
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.parts.append(data)


def elements(html: str) -> list[Element]:
    """All elements in the order of the page; each is closed where it should be."""
    parser = _Parser()
    parser.feed(html)
    parser.close()
    assert not parser.open, f"<{parser.open[-1].tag}> is never closed"
    return parser.found


def shown(html: str) -> list[Element]:
    """The elements that show a value of a file."""
    return [each for each in elements(html) if "data-source" in each.attributes]


def wrong_values(html: str, run: Path, computed: Any) -> list[str]:
    """A line for each value on the page that its file does not hold, or that is rounded wrongly.

    Args:
        html: The page.
        run: Its run.
        computed: What the page should have computed, as nested tables and lists.
    """
    problems = []
    for element in shown(html):
        source, key = element.attributes["data-source"], element.attributes["data-key"]
        content = computed if source == "computed" else _content(run / source)
        value = _resolved(content, key)
        where = f"{source} {key}"
        full = element.attributes["data-value"]
        if isinstance(value, float) and source == "computed":
            same = abs(float(full) - value) < 1e-9
        else:
            same = full == (repr(value) if isinstance(value, (int, float)) else str(value))
        if not same:
            problems.append(f"{where}: {full} on the page, {value!r} in the file")
        if isinstance(value, (int, float)) and not _rounds(element.text, float(value)):
            problems.append(f"{where}: shown as {element.text}, which is not {value!r}")
    return problems


def _rounds(text: str, value: float) -> bool:
    """Whether a text is the value with fewer digits; durations are another matter."""
    if re.search(r"[a-z]", text):
        return True
    number = text.replace(",", "").replace("\N{MINUS SIGN}", "-").replace("\N{EN DASH}", "nan")
    decimals = len(number.partition(".")[2])
    return abs(float(number) - value) <= 0.5000001 * 10.0**-decimals


def _content(path: Path) -> Any:
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [{key: _number(value) for key, value in row.items()} for row in rows]


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _resolved(content: Any, key: str) -> Any:
    """What a JSON pointer points at; None where nothing is."""
    for part in key.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        try:
            content = content[int(name)] if isinstance(content, list) else content[name]
        except (KeyError, IndexError):
            return None
    return content
