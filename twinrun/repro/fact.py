"""What a fact of the environment is: how it is read, set and told, and whether it decides bits."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

# The mend of what any code in the process can set.
SAME_CODE = "look for what sets it: a library that one of them imports, or code of your own"


@dataclass(frozen=True)
class Wanted:
    """What a process is set up for.

    Attributes:
        threads: Of torch's operators.
        cuda: Whether it computes on a CUDA device.
        workers: Loader processes.
        packages: That decide bits beside those of every training.
    """

    threads: int
    cuda: bool = False
    workers: int = 0
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fact:
    """Something that is in force in a process.

    Attributes:
        name: As records hold it.
        words: What it is, for a reader.
        decides: Whether it can decide bits: then it is part of what a member is made from, two runs
            that differ in it are told so first, and it may not change within a training.
        read: A JSON value, from what is loaded, never from what was asked for. None: there is no
            such thing here.
        pin: Sets it, as far as these libraries have it; None: it cannot be set.
        changed_by: What changes it in a process that runs; None: nothing can, and it is read once.
        mend: What to do about two runs that differ in it.
        neutral: A value at which it is left out of what decides bits: there it does nothing, or is
            as it is in every training that says nothing of it. Not "what it is pinned to": should
            that change, the records must show it.
    """

    name: str
    words: str
    decides: bool
    read: Callable[[Wanted], Any]
    mend: str | None = None
    pin: Callable[[Wanted], object] | None = None
    changed_by: str | None = None
    neutral: object | None = None

    def __post_init__(self) -> None:
        if self.decides and not self.mend:
            raise ValueError(f"fact {self.name!r} decides bits and does not say how to mend it")


def loaded(path: str) -> Any:
    """What stands at a path such as "torch.backends.mkldnn".

    Raises:
        AttributeError: There is no such thing.
    """
    module, *names = path.split(".")
    found: Any = sys.modules.get(module) or import_module(module)
    for name in names:
        if not hasattr(found, name) and isinstance(found, ModuleType):
            # torch 2.8 imports some of its modules only when they are first used.
            with suppress(ModuleNotFoundError):
                import_module(f"{found.__name__}.{name}")
        found = getattr(found, name)
    return found
