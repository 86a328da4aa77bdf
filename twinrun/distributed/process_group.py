"""How the ranks of one training are connected, and how one of them reports for all.

The first rank alone holds folders, writes files and prints. What the ranks send each other goes
through gloo, on the CPU; gradients and activations on a GPU go through NCCL.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from twinrun.config.extras import how_to_install_extra
from twinrun.console import console
from twinrun.errors import InputError, TwinrunError
from twinrun.repro.group import use_group
from twinrun.repro.ranks import Ranks, current_rank
from twinrun.streams import open_lasting

_COMMANDS = ("train", "run")
# Seconds: between two looks at whether the others have come, and for the one who prints to do so.
LOOK, _PATIENCE = 0.05, 10.0
# Written into the store by the rank that reports why the command ends.
REPORTS = "reports the end"
# Written into the store when it has been printed.
_REPORTED = "reported the end"


class _End:
    """What this rank knows of the command's end.

    Attributes:
        store: That of the ranks' group; None: they were never connected.
        reports: Whether this rank prints why the command ends; None: not decided.
    """

    store: Any = None
    reports: bool | None = None


@contextmanager
def connect(command: str) -> Iterator[None]:
    """Connect this process with the other ranks while a command runs.

    The other ranks than the first print nothing. What ends one of them ends all, with one message.

    Args:
        command: Its name.

    Raises:
        InputError: The command is none for several ranks, accelerate is missing, the others cannot
            be found, or they are gone.
    """
    ranks = current_rank()
    try:
        _refuse(command)
        _End.store = _join(ranks)
    except TwinrunError:
        if ranks.rank:
            # The first one says it, and then the launcher ends this one.
            with suppress(KeyboardInterrupt):
                time.sleep(_PATIENCE)
        raise
    if ranks.rank:
        # Not `quiet`, which a box overrules.
        console.file = open_lasting(Path(os.devnull))
    from twinrun.distributed.collectives import TorchGroup

    try:
        with use_group(TorchGroup(ranks, _End.store)):
            yield
    except RuntimeError as error:
        _claim()
        if not _is_loss(error):
            raise
        raise InputError(
            f"rank {ranks.rank} of {ranks.count} has lost a different one: {_reason(error)}",
            fix="If it has reported nothing above, it was killed. Rerun the command: it resumes.",
        ) from error
    except (Exception, KeyboardInterrupt):
        # Before the others can notice that this one is gone.
        _claim()
        raise
    finally:
        _leave()


@contextmanager
def report_once() -> Iterator[bool]:
    """Whether it is this process that reports why the command ends: of several ranks, one does.

    The others wait until it has, since the launcher ends all as soon as one has ended.
    """
    if _End.store is None:
        _ignore_signals()
        yield current_rank().rank == 0
    elif _claim():
        yield True
        with suppress(RuntimeError):
            _End.store.set(_REPORTED, "")
    else:
        end = time.monotonic() + _PATIENCE
        with suppress(RuntimeError):
            while time.monotonic() < end and not _End.store.check([_REPORTED]):
                time.sleep(LOOK)
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
            fix=how_to_install_extra("distributed"),
        )


def _join(ranks: Ranks) -> Any:
    """Connect torch's process group; gives its store."""
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
            fix="Start them with torchrun: docs/many-gpus.md of Twinrun has the commands.",
        ) from error
    return store


def _leave() -> None:
    from torch import distributed

    with suppress(RuntimeError):
        distributed.destroy_process_group()


def _claim() -> bool:
    """Whether this rank is the first that has something to report of the command's end."""
    if _End.reports is None:
        _ignore_signals()
        try:
            _End.reports = _End.store.add(REPORTS, 1) == 1
        except RuntimeError:
            # Who kept the table is gone.
            _End.reports = current_rank().rank == 0
    return _End.reports


def _ignore_signals() -> None:
    """At a command's end: the launcher sends some as soon as one of the ranks has ended."""
    with suppress(ValueError):  # not in the main thread
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _is_loss(error: RuntimeError) -> bool:
    """Whether an error says that a different rank could not be reached."""
    from torch.distributed import DistError

    return isinstance(error, DistError) or "gloo" in str(error) or "closed by peer" in str(error)


def _reason(error: Exception) -> str:
    """The first sentence, without the place in gloo's source that it begins with."""
    return re.sub(r"^\[\S+\] ", "", str(error).partition("\n")[0]).partition(". ")[0]
