"""How the ranks of one training meet: they wait for each other, and one of them speaks for all.

A process that is alone is answered at once, and nothing is changed by it.

The first rank alone holds folders, writes files and prints. What the ranks say to each other goes
through gloo, on the CPU; gradients and activations on a GPU go through NCCL.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any

from twinrun.console import console
from twinrun.errors import InputError, TwinrunError
from twinrun.repro.ranks import Ranks, current_rank

_COMMANDS = ("train", "run")
# Seconds: between two looks at whether the others have come, and for the one who prints to do so.
_LOOK, _PATIENCE = 0.05, 10.0


class _Meeting:
    """What connects this rank to the others while a command runs.

    Attributes:
        store: A small table that all ranks can read and write; None: not connected.
        speaks: Whether this rank prints why the command ends; None: not decided.
        places: How many the ranks have waited for each other at.
    """

    store: Any = None
    speaks: bool | None = None
    places: int = 0


@contextmanager
def together(command: str) -> Iterator[None]:
    """Connect this process with the other ranks while a command runs, if there are any.

    The other ranks than the first print nothing. What ends one of them ends all, with one message.

    Args:
        command: Its name.

    Raises:
        InputError: The command is none for several ranks, accelerate is missing, the others cannot
            be found, or they are gone.
    """
    ranks = current_rank()
    if ranks.count == 1:
        yield
        return
    try:
        _refuse(command)
        _join(ranks)
    except TwinrunError:
        if ranks.rank:
            # The first one says it, and then the launcher ends this one.
            with suppress(KeyboardInterrupt):
                time.sleep(_PATIENCE)
        raise
    if ranks.rank:
        # Not `quiet`, which a box overrules.
        console.file = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    try:
        yield
    except RuntimeError as error:
        if not _is_loss(error):
            raise
        _claim()
        raise InputError(
            f"rank {ranks.rank} of {ranks.count} has lost another one: {_reason(error)}",
            fix="If it has said nothing above, it was killed. Type the same command to go on.",
        ) from error
    except (TwinrunError, KeyboardInterrupt, OSError):
        # Before the others can notice that this one is gone.
        _claim()
        raise
    finally:
        _leave()


@contextmanager
def speaking() -> Iterator[bool]:
    """Whether it is this process that says why the command ends: of several ranks, one does.

    The others wait until it has, since the launcher ends all as soon as one has ended.
    """
    try:
        alone = current_rank().count == 1
    except TwinrunError:
        alone = True
    if alone:
        yield True
    elif _Meeting.store is None:
        _hear_no_signal()
        yield current_rank().rank == 0
    elif _claim():
        yield True
        with suppress(RuntimeError):
            _Meeting.store.set("has said", "")
    else:
        end = time.monotonic() + _PATIENCE
        with suppress(RuntimeError):
            while time.monotonic() < end and not _Meeting.store.check(["has said"]):
                time.sleep(_LOOK)
        yield False


def _refuse(command: str) -> None:
    if command not in _COMMANDS:
        raise InputError(
            f"twinrun {command} is not for several ranks (WORLD_SIZE={os.environ['WORLD_SIZE']})",
            fix="Start it without torchrun: twinrun train and twinrun run are those that "
            "many GPUs can share.",
        )
    if find_spec("accelerate") is None:
        raise InputError(
            "several ranks need accelerate, which is not installed",
            fix="pip install 'twinrun[distributed]'",
        )


def _join(ranks: Ranks) -> None:
    # DistributedDataParallel would advise, at every start, to look for no unused parameters.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    import torch
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    try:
        store, _, _ = next(rendezvous("env://", ranks.rank, ranks.count))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(
            backend, store=store, rank=ranks.rank, world_size=ranks.count
        )
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"rank {ranks.rank} of {ranks.count} does not find the others: {_reason(error)}",
            fix="Start them with torchrun: docs/many-gpus.md has the commands.",
        ) from error
    _Meeting.store = store


def _leave() -> None:
    from torch import distributed

    with suppress(RuntimeError):
        distributed.destroy_process_group()


def _claim() -> bool:
    """Whether this rank is the first that has something to say about the command's end."""
    if _Meeting.speaks is None:
        _hear_no_signal()
        try:
            _Meeting.speaks = _Meeting.store.add("says", 1) == 1
        except RuntimeError:
            # Who kept the table is gone.
            _Meeting.speaks = current_rank().rank == 0
    return _Meeting.speaks


def _hear_no_signal() -> None:
    """At a command's end: the launcher sends some as soon as one of the ranks has ended."""
    with suppress(ValueError):  # not in the main thread
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _is_loss(error: RuntimeError) -> bool:
    """Whether an error says that another rank could not be reached."""
    from torch.distributed import DistError

    return isinstance(error, DistError) or "gloo" in str(error) or "closed by peer" in str(error)


def _reason(error: Exception) -> str:
    """The first sentence, without the place in gloo's source that it begins with."""
    return re.sub(r"^\[\S+\] ", "", str(error).partition("\n")[0]).partition(". ")[0]


def wait_for_all() -> None:
    """Go on when every rank has come here, however long that takes.

    Collectives have a time limit; one rank may decode images for hours, or fetch weights.
    """
    ranks = current_rank()
    if ranks.count == 1:
        return
    _Meeting.places += 1
    names = [f"place {_Meeting.places} rank {rank}" for rank in range(ranks.count)]
    _Meeting.store.set(names[ranks.rank], "")
    _wait(names)


@contextmanager
def first_on_machine() -> Iterator[None]:
    """Let the first rank of each machine run the block, and when it has, the others."""
    ranks = current_rank()
    _Meeting.places += 1
    place = f"place {_Meeting.places} machine of rank {ranks.rank - ranks.local}"
    if ranks.local:
        _wait([place])
    yield
    if ranks.count > 1 and not ranks.local:
        _Meeting.store.set(place, "")


def _wait(places: Sequence[str]) -> None:
    while not _Meeting.store.check(list(places)):
        if _Meeting.store.check(["says"]):
            raise InputError("another rank has ended")
        time.sleep(_LOOK)
