"""The epoch whose weights are taken: the last one, or the best by a value of history.csv."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastai.learner import Learner
from fastai.torch_core import get_model
from torch import Tensor

from twinrun.config.recipe import Member
from twinrun.config.recipe_tables import Take
from twinrun.metrics import HISTORY_COLUMNS, METRICS
from twinrun.train.callbacks import OwnFit
from twinrun.train.useless_callbacks import SeenEnough


@dataclass
class BestSoFar:
    """The weights of the best epoch that is complete.

    Attributes:
        epoch: From 1; 0 before there is one with a value.
        weights: The model's state by name, as it was measured, on the CPU.
    """

    epoch: int
    weights: dict[str, Tensor]


def best_epoch(take: Take, rows: Sequence[Sequence[Any]]) -> int:
    """The epoch that is taken of those in a training's history.

    Args:
        take: The setting, of the best epoch.
        rows: As `History` keeps them, an epoch each.

    Returns:
        From 1; the first of equal ones. 0: none has a value, and the last one is taken.
    """
    metric, best, found = METRICS.get(take.by), math.nan, 0
    for number, row in enumerate(rows, start=1):
        value = _value(take, row)
        if metric.better(value, best):
            best, found = value, number
    return found


def is_over(member: Member, rows: Sequence[Sequence[Any]]) -> bool:
    """Whether a training ends before its recipe's last epoch: `patience` epochs were no better.

    They are counted among those in which all layers are trained.

    Args:
        member: The recipe.
        rows: As for `best_epoch`.
    """
    take, frozen = member.take, member.epochs.frozen
    if take.epoch == "last" or take.patience is None or len(rows) <= frozen:
        return False
    best = best_epoch(take, rows)
    return best > 0 and len(rows) - max(best, frozen) >= take.patience


def _value(take: Take, row: Sequence[Any]) -> float:
    kept = METRICS.get(take.by).kept_as
    if kept is not None:
        return float(row[HISTORY_COLUMNS.index(kept)])
    return float(row[len(HISTORY_COLUMNS)].get(take.by, math.nan))


class KeepBest(OwnFit):
    """Keeps the weights of the best epoch so far, as its validation saw them.

    Args:
        take: The setting.
        best: Kept up to date.
        rows: The history; of this epoch there is a row when the epoch ends.
        first_epoch: As for OwnFit.
        start: As for OwnFit.
    """

    order = 2000  # after whoever changes weights for the validation, before a checkpoint is written

    def __init__(
        self, take: Take, best: BestSoFar, rows: list[list[Any]], first_epoch: int, start: int
    ) -> None:
        super().__init__(first_epoch, start)
        self.take, self.best, self.rows = take, best, rows
        self._measured: dict[str, Tensor] | None = None

    def before_validate(self) -> None:
        self._measured = None

    def before_batch(self) -> None:
        if not self.training and self._measured is None:
            state = get_model(self.learn.model).state_dict()
            # `clone` alone would keep a GPU's memory, `cpu` alone is no copy on a CPU.
            self._measured = {name: each.detach().clone().cpu() for name, each in state.items()}

    def after_epoch(self) -> None:
        if self._measured is not None and best_epoch(self.take, self.rows) == self.at + 1:
            self.best.epoch, self.best.weights = self.at + 1, self._measured
        self._measured = None


class EndEarly(OwnFit):
    """Ends the fit at the end of the epoch after which `is_over` says so.

    Args:
        member: The recipe.
        rows: The history.
        first_epoch: As for OwnFit.
        start: As for OwnFit.
    """

    order = 1_000_000  # the epoch's checkpoint is written, and everybody has heard of its end

    def __init__(self, member: Member, rows: list[list[Any]], first_epoch: int, start: int) -> None:
        super().__init__(first_epoch, start)
        self.member, self.rows = member, rows

    def after_epoch(self) -> None:
        if is_over(self.member, self.rows):
            raise SeenEnough


def take_best(learner: Learner, best: BestSoFar) -> None:
    """Give a learner the weights of its best epoch, where there is one."""
    if best.epoch:
        get_model(learner.model).load_state_dict(best.weights)
