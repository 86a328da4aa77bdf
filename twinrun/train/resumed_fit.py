"""A fit that goes on from a checkpoint: epochs are passed through, then everything is put back."""

from __future__ import annotations

from typing import Any

from fastai.callback.core import Callback

from twinrun.train.callbacks import OwnFit
from twinrun.train.checkpoints import Checkpoint
from twinrun.train.owners import users_callbacks
from twinrun.train.resume import restore_all


class Resume(OwnFit):
    """Lets fastai's loop begin where a checkpoint was made, and puts everything back there.

    The user's callbacks have heard by then what they had heard before the first step of the fit.
    The epochs before it, which fastai's loop passes through without living them, they do not hear.
    What they do as a fit begins, they do again, so that it is put back after.

    Args:
        checkpoint: Of this training; in this fit, at its end, or in a later one.
        first_epoch: As for OwnFit.
        epochs: Of this fit.
    """

    order = -1_000_000_001  # before any callback of the user's, and before generators are seeded

    def __init__(self, checkpoint: Checkpoint, first_epoch: int, epochs: int) -> None:
        super().__init__(first_epoch, checkpoint.epoch)
        self.checkpoint = checkpoint
        self.is_last = checkpoint.epoch == first_epoch + epochs and not checkpoint.step
        # A later fit puts it back.
        self.waiting = checkpoint.epoch < first_epoch + epochs or self.is_last
        self.passes = not self.waiting
        self.silent = list[Callback]()

    def __call__(self, event_name: str) -> Any:
        answer = super().__call__(event_name)
        # A fit that is over lives through none, also where it ended before its last one.
        passed = self.at < self.start or self.is_last
        if event_name == "before_epoch" and self.fits == 1 and passed:
            self.silent += [each for each in users_callbacks(self.learn) if each.run]
            for callback in self.silent:
                callback.run = False
        return answer

    def before_epoch(self) -> None:
        if self.is_last:
            return
        self._listen()
        if not self.checkpoint.step:
            self._restore()

    def before_train(self) -> None:
        if self.at == self.checkpoint.epoch:
            self.dls.train.first_step = self.checkpoint.step

    def before_batch(self) -> None:
        self._restore()

    def after_train(self) -> None:
        # A resumed epoch may have had no step left.
        self._restore()
        self.dls.train.first_step = 0

    def after_fit(self) -> None:
        # The end of a fit that a later one follows was heard; what it did stands in the checkpoint.
        if not self.passes:
            self._listen()
            self._restore()

    def _listen(self) -> None:
        for callback in self.silent:
            callback.run = True
        self.silent.clear()

    def _restore(self) -> None:
        if self.waiting:
            self.waiting = False
            restore_all(self.learn, self.checkpoint)
