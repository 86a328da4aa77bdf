"""fastai callbacks: keyed generators for every step, a row of history per epoch, progress."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import pandas as pd
import torch
from fastai.callback.core import Callback
from rich.progress import TaskID
from torch import Tensor

from twinrun.data.keyed_loader import KeyedLoader
from twinrun.files import write_csv
from twinrun.metrics import HISTORY_COLUMNS, Metric, additional_metric
from twinrun.repro.keys import Key


class KeyedSteps(Callback):
    """Tells the loaders the epoch, and seeds the generators before each event's callbacks.

    MixUp and any callback of the user's that runs in `before_batch` then draw what the key
    (..., "step", epoch, step) says; what runs before or after a part of the training, the key of
    that event and epoch. `first_epoch` is the number of epochs before this fit.
    """

    order = -1_000_000_000  # before any callback of the user's

    def __init__(self, key: Key) -> None:
        self.key = key
        self.first_epoch = 0

    def before_fit(self) -> None:
        self.key.of("fit", self.first_epoch).seed_generators()

    def after_fit(self) -> None:
        self.key.of("fitted", self.first_epoch).seed_generators()

    def before_epoch(self) -> None:
        for loader in self.dls.loaders:
            loader.epoch = self.first_epoch + self.epoch
        self._event_key("epoch").seed_generators()

    def before_train(self) -> None:
        self._event_key("train").seed_generators()

    def after_train(self) -> None:
        # A resumed epoch may have had no step left.
        self._event_key("trained").seed_generators()

    def before_validate(self) -> None:
        self._event_key("validate").seed_generators()
        # Test-time augmentation counts its passes as epochs, over a loader of its own.
        if isinstance(self.dl, KeyedLoader):
            self.dl.epoch = self.first_epoch + self.epoch

    def before_batch(self) -> None:
        if self.training and isinstance(self.dl, KeyedLoader):
            # fastai counts the batches it got; a resumed epoch begins in its middle.
            self.learn.iter += self.dl.first_step
        self.key_of_step("step").seed_generators()

    def _event_key(self, event: str) -> Key:
        return self.key.of(event, self.first_epoch + self.epoch)

    def key_of_step(self, purpose: str) -> Key:
        """Of a draw in the batch that is under way, as it is for this rank."""
        part = "train" if self.training else "valid"
        key = self.key.of(purpose, part, self.first_epoch + self.epoch, self.iter)
        # Else all ranks would mix, and drop, at the same places of their parts of the batch.
        return self.dl.ranks.own(key) if isinstance(self.dl, KeyedLoader) else key


class KeyedForward(Callback):
    """Seeds the generators again just before the forward pass: dropout's draws are its own."""

    order = 1000

    def before_batch(self) -> None:
        self.keyed_steps.key_of_step("forward").seed_generators()


class OwnFit(Callback):
    """Hears the events of the fit that it was given to, and of no other.

    A user's callback may call `validate` or `get_preds` in between, which send all the events of a
    fit once more; and a fit that is resumed passes through the epochs before it without living
    them.

    Args:
        first_epoch: Epochs of the training before this fit.
        start: The first epoch of the training, from 0, that is lived through.

    Attributes:
        at: The epoch of the training, from 0. Not fastai's: a `validate` in between resets that.
    """

    def __init__(self, first_epoch: int, start: int) -> None:
        self.first_epoch, self.start = first_epoch, start
        self.at = first_epoch
        self.fits = 0

    def __call__(self, event_name: str) -> Any:
        if event_name == "before_fit":
            self.fits += 1
        if event_name == "before_epoch" and self.fits == 1:
            self.at = self.first_epoch + self.epoch
        lived = event_name in ("before_fit", "after_fit") or self.at >= self.start
        answer = super().__call__(event_name) if self.fits == 1 and lived else None
        if event_name == "after_fit":
            self.fits -= 1
        return answer


class History(OwnFit):
    """Keeps history.csv up to date: one row per epoch, the whole file moved into place.

    Losses are mean log losses in nats. `train_loss` is fastai's: on mixed images, smoothed over
    the steps, with the recipe's class weights and label smoothing; `valid_loss` is without them.
    `learning_rate` is the last step's, of the head. `seconds` is the epoch's time, and the only
    column that is not the same in a second run.

    Args:
        path: history.csv; None where a different rank writes it.
        phase: "frozen" or "unfrozen".
        rows: Those of the epochs before; this fit's are added. Each has a value for each of
            HISTORY_COLUMNS, and after them a table of the extra metric's values by name.
        metric: The competition's, a name in METRICS: where it is not kept anyway, it has a column
            of its own, after the others' scores; on the validation part.
        first_epoch: As for OwnFit.
        start: As for OwnFit.
    """

    order = 60

    def __init__(
        self,
        path: Path | None,
        phase: str,
        rows: list[list[Any]],
        metric: str,
        first_epoch: int,
        start: int,
    ) -> None:
        super().__init__(first_epoch, start)
        self.path, self.phase, self.rows = path, phase, rows
        self.metric = additional_metric(metric)

    def before_validate(self) -> None:
        self.logits: list[Tensor] = []

    def after_pred(self) -> None:
        if self.metric is not None and not self.training:
            self.logits.append(self.pred.detach())

    def before_epoch(self) -> None:
        self.started = time.perf_counter()

    def after_validate(self) -> None:
        # Not at the epoch's end: a `validate` of the user's would have changed them by then.
        self.scores = [float(value) for value in self.recorder.log[1:]]
        self.extra = {} if self.metric is None else {self.metric.name: self._score(self.metric)}

    def after_epoch(self) -> None:
        rate = float(self.opt.hypers[-1]["lr"])
        seconds = round(time.perf_counter() - self.started, 3)
        self.rows.append([self.at + 1, self.phase, *self.scores, rate, seconds, self.extra])
        if self.path is not None:
            write_csv(self.path, history_table(self.rows, self.metric))

    def _score(self, metric: Metric) -> float:
        probabilities = torch.cat(self.logits).cpu().softmax(1).double()
        return metric.score(probabilities.numpy(), self.dls.valid.numbers.numpy())


def history_table(rows: Sequence[list[Any]], metric: Metric | None) -> pd.DataFrame:
    """history.csv of the rows that `History` keeps."""
    width = len(HISTORY_COLUMNS)
    table = pd.DataFrame([row[:width] for row in rows], columns=HISTORY_COLUMNS)
    if metric is not None:
        # A training may have been begun when the settings named a different metric, or none.
        values = [row[width].get(metric.name, math.nan) for row in rows]
        table.insert(HISTORY_COLUMNS.index("learning_rate"), metric.name, values)
    return table


class Bars(Protocol):
    """What of rich's Progress a training needs."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...

    def add_task(self, description: str, *, total: float, completed: int, note: str) -> TaskID:
        """A bar, of which so much is done already."""

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """So many batches more."""

    def update(self, task_id: TaskID, *, note: str) -> None:
        """What is shown beside it."""


class ShowProgress(OwnFit):
    """Moves a progress bar: one task, a unit per batch of training or validation."""

    order = 70

    def __init__(self, bars: Bars, task: TaskID, first_epoch: int, start: int) -> None:
        super().__init__(first_epoch, start)
        self.bars, self.task = bars, task

    def after_batch(self) -> None:
        self.bars.advance(self.task)

    def after_validate(self) -> None:
        valid_loss = self.recorder.log[2]
        self.bars.update(self.task, note=f"valid loss {valid_loss:.4f}")
