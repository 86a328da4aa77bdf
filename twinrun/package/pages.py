"""Renders the pages of a package: what comes from a run is text on them, never a mark."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TEXTS = Path(__file__).with_name("texts")

# Markdown reads these as marks; a name or an address from the settings is only text.
_MARKS = re.compile(r"([\\`*_\[\]#|~!])")

# What the parts of a page leave between them.
_GAPS = re.compile(r"\n{3,}")


def read_template(name: str) -> str:
    """A template that comes with the engine."""
    return (_TEXTS / name).read_text(encoding="utf-8")


def render_page(template: str, facts: Mapping[str, Any], *, markdown: bool = True) -> str:
    """A template filled with facts.

    Args:
        template: In Jinja's language; may import common.md.
        facts: Its variables; one that is missing is an error.
        markdown: Show values as plain text of a Markdown page, in one line; else put them in as
            they are.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEXTS),
        autoescape=markdown,  # noqa: S701 - what is no page holds nothing from a run
        finalize=_escape if markdown else None,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    text = environment.from_string(template).render(facts)
    return _GAPS.sub("\n\n", text).rstrip() + "\n" if markdown else text


def _escape(value: Any) -> Any:
    """A value that Markdown shows as it is, in one line."""
    from markupsafe import Markup

    if isinstance(value, Markup):  # what a macro has put together
        return value
    text = _MARKS.sub(r"\\\1", " ".join(str(value).split()))
    return Markup(html.escape(text, quote=False))  # noqa: S704
