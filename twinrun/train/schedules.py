"""How the learning rate goes up and down in a phase of a training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from fastai.callback.core import Callback
from fastai.callback.schedule import ParamScheduler, sched_cos
from fastai.learner import Learner

from twinrun.config.recipe import Member

# Of the highest rate: where it begins, and where it ends; as fastai's one-cycle has it.
_BEGIN, _END = 1 / 25, 1e-5
# Up to which part of a phase a rate stays flat; as fastai's flat cosine has it.
_FLAT = 0.75


def fit_scheduled(
    learner: Learner,
    member: Member,
    epochs: int,
    rates: Sequence[float],
    *,
    start_epoch: int,
    callbacks: Sequence[Callback],
) -> None:
    """Fit a learner with the recipe's schedule.

    Args:
        learner: Frozen or not.
        member: The recipe.
        epochs: Of this phase.
        rates: The highest of the first and of the last group of layers; the others' lie between.
        start_epoch: The first epoch that is lived through, from 0.
        callbacks: Of this phase.
    """
    lowest, highest = rates
    if member.schedule == "one_cycle":
        learner.fit_one_cycle(
            epochs,
            lr_max=slice(lowest, highest),
            pct_start=member.warmup,
            start_epoch=start_epoch,
            cbs=callbacks,
        )
        return
    learner.opt.set_hyper("lr", slice(lowest, highest))
    most = np.array([each["lr"] for each in learner.opt.hypers])
    flat = max(_FLAT, member.warmup) if member.schedule == "flat_cosine" else member.warmup
    scheduler = ParamScheduler({"lr": rates_at(most, member.warmup, flat)})
    learner.fit(epochs, cbs=[scheduler, *callbacks], start_epoch=start_epoch)


def rates_at(highest: Any, warmup: float, flat: float) -> Callable[[float], Any]:
    """A schedule: rates at a place of a phase, from 0 to 1.

    Args:
        highest: Rates, a number or an array of float64.
        warmup: Where they are reached, below 1.
        flat: Up to where they stay, from `warmup` on, below 1.
    """

    def rates(place: float) -> Any:
        if place < warmup:
            return sched_cos(highest * _BEGIN, highest, place / warmup)
        if place < flat:
            return highest
        return sched_cos(highest, highest * _END, (place - flat) / (1 - flat))

    return rates
