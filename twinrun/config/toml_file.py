"""TOML as it is written, or one sentence on why it cannot be read."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from twinrun.errors import InputError
from twinrun.files import read_text

# Tables and lists within each other; what settings have is a third of it.
MOST_LEVELS = 20
# What TOML promises to keep, and what libraries can count with.
LARGEST = 2**63 - 1

_TOO_DEEP = f"it is nested too deeply, more than {MOST_LEVELS} levels"
_TOO_LONG = "a whole number in it has more than 64 bits"


class TomlError(ValueError):
    """Why a text is no TOML that can be used."""


class TomlSyntaxError(TomlError):
    """It is no TOML at all."""


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a file in UTF-8, with or without a byte order mark.

    Raises:
        FileNotFoundError: There is none.
        InputError: It is no TOML, or cannot be read.
    """
    try:
        return parse_toml(read_text(path))
    except TomlError as error:
        raise InputError(f"{path} is not valid TOML: {error}") from None


def parse_toml(text: str) -> dict[str, Any]:
    """The content of a text.

    Raises:
        TomlSyntaxError: It is no TOML.
        TomlError: A whole number in it has more than 64 bits; it is nested more than
            `MOST_LEVELS` deep.
    """
    try:
        content = tomllib.loads(text)
    except RecursionError:
        raise TomlError(_TOO_DEEP) from None
    except tomllib.TOMLDecodeError as error:
        raise TomlSyntaxError(str(error)) from None
    except ValueError:  # Python reads no number of more than so many digits
        raise TomlError(_TOO_LONG) from None
    _refuse_extremes(content)
    return content


def _refuse_extremes(content: dict[str, Any]) -> None:
    left: list[tuple[Any, int]] = [(content, 0)]
    while left:  # a call within itself would be too deep, too
        value, level = left.pop()
        if level > MOST_LEVELS:
            raise TomlError(_TOO_DEEP)
        if isinstance(value, int) and abs(value) > LARGEST:
            raise TomlError(_TOO_LONG)
        inner = value.values() if isinstance(value, dict) else value
        if isinstance(inner, Collection) and not isinstance(inner, str):
            left += [(each, level + 1) for each in inner]
