"""A choice is an object in one table, and the table is what settings, help and messages ask."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

from twinrun.errors import InputError, nearest


class Named(Protocol):
    """What stands in a table."""

    @property
    def name(self) -> str:
        """How settings, options and files name it."""


E = TypeVar("E", bound=Named)
# Where additions to any table are noted, as long as somebody asks.
_noting: list[list[tuple[Registry[Any], str]]] = []


@contextmanager
def noting_additions(into: list[tuple[Registry[Any], str]]) -> Iterator[None]:
    """Within this context each addition to a table is noted: the table and the entry's name.

    Args:
        into: What they are added to.
    """
    _noting.append(into)
    try:
        yield
    finally:
        _noting.pop()


class IncompleteEntry(TypeError):
    """An entry lacks a part that some room would ask it for. Raised when it is added."""


class Registry(Generic[E]):
    """A table of what may be chosen, in the order in which it was added.

    An entry carries everything that any room asks of it, so that to add one is one file. What a
    whole entry is, its class says: each attribute that the class annotates must be there and, if it
    is text, not be empty, but for those that may be None; each abstract method must be written.
    `add` refuses any other.

    Attributes:
        kind: What an entry is called in messages: "metric".
        setting: Where a user names one: "competition.metric", "--for".
    """

    def __init__(self, kind: str, entry_type: type[Any], *, setting: str = "") -> None:
        self.kind = kind
        self.setting = setting
        self._type = entry_type
        self._entries: dict[str, E] = {}
        self._own: set[str] = set()

    def add(self, entry: E) -> E:
        """Put an entry at the table's end.

        Returns:
            The entry.

        Raises:
            IncompleteEntry: It lacks a part; the message names each part that is missing.
            ValueError: There is one of its name.
        """
        missing = _missing_parts(entry, self._type)
        if missing:
            name = getattr(entry, "name", "") or type(entry).__name__
            raise IncompleteEntry(f"{self.kind} {name!r} lacks: {', '.join(missing)}")
        if entry.name in self._entries:
            raise ValueError(f"there is a {self.kind} {entry.name!r} already")
        self._entries[entry.name] = entry
        for noted in _noting:
            noted.append((self, entry.name))
            self._own.add(entry.name)
        return entry

    def remove(self, name: str) -> None:
        """Take an entry out of the table."""
        del self._entries[name]
        self._own.discard(name)

    def is_own(self, name: str) -> bool:
        """Whether an entry was added by a competitor's own code."""
        return name in self._own

    def get(self, name: str) -> E:
        """The entry of a name.

        Raises:
            InputError: There is none; the message names the one that was probably meant, and all.
        """
        if name in self._entries:
            return self._entries[name]
        raise InputError(self.unknown(name))

    def unknown(self, name: str) -> str:
        """The message for a name that is not in the table."""
        where = f"{self.setting}: " if self.setting else ""
        guess = nearest(name, self._entries)
        what = f"{where}there is no {self.kind} {name!r}" + (f"; {guess}" if guess else ".")
        return f"{what} Known: {', '.join(self._entries)}."

    @property
    def names(self) -> list[str]:
        """The names, in the table's order."""
        return list(self._entries)

    @contextmanager
    def including(self, entry: E) -> Iterator[E]:
        """Within this context the table holds one entry more."""
        self.add(entry)
        try:
            yield entry
        finally:
            self.remove(entry.name)

    def __iter__(self) -> Iterator[E]:
        return iter(list(self._entries.values()))

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __len__(self) -> int:
        return len(self._entries)


def _missing_parts(entry: object, entry_type: type) -> list[str]:
    """The attributes and methods of an entry's class that the entry does not have."""
    missing = []
    for base in reversed(entry_type.__mro__):
        for part, annotation in inspect.get_annotations(base).items():
            if part.startswith("_") or "ClassVar" in str(annotation):
                continue
            value = getattr(entry, part, None)
            empty = (value is None or value == "") and "None" not in str(annotation)
            if empty or not hasattr(entry, part):
                missing.append(part)
    for part in sorted(getattr(entry_type, "__abstractmethods__", ())):
        if getattr(getattr(entry, part, None), "__isabstractmethod__", not hasattr(entry, part)):
            missing.append(part)
    return missing
