"""How a command ends before its time: a user's mistake, a negative verdict, a wish to stop."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from twinrun.masks import mask

# Letters of a detail that are shown.
_LONGEST = 2000


class TwinrunError(Exception):
    """A command ends before its time with one message and no traceback.

    Secrets in its texts are masked, wherever these go: to a terminal, into a log or a record.

    Args:
        what: What is wrong and where, in one sentence.
        details: One line per offending place, shown indented below `what`.
        fix: What to do about it, a line or several.
    """

    exit_code: int

    def __init__(
        self, what: str, *, details: Sequence[str] = (), fix: str | Sequence[str] = ""
    ) -> None:
        self.what = mask(what)
        super().__init__(self.what)
        self.details = tuple(map(mask, details))
        self.fixes = tuple(map(mask, (fix,) if isinstance(fix, str) and fix else fix))

    @property
    def fix(self) -> str:
        """What to do about it, as one text."""
        return "\n".join(self.fixes)

    @property
    def lines(self) -> list[str]:
        """The message line by line. A name or a path in one of them may hold a line's end too.

        Of a detail that quotes something very long, as a cell of ten thousand letters, the middle
        is left out.
        """
        return [self.what, *(f"  {_cut(detail)}" for detail in self.details), *self.fixes]

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows of it: the message, as on a terminal, and no traceback."""
        return [f"error: {self}"]


class InputError(TwinrunError):
    """Wrong use, configuration or input: exit code 2."""

    exit_code = 2


def _cut(text: str) -> str:
    left_out = len(text) - _LONGEST
    if left_out <= 0:
        return text
    half = _LONGEST // 2
    return f"{text[:half]} ... ({left_out:,} letters left out) ... {text[-half:]}"


class Stopped(KeyboardInterrupt):
    """The user asked to stop, and everything that is needed to resume was written first."""

    def _render_traceback_(self) -> list[str]:
        """As of a `TwinrunError`."""
        return [f"stopped: {self}"]


class OutOfTime(Stopped):
    """The time that was given is up, and everything that is needed to resume was written first."""


class NegativeVerdict(TwinrunError):
    """The check itself worked and its answer is no: exit code 1. No kind of wrong input."""

    exit_code = 1


def shorten(names: Iterable[object], most: int = 10) -> list[str]:
    """The first `most` names as text, and a last line that counts the others."""
    texts = [str(name) for name in names]
    if len(texts) <= most:
        return texts
    return [*texts[:most], f"... and {len(texts) - most} more"]


def show(value: object) -> str:
    """A value as Python writes it, the middle left out where that is long."""
    return shortened(repr(value))


def shortened(text: str, most: int = 400) -> str:
    """A text with its secrets masked, the middle left out where it is long."""
    text = mask(text)  # cut first, it may lose what says that something is a secret
    return text if len(text) <= most else f"{text[: most - 20]} ... {text[-15:]}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Give `did you mean ...?` for the known name nearest to `word`, or an empty text.

    Nearest is one of the same words in another order: `macro_f1` to `f1_macro`.
    """
    lower = {name.lower(): name for name in known}
    words = sorted(word.lower().split("_"))
    turned = [name for name in lower if sorted(name.split("_")) == words]
    close = turned or difflib.get_close_matches(word.lower(), lower, n=1)
    return f"did you mean {lower[close[0]]!r}?" if close else ""


def differences(before: Any, now: Any) -> list[str]:
    """A line `key: before then, now now` for each value in which two nested tables differ."""
    return [f"{where}: {old!r} then, {new!r} now" for where, old, new in gaps(before, now)]


def gaps(before: Any, now: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(key with dots, value before, value now) where two nested tables differ; None for none."""
    tables = isinstance(before, dict) or isinstance(now, dict)
    if tables and isinstance(before or {}, dict) and isinstance(now or {}, dict):
        before, now = before or {}, now or {}
        for key in sorted(before.keys() | now.keys()):
            yield from gaps(before.get(key), now.get(key), f"{where}.{key}" if where else key)
    elif _are_long(before, now) and set(before) != set(now):
        # Of long lists only what one of them lacks.
        yield where, [x for x in before if x not in now], [x for x in now if x not in before]
    elif before != now:
        yield where, before, now


def _are_long(*values: Any) -> bool:
    return all(isinstance(value, list) for value in values) and max(map(len, values)) > 8
