"""The end of the time that a command was given: what may still be begun, and when to stop it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from twinrun.config.settings import Settings
from twinrun.config.trainings import Training
from twinrun.deadline.plan import MARGIN, Cost, in_order, plan
from twinrun.train.signals import TimeLimit

# Kept for what comes after the trainings, in seconds: to blend, to write record and report, of any
# run; and for each prediction of an image that a blend is fitted to, or that is blended.
_END, _OF_A_PREDICTION = 10.0, 2e-4
# Seconds that a command has at least to look at the data, to decode and to measure: with less it
# could not even say how many hours would help.
_LEAST = 60.0


def end_of_preparing(begun: float, hours: float) -> float:
    """When images that are still decoded then, or steps that are measured, are given up.

    Args:
        begun: When the command began, by the clock.
        hours: That it was given.
    """
    return begun + max(hours * 3600 - _END, _LEAST)


class Deadline:
    """Says of a run's trainings which may be begun in the time that is left.

    Args:
        at: When the command is to end, by the clock.
        settings: Of the run.
        costs: By name, of the trainings that are not complete.
        clock: Seconds of a clock that only goes on.

    Attributes:
        at: As given.
        reserve: Seconds before it that are kept for blend, record and report.
    """

    def __init__(
        self,
        at: float,
        settings: Settings,
        costs: dict[str, Cost],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.at, self._costs, self._clock = at, dict(costs), clock
        self._order = in_order(settings)
        images = [each.measured.valid + each.measured.test for each in costs.values()]
        self.reserve = _END + _OF_A_PREDICTION * max(images, default=0) * len(settings.members)

    @property
    def left(self) -> float:
        """Seconds for trainings; below 0 where they eat into the reserve."""
        return self.at - self.reserve - self._clock()

    def choose(self, trainings: Sequence[Training]) -> list[Training]:
        """Those of some trainings that fit by now, the next one first."""
        return plan([self._costs[each.name] for each in trainings], self._order, self.left)

    def limit(self, training: Training) -> TimeLimit:
        """When a training that is slower than planned is stopped, and its checkpoint written."""
        measured = self._costs[training.name].measured
        until = self.at - self.reserve - measured.checkpoint
        return TimeLimit(until, measured.predictions * (1 + MARGIN), self._clock)

    def learn(self, training: Training, seconds: float) -> None:
        """Take what a training's steps took as what those of the other folds of its member take.

        What it trained counts as the part that it is of a whole training: one that resumed before
        its last step has hardly trained, and the time that it took says little of the others.

        Args:
            training: That has just been trained.
            seconds: For all that was left of it.
        """
        cost = self._costs[training.name]
        own = {
            name: each
            for name, each in self._costs.items()
            if each.training.member == training.member
        }
        whole = max(each.trained for each in own.values())
        if not whole:
            return
        taken = max(cost.trained + seconds - cost.seconds, 0.0)
        slower = (taken - cost.trained) / whole
        for name, each in own.items():
            more = each.trained * slower
            self._costs[name] = replace(
                each, trained=each.trained + more, seconds=each.seconds + more
            )

    def smallest(self, begun: float) -> float:
        """The fewest hours, rounded up, with which at least one training would have been begun.

        Args:
            begun: When the command began, by the clock.
        """
        least = min(each.needed for each in self._costs.values())
        hours = (self._clock() - begun + least + self.reserve) / 3600
        step = 0.001 if hours < 0.1 else 0.01
        # A little more than it is by now: the next start is not as quick to the second.
        return round((int(hours * 1.05 / step) + 1) * step, 3)
