"""Values on the report's page, each with the file and the place in it that it was read from."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from twinrun.files import is_there

Value = str | int | float | bool | None

_ELEMENT = Markup(
    '<data value="{value}" data-source="{source}" data-key="{key}" data-value="{full}">'
    "{text}</data>"
)


@dataclass(frozen=True)
class Shown:
    """One value as a reader sees it, and as its file has it.

    In a page it is a `<data>` element whose attributes name file, place and full value, so that a
    test can compare everything on the page with what it was read from.

    Attributes:
        value: As it was read.
        source: The file, relative to the run's folder, or a name for what was computed.
        key: Where in it: a JSON pointer (RFC 6901).
        text: What is shown.
    """

    value: Value
    source: str
    key: str
    text: str

    def __html__(self) -> str:
        """The element; every part is escaped."""
        full = repr(self.value) if isinstance(self.value, (int, float)) else str(self.value)
        return _ELEMENT.format(
            value=full, source=self.source, key=self.key, full=full, text=self.text
        )

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Source:
    """A file that was read, or what was computed, as nested tables, lists and values.

    Attributes:
        name: The file, relative to the run's folder.
        content: JSON values.
    """

    name: str
    content: Any

    def at(self, *path: str | int) -> Any:
        """What stands at a path of keys and positions; None where nothing does."""
        found = self.content
        for part in path:
            try:
                found = found[part]
            except (KeyError, IndexError, TypeError):
                return None
        return found

    def show(self, *path: str | int, form: str | Callable[[Any], str] = "") -> Shown:
        """The value at a path, for the page.

        Args:
            path: Keys and positions.
            form: A format such as ".4f", or a function that makes the text; a missing value is
                shown as a dash, and nan as "not defined".
        """
        value = self.at(*path)
        return Shown(value, self.name, pointer(*path), _text(value, form))


def source_name(run: Path, path: Path) -> str:
    """What the page calls a file: its path from the run's folder, with slashes."""
    return Path(os.path.relpath(path, run)).as_posix()


def read_source(
    run: Path, path: Path, read: Callable[[Path], dict[str, Any] | None]
) -> Source | None:
    """A JSON file of a run; None where there is none.

    Args:
        run: runs/<run>.
        path: The file, in it or beside it.
        read: Gives its content.

    Raises:
        InputError: The file is damaged.
    """
    return Source(source_name(run, path), read(path)) if is_there(path) else None


def pointer(*path: str | int) -> str:
    """A path of keys and positions as a JSON pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _text(value: Any, form: str | Callable[[Any], str]) -> str:
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, float) and math.isnan(value):
        return "not defined"
    text = form(value) if callable(form) else format(value, form)
    # A hyphen is no minus sign, and narrower than a plus.
    return text.replace("-", "\N{MINUS SIGN}") if isinstance(value, float) else text
