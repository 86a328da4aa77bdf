"""Moments of a run at which it is killed: the n-th call of a function, before, after or halfway."""

from __future__ import annotations

import functools
import importlib
import os
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Moment:
    """When SIGKILL comes.

    Attributes:
        target: What is called, such as "pathlib:Path.replace".
        number: At which call, from 1.
        when: "before" it, "after" it, or "half": it writes a file and only half of it is there.
        match: Only calls count whose arguments, as text, match this.
        within: Only calls count that come after this one has begun (its first call).
        victim: "self", or from a loader's process its "parent".
    """

    target: str
    number: int = 1
    when: str = "before"
    match: str = ""
    within: str = ""
    victim: str = "self"


def arm(moment: Moment) -> None:
    """Let this process die at the moment."""
    begun = not moment.within
    count = 0

    def notice(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def noticing(*arguments: Any, **options: Any) -> Any:
            nonlocal begun
            begun = True
            return function(*arguments, **options)

        return noticing

    def deadly(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def dying(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            if begun and re.search(moment.match, " ".join(map(str, arguments))):
                count += 1
                if count == moment.number:
                    if moment.when != "before":
                        function(*arguments, **options)
                    if moment.when == "half":
                        _halve(next(each for each in arguments if isinstance(each, Path)))
                    _kill(moment.victim)
            return function(*arguments, **options)

        return dying

    if moment.within:
        patch(moment.within, notice)
    patch(moment.target, deadly)


def patch(target: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put what `make` makes of a function in its place, in this process."""
    module, _, path = target.partition(":")
    *owners, name = path.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    setattr(owner, name, make(getattr(owner, name)))


def _halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _kill(victim: str) -> None:
    if victim == "parent":
        os.kill(os.getppid(), signal.SIGKILL)
        os._exit(1)
    os.kill(os.getpid(), signal.SIGKILL)
