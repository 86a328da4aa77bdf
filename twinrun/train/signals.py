"""Ctrl-C, SIGTERM and the end of a given time: within a training they are met between two steps."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from twinrun.errors import OutOfTime, Stopped
from twinrun.process import is_importing
from twinrun.repro.ranks import current_rank


@dataclass(frozen=True)
class TimeLimit:
    """The time that a training has.

    Attributes:
        until: When it is to be stopped, by the clock, so that its checkpoint is written in time.
        predictions: Seconds that are left for what comes after the last epoch; with less it is not
            begun.
        clock: Seconds of a clock that only goes on.
    """

    until: float
    predictions: float
    clock: Callable[[], float] = time.monotonic

    def is_over(self, more: float = 0.0) -> bool:
        """Whether what takes so many seconds more would end too late."""
        return self.clock() + more >= self.until

    @contextmanager
    def ends(self, words: str) -> Iterator[None]:
        """End the block where the time is over, wherever it is by then; in the main thread alone.

        Args:
            words: What is stopped then, and what of it stays.

        Raises:
            OutOfTime: It was over.
        """
        with in_time(self.until - self.clock(), words):
            yield


class StopRequest:
    """Whether the training is to be stopped, and where it is.

    Args:
        name: The training's title.
        epochs: Of the training.
        steps: Of an epoch.
        limit: The time that it has; None: all.

    Attributes:
        asked: A signal came.
        in_step: The learner is in no state to be kept: within a training step, or not yet put back
            to where the training resumes.
    """

    def __init__(self, name: str, epochs: int, steps: int, limit: TimeLimit | None = None) -> None:
        self.asked = self.in_step = False
        self._name, self._epochs, self._steps, self._limit = name, epochs, steps, limit

    @property
    def due(self) -> bool:
        """Whether to stop now, between two steps."""
        return self.asked or (self._limit is not None and self._limit.is_over())

    @property
    def due_before_predictions(self) -> bool:
        """Whether to stop after the last epoch."""
        limit = self._limit
        return self.asked or (limit is not None and limit.is_over(limit.predictions))

    def raise_stopped(self, epoch: int, step: int) -> None:
        """Leave the training; the checkpoint is written.

        Args:
            epoch: Epochs that are complete.
            step: Steps that are complete in the epoch after them.
        """
        place = describe_place(epoch, step, self._epochs, self._steps)
        # Of several ranks one may have heard the signal, and none has a limit.
        kind = OutOfTime if self._limit is not None and not self.asked else Stopped
        raise kind(f"stopped {self._name} {place}; its checkpoint is written")


def describe_place(epoch: int, step: int, epochs: int, steps: int) -> str:
    """Where a training is, in words.

    Args:
        epoch: Epochs that are complete.
        step: Steps that are complete in the epoch after them.
        epochs: Of the training.
        steps: Of an epoch.
    """
    if step:
        return f"in epoch {epoch + 1} of {epochs}, after step {step} of {steps}"
    return f"after epoch {epoch} of {epochs}"


@contextmanager
def in_time(seconds: float, words: str) -> Iterator[None]:
    """End the block after so many seconds, as a Ctrl-C would: for what can be ended anywhere.

    Signals can be handled in the main thread only; elsewhere the block runs as it is.

    Args:
        seconds: None are left where it is not above 0.
        words: What is said then.

    Raises:
        OutOfTime: The block has not come to its end by then.
    """
    at_its_end = False

    def over(_number: int, frame: FrameType | None) -> None:
        if at_its_end:
            return
        # Again in a while: what Python calls by itself, a `__del__`, swallows every error.
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        if not is_importing(frame):
            raise OutOfTime(words)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if seconds <= 0:
        raise OutOfTime(words)
    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        at_its_end = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        # None: of a handler that is none of Python's.
        signal.signal(signal.SIGALRM, signal.SIG_DFL if before is None else before)


@contextmanager
def defer_signals(request: StopRequest) -> Iterator[None]:
    """Within the block, the first Ctrl-C or SIGTERM is a request; the second one acts as before.

    Of several ranks' it does not: a Ctrl-C reaches them twice, the second time from torchrun, which
    ends by itself what does not end within half a minute.

    Signals can be handled in the main thread only; elsewhere the block runs as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [
        number
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) not in (signal.SIG_IGN, None)
    ]
    alone = current_rank().count == 1
    before = {number: signal.getsignal(number) for number in numbers}

    def ask(_number: int, _frame: FrameType | None) -> None:
        request.asked = True
        for each in numbers if alone else ():
            signal.signal(each, before[each])

    try:
        for number in numbers:
            signal.signal(number, ask)
        yield
    finally:
        for number in numbers:
            signal.signal(number, before[number])
