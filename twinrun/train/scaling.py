"""The scale of the loss in fp16: as large as gradients bear, and carried from step to step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from fastai.callback.fp16 import MixedPrecision
from fastai.learner import Learner


class ScaleLoss(MixedPrecision):
    """fastai's mixed precision with torch's GradScaler, one for the whole training.

    Gradients that are not finite take no step, and halve the scale; many steps without any double
    it. What computes in float16 the network says itself.

    Args:
        device: "cpu" or "cuda".
    """

    run_valid = False

    def __init__(self, device: str) -> None:
        super().__init__()
        self.scaler = torch.amp.GradScaler(device)
        self.scales = list[float]()
        self.skipped = self._stepped = False

    def before_fit(self) -> None:
        self.scales.clear()

    def before_batch(self) -> None:
        """The network has its own autocast."""

    def after_pred(self) -> None:
        """It answers in float32."""

    def after_loss(self) -> None:
        """As `before_batch`."""

    def before_step(self) -> None:
        self._stepped = True
        super().before_step()

    def after_step(self) -> None:
        # A callback of the user's may have skipped the step before this one heard of it.
        if self._stepped:
            self.scaler.update()
        self._stepped = False

    def after_fit(self) -> None:
        """The next fit goes on with the same scale."""


def scaling_of(learner: Learner) -> ScaleLoss | None:
    """What scales a learner's loss; None where nothing does."""
    return next((each for each in learner.cbs if isinstance(each, ScaleLoss)), None)


def pack_scale(learner: Learner) -> dict[str, Any] | None:
    """The state of what scales a learner's loss, JSON values; None where nothing does."""
    scaling = scaling_of(learner)
    return None if scaling is None else scaling.scaler.state_dict()


def restore_scale(learner: Learner, state: Mapping[str, Any] | None) -> None:
    """Put back what `pack_scale` has given."""
    scaling = scaling_of(learner)
    if scaling is not None and state is not None:
        scaling.scaler.load_state_dict(dict(state))
