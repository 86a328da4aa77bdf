"""What members, runs and classes may be called."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

_FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
FileName = Annotated[str, Field(pattern=f"^{_FILE_NAME}$")]

# What else lies in the folder of all runs.
_NO_RUNS = ("cache", "twins", "verify")

# What no folder may hold in its name on Windows, macOS or Linux.
_NOT_IN_A_NAME = set('/\\:*?"<>|')
# Control characters, halves of characters, ends of lines and paragraphs: not to be printed.
_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}
# Beside the classes' columns, the files of a run have these.
_TAKEN = ("id", "label")


def run_name_problem(name: str) -> str:
    """Why a run cannot be called so; an empty text where it can."""
    if not re.fullmatch(_FILE_NAME, name):
        return (
            "a run has a name, not a path: letters, digits, dot, dash and underscore, starting "
            "with a letter or digit"
        )
    if name.lower() in _NO_RUNS:
        return "that folder is for other things than a run"
    return ""


def one_spelling(name: str) -> str:
    """A name in Unicode's form NFC: macOS may write "é" as "e" and an accent of its own."""
    return unicodedata.normalize("NFC", name)


def is_printable(text: str) -> bool:
    """Whether a text holds no control characters, halves of characters or ends of lines."""
    return not any(unicodedata.category(character) in _UNPRINTABLE for character in text)


def _class_name(text: str) -> str:
    name = one_spelling(text)
    if (
        not 1 <= len(name) <= 100
        or name in _TAKEN
        or name.startswith(".")
        or name != name.strip()
        or not is_printable(name)
        or any(c in _NOT_IN_A_NAME for c in name)
    ):
        raise ValueError(
            "1 to 100 characters that can be printed and name a folder on every system: none of "
            '/ \\ : * ? " < > |, no dot at the beginning, no blank at either end; and neither '
            "'id' nor 'label', which are columns of their own"
        )
    return name


ClassName = Annotated[str, AfterValidator(_class_name)]


def _names_or_auto(value: Any) -> str | None:
    if value == "auto":
        return "[auto]"
    return "[names]" if isinstance(value, list) else None


Classes = Annotated[
    Annotated[list[ClassName], Field(min_length=2), Tag("[names]")]
    | Annotated[Literal["auto"], Tag("[auto]")],
    Discriminator(
        _names_or_auto,
        custom_error_type="classes",
        custom_error_message='a list of names, or "auto"',
    ),
]
