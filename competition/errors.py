"""The two ways in which Twinrun says no: a mistake of the user's, and a negative verdict."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class InputError(Exception):
    """Wrong use, configuration or input: the command ends with exit code 2 and no traceback.

    Args:
        what: What is wrong and where, in one sentence.
        details: One line per offending place, shown indented below `what`.
        mend: What to do about it.
    """

    exit_code = 2

    def __init__(self, what: str, *, details: Sequence[str] = (), mend: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.details = tuple(details)
        self.mend = mend

    def __str__(self) -> str:
        lines = [self.what, *(f"  {detail}" for detail in self.details)]
        if self.mend:
            lines.append(self.mend)
        return "\n".join(lines)


class NegativeVerdict(InputError):
    """The check itself worked and its answer is no: exit code 1."""

    exit_code = 1


def shorten(names: Iterable[object], most: int = 10) -> list[str]:
    """The first `most` names as text, and a last line that counts the others."""
    texts = [str(name) for name in names]
    if len(texts) <= most:
        return texts
    return [*texts[:most], f"... and {len(texts) - most} more"]


def nearest(word: str, known: Iterable[str]) -> str:
    """Give `did you mean ...?` for the known name nearest to `word`, or an empty text."""
    lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), lower, n=1)
    return f"did you mean {lower[close[0]]!r}?" if close else ""
