"""Checkpoints while a training goes on: at each epoch, every N seconds, and before it stops."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from fastai.learner import Learner

from twinrun.files import whole_file
from twinrun.repro.group import current_group
from twinrun.train.callbacks import OwnFit
from twinrun.train.checkpoints import Checkpoints
from twinrun.train.resume import Progress, ledger_of, take_checkpoint
from twinrun.train.signals import StopRequest
from twinrun.train.users_state import refuse_changed_code


class SaveCheckpoints:
    """Writes a checkpoint at every epoch, every N seconds within one, and when asked to stop.

    Args:
        checkpoints: Where they go.
        progress: Kept up to date.
        stop: The user's request.
        seconds: Between two checkpoints within an epoch.
        ledger: ledger.parquet, written with every checkpoint; None where rank 0 writes both.
        unchanged: Raises an error where what decides bits is not as it was. Then no checkpoint is
            written, and the last one is of before.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        progress: Progress,
        stop: StopRequest,
        seconds: float,
        ledger: Path | None,
        unchanged: Callable[[], None],
    ) -> None:
        self.unchanged = unchanged
        self.checkpoints, self.progress, self.stop = checkpoints, progress, stop
        self.seconds, self.ledger = seconds, ledger
        self.written = time.monotonic()
        self.rows = len(progress.ledger)
        self.learner: Learner | None = None

    def within(self, first_epoch: int, start: int) -> OwnFit:
        """The callback that does it in one fit."""
        return _Saving(self, first_epoch, start)

    def save(self) -> None:
        """Write the learner's state as the last checkpoint."""
        self.unchanged()
        if self.ledger is None:
            refuse_changed_code(self.learner)
        else:
            checkpoint = take_checkpoint(self.learner, self.progress)
            self.checkpoints.save(checkpoint)
            with whole_file(self.ledger) as temporary:
                temporary.write_bytes(ledger_of(checkpoint))
        self.written = time.monotonic()

    def end(self, *, all_ranks: bool = False) -> None:
        """Write a checkpoint of the last step that is complete, and leave the training.

        Args:
            all_ranks: All ranks are here, and wait until it is written.

        Raises:
            Stopped: Always.
        """
        # The next step's batch may have arrived.
        self.progress.ledger.cut(self.rows)
        self.save()
        if all_ranks:
            current_group().any_rank(True)
        self.stop.raise_stopped(self.progress.epoch, self.progress.step)


class _Saving(OwnFit):
    order = 3000

    def __init__(self, saver: SaveCheckpoints, first_epoch: int, start: int) -> None:
        super().__init__(first_epoch, start)
        self.saver = saver

    def before_fit(self) -> None:
        self.saver.learner = self.learn
        progress = self.saver.progress
        if (progress.epoch, progress.step) == (self.first_epoch, 0):
            progress.smooth = None

    def before_train(self) -> None:
        # A resumed fit has begun anew, and so has fastai's mean at a `validate` of the user's.
        if self.saver.progress.smooth is not None:
            smooth = self.recorder.smooth_loss
            smooth.count, smooth.val = self.saver.progress.smooth

    def before_batch(self) -> None:
        if self.training:
            # From here to the end of the step the learner is in no state to be kept.
            self.saver.stop.in_step = True

    def after_batch(self) -> None:
        saver = self.saver
        due = bool(self.training) and time.monotonic() - saver.written >= saver.seconds
        # Should a different rank be gone, the step has not come to its end.
        stop, due = current_group().any_rank(saver.stop.due, due)
        if self.training:
            saver.stop.in_step = False
            saver.progress.step, saver.rows = self.iter + 1, len(saver.progress.ledger)
            smooth = self.recorder.smooth_loss
            saver.progress.smooth = (smooth.count, smooth.val)
            if due:
                saver.save()
                # A signal that came meanwhile is met here, not after one more step.
                (stop,) = current_group().any_rank(saver.stop.due)
        if stop:
            saver.end(all_ranks=True)

    def after_epoch(self) -> None:
        saver = self.saver
        saver.progress.epoch, saver.progress.step = self.at + 1, 0
        saver.rows = len(saver.progress.ledger)
        saver.save()
        if current_group().any_rank(saver.stop.due)[0]:
            saver.stop.raise_stopped(saver.progress.epoch, 0)
