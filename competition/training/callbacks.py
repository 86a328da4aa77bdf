"""fastai callbacks: keyed generators for every step, a row of history per epoch, progress."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pandas as pd
from fastai.callback.core import Callback
from rich.progress import Progress, TaskID

from competition.determinism.randomness import Key
from competition.files import write_csv

HISTORY_COLUMNS = [
    "epoch",
    "phase",
    "train_loss",
    "valid_loss",
    "accuracy",
    "error_rate",
    "learning_rate",
    "seconds",
]


class KeyedSteps(Callback):
    """Tells the loaders the epoch, and seeds the generators before each step's callbacks.

    MixUp and any callback of the user's that runs in `before_batch` then draw what the key
    (..., "step", epoch, step) says. `first_epoch` is the number of epochs before this fit.
    """

    order = -20

    def __init__(self, key: Key) -> None:
        self.key = key
        self.first_epoch = 0

    def before_epoch(self) -> None:
        for loader in self.dls.loaders:
            loader.epoch = self.first_epoch + self.epoch

    def before_batch(self) -> None:
        self._step_key("step").seed_generators()

    def _step_key(self, purpose: str) -> Key:
        part = "train" if self.training else "valid"
        return self.key.of(purpose, part, self.first_epoch + self.epoch, self.iter)


class KeyedForward(Callback):
    """Seeds the generators again just before the forward pass: dropout's draws are its own."""

    order = 1000

    def before_batch(self) -> None:
        self.keyed_steps._step_key("forward").seed_generators()


class History(Callback):
    """Keeps history.csv up to date: one row per epoch, the whole file moved into place.

    Losses are mean log losses in nats. `train_loss` is fastai's: on mixed images, smoothed over
    the steps. `learning_rate` is the last step's, of the head. `seconds` is the epoch's time, and
    the only column that is not the same in a second run.
    """

    order = 60

    def __init__(self, path: Path) -> None:
        self.path = path
        self.phase = ""
        self.rows: list[list[Any]] = []

    def before_epoch(self) -> None:
        self.started = time.perf_counter()

    def after_epoch(self) -> None:
        train_loss, valid_loss, accuracy, error_rate = self.recorder.values[-1]
        seconds = round(time.perf_counter() - self.started, 3)
        rate = float(self.opt.hypers[-1]["lr"])
        losses = [train_loss, valid_loss, accuracy, error_rate, rate, seconds]
        self.rows.append([len(self.rows) + 1, self.phase, *losses])
        write_csv(self.path, pd.DataFrame(self.rows, columns=HISTORY_COLUMNS))


class ShowProgress(Callback):
    """Moves a rich progress bar: one task, a unit per batch of training or validation."""

    order = 70

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self.bars, self.task = bars, task

    def after_batch(self) -> None:
        self.bars.advance(self.task)

    def after_epoch(self) -> None:
        valid_loss = self.recorder.values[-1][1]
        self.bars.update(self.task, note=f"valid loss {valid_loss:.4f}")
