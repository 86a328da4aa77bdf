"""What is done with gradients before a step: those of several batches added up, their norm cut."""

from __future__ import annotations

from fastai.callback.core import Callback, CancelBatchException
from fastai.callback.fp16 import MixedPrecision
from fastai.callback.training import GradientClip


class ClipGradients(GradientClip):
    """fastai's: the norm of all gradients together is at most `max_norm` (torch's clip_grad_norm_).

    A class of the engine's own, so that it counts as no callback of the user's.
    """


class AccumulateGradients(Callback):
    """Takes a step for every so many batches, along the mean of their gradients.

    The groups of batches begin with each epoch, and the last one may have fewer. Which group a
    batch belongs to follows from its number in the epoch, so that nothing is carried on but the
    gradients, which checkpoints hold.

    Args:
        batches: Of a group.
    """

    order = MixedPrecision.order - 4  # where fastai's is
    run_valid = False

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def after_loss(self) -> None:
        first = self.iter // self.batches * self.batches
        self.learn.loss_grad = self.loss_grad / min(self.batches, self._steps - first)

    def before_step(self) -> None:
        done = self.iter + 1
        if done % self.batches and done < self._steps:
            raise CancelBatchException

    @property
    def _steps(self) -> int:
        return len(self.dls.train)
