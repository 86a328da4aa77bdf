"""Where several ranks plug in: the one module of the engine that imports twinrun.distributed.

A process that is alone imports none of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twinrun.errors import TwinrunError
from twinrun.repro.ranks import current_rank


@contextmanager
def connect_ranks(command: str) -> Iterator[None]:
    """Connect this process with the other ranks while a command runs, if there are any.

    Args:
        command: Its name.

    Raises:
        InputError: There are several ranks and the command is not for them, accelerate is missing,
            the others cannot be found, or they are gone.
    """
    if current_rank().count == 1:
        yield
        return
    from twinrun.distributed.process_group import connect

    with connect(command):
        yield


@contextmanager
def report_once() -> Iterator[bool]:
    """Whether it is this process that reports why the command ends: of several ranks, one does."""
    try:
        alone = current_rank().count == 1
    except TwinrunError:
        alone = True
    if alone:
        yield True
        return
    from twinrun.distributed import process_group

    with process_group.report_once() as reports:
        yield reports
