"""A file's name, taken apart: its stem, which may be an id, and its suffix."""

from __future__ import annotations


def suffix_of(name: str) -> str:
    """The suffix of a file's name or path in lower case, as ".jpg"; empty where it has none."""
    _, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return dot and dot + suffix.lower()


def stem_of(name: str) -> str:
    """A file's name without its suffix."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot else suffix
