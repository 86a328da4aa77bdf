"""What waits for ever fails, and holds up no other test."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

# Nothing that is held to it takes a twentieth of this; a machine may be busy.
SECONDS = 60


@contextmanager
def in_time(seconds: int = SECONDS) -> Iterator[None]:
    """Raise TimeoutError in a block that takes longer, also where it waits for a pipe."""

    def stop(*_: object) -> None:
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
