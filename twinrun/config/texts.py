"""Texts in the settings: what may stand in them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from twinrun.masks import holds_secret
from twinrun.names import is_printable


def _plain(text: str) -> str:
    if not is_printable(text):
        raise ValueError("text without control characters")
    return text


def _path(text: str) -> str:
    # Half a character stands for a byte of a name that is not UTF-8: no record could hold it.
    if "\0" in text or any("\ud800" <= each <= "\udfff" for each in text):
        raise ValueError("a path in UTF-8 without NUL")
    return text


def _within(text: str) -> str:
    if text.startswith(("/", "~")):
        raise ValueError("a path from data.folder: records and packages hold it")
    return text


def _public(text: str) -> str:
    if holds_secret(text):
        raise ValueError(
            "an address without a login, a key or a token: settings are handed on with a package"
        )
    return text


# Names, addresses, columns: no page or file would be as it is meant to be with control characters.
PlainText = Annotated[str, AfterValidator(_plain)]

# Of what lies in the data folder.
PlaceText = Annotated[PlainText, AfterValidator(_within)]

# Of a web site, or of a storage.
AddressText = Annotated[PlainText, AfterValidator(_public)]

# A folder that is there has the name that it has; what prints it spells out what is not printable.
FolderText = Annotated[str, AfterValidator(_path)]
