"""Text that others wrote: how it is shown, so that a terminal reads it and obeys nothing."""

from __future__ import annotations

import unicodedata

from twinrun.masks import mask

# Control characters, marks that turn the direction of writing or cannot be seen, halves of
# characters, ends of lines and paragraphs, and what Unicode has no meaning for.
_NEVER_SHOWN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# They join and part letters in Persian and in India, and emoji: names need them.
_JOINERS = "\u200c\u200d"


def printable(text: str) -> str:
    r"""A text as one line in which a terminal obeys nothing: `\x1b` and the like spelled out.

    Each character of control, of direction or of no meaning becomes what Python writes for it, so
    that two different names stay different; bytes of a path that are no UTF-8 become `\xff`. What
    is a letter, a mark or a sign in any writing stays.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_spelled, text))


def shown(text: str) -> str:
    """A text as anybody may read it: its secrets masked, then as `printable`."""
    return printable(mask(text))


def _spelled(character: str) -> str:
    if character in _JOINERS or unicodedata.category(character) not in _NEVER_SHOWN:
        return character
    if "\udc80" <= character <= "\udcff":  # how Python holds such a byte
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
