"""Carries out cases one after the other, and counts what they gave."""

from __future__ import annotations

import shutil
import signal
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType
from typing import Protocol

from tests.fuzz import tables
from tests.fuzz.settings import SettingsCase
from twinrun.errors import TwinrunError
from twinrun.foreign import printable

# Of these two there are as many of each.
KINDS = ("settings", "tables")
# No case takes as long, in seconds, on a slow machine that does much else.
_HANGS = 30
# A message is for people.
_MOST_LETTERS = 20_000


class Case(Protocol):
    """Something to be carried out: it is accepted, or a mistake is named."""

    def carry_out(self) -> None:
        """Raises TwinrunError or OSError, as a command's end takes them."""


class Hangs(BaseException):
    """A case takes far too long."""


@dataclass
class Gave:
    """What cases gave.

    Attributes:
        counts: By kind and end: accepted, refused.
        messages: The different kinds of refusals: their first words.
        unexpected: By kind and number: the traceback.
        slowest: Seconds, and which case.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    messages: set[str] = field(default_factory=set)
    unexpected: dict[tuple[str, int], str] = field(default_factory=dict)
    slowest: tuple[float, str] = (0.0, "")


def carry_out(numbers: Sequence[int], *, seed: int, folder: Path, kinds: Sequence[str]) -> Gave:
    """Carry out cases.

    Args:
        numbers: Of the cases of each kind; each is drawn from its own number alone.
        seed: Of all.
        folder: An empty one to work in.
        kinds: Of `KINDS`.
    """
    gave, shared, place = Gave(), folder / "shared", folder / "case"
    shared.mkdir()
    tables.prepare(shared)
    for number in numbers:
        for kind in kinds:
            draw = Random(f"{kind} {seed} {number}")
            place.mkdir()
            started = time.perf_counter()
            try:
                gave.counts[kind, _end(kind, draw, shared, place, gave)] += 1
            except Exception as error:
                gave.unexpected[kind, number] = "".join(traceback.format_exception(error))
            gave.slowest = max(gave.slowest, (time.perf_counter() - started, f"{kind}:{number}"))
            shutil.rmtree(place)
    return gave


def _end(kind: str, draw: Random, shared: Path, place: Path, gave: Gave) -> str:
    with warnings.catch_warnings(), in_time():
        warnings.simplefilter("error")
        case: Case
        if kind == "settings":
            case = SettingsCase(draw, place)
        else:
            case = tables.TableCase(draw, shared, place)
        try:
            case.carry_out()
        except (TwinrunError, OSError) as error:
            message = str(error)
            assert message.strip()
            assert len(message) < _MOST_LETTERS, f"{len(message)} letters: {message[:2000]}"
            printable(message).encode()
            gave.messages.add(" ".join(message.split()[1:4]))
            left = [path.name for path in place.rglob("*.part")]
            assert not left, left
            return "refused"
    return "accepted"


@contextmanager
def in_time() -> Iterator[None]:
    """Raise AssertionError where what is within takes far too long."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, _HANGS)
    try:
        yield
    except Hangs as error:
        raise AssertionError(f"not ended after {_HANGS} s") from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
