"""Texts in the settings: what may stand in them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from twinrun.names import is_printable


def _plain(text: str) -> str:
    if not is_printable(text):
        raise ValueError("text without control characters")
    return text


# Names, addresses, columns, and paths: no path may hold a NUL, and no page or file would be as it
# is meant to be with other control characters.
PlainText = Annotated[str, AfterValidator(_plain)]
