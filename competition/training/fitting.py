"""Trains a learner: two one-cycle phases, first the head, then all layers."""

from __future__ import annotations

from pathlib import Path

import fastai.callback.schedule  # noqa: F401  (gives Learner its fit_one_cycle)
from fastai.learner import Learner

from competition.settings import Member
from competition.terminal import progress_bars
from competition.training.callbacks import History, ShowProgress


def fit(learner: Learner, member: Member, *, name: str, history: Path) -> dict[str, float]:
    """Train a learner as its recipe says; the last epoch's weights are the result.

    The one-cycle schedule is Smith's ("Super-convergence", 2018) as fastai has it: learning rates
    spread over the layer groups from the first to the second number of the recipe.

    Args:
        learner: From `build_learner`.
        member: The recipe.
        name: The member's name, for the progress bar.
        history: history.csv, rewritten after every epoch.

    Returns:
        The last epoch's train_loss, valid_loss (mean log loss, nats), accuracy, error_rate.
    """
    phases = [
        ("frozen", member.epochs.frozen, member.frozen_rates),
        ("unfrozen", member.epochs.unfrozen, member.unfrozen_rates),
    ]
    recorder = History(history)
    batches = len(learner.dls.train) + len(learner.dls.valid)
    with progress_bars() as bars:
        task = bars.add_task(
            name, total=(member.epochs.frozen + member.epochs.unfrozen) * batches, note=""
        )
        for phase, epochs, (lowest, highest) in phases:
            if not epochs:
                continue
            if phase == "frozen":
                learner.freeze()
            else:
                learner.unfreeze()
            recorder.phase = phase
            learner.keyed_steps.first_epoch = len(recorder.rows)
            with learner.no_logging():
                learner.fit_one_cycle(
                    epochs,
                    lr_max=slice(lowest, highest),
                    cbs=[recorder, ShowProgress(bars, task)],
                )
    names = ("train_loss", "valid_loss", "accuracy", "error_rate")
    return dict(zip(names, learner.recorder.values[-1], strict=True))
