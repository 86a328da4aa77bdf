"""The loss of a training, with class weights and label smoothing where asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from fastai.callback.core import Callback
from fastai.losses import CrossEntropyLossFlat
from torch import Tensor

from twinrun.config.recipe import Member
from twinrun.losses import CROSS_ENTROPY, LOSSES

if TYPE_CHECKING:
    from twinrun.losses import LossFunction


def class_weights(member: Member, counts: Mapping[str, int]) -> Tensor | None:
    """What a mistake counts in each class, such that the mean over the training images is 1.

    "balanced" is scikit-learn's: images / (classes x images of the class), so that each class
    counts as much as another. In a table of the settings, a class that is not named counts 1.

    Args:
        member: The recipe.
        counts: Of each class, in the classes' order, its number of training images.

    Returns:
        float32, one for each class; None where every class counts the same.
    """
    if member.class_weights == "none":
        return None
    # A class without an image is no mistake's truth; only label smoothing asks for its weight.
    images = torch.tensor([max(count, 1) for count in counts.values()], dtype=torch.float64)
    if isinstance(member.class_weights, str):
        raw = 1 / images
    else:
        named = member.class_weights
        raw = torch.tensor([named.get(name, 1.0) for name in counts], dtype=torch.float64)
    return (raw * images.sum() / (raw * images).sum()).float()


def training_loss(member: Member, weights: Tensor | None) -> LossFunction:
    """What a member is trained with: of LOSSES, the one that its recipe names.

    "cross_entropy" is torch's, whose two options fastai's form of it passes on.

    Without MixUp a batch's mean is over the weights of its images, as torch has it; with MixUp,
    over their number, as fastai has it. Of several ranks each takes the mean of its part of the
    batch, and the gradient is the mean of theirs: with class weights and without MixUp not quite
    that of the whole batch, since the parts' weights have other sums. Smoothing spreads its share
    of a label evenly over all classes: Szegedy et al., "Rethinking the inception architecture",
    2016, section 7. The others always take the mean over images, and so do several ranks.

    Args:
        member: The recipe.
        weights: From `class_weights`, on the training's device.
    """
    loss = LOSSES.get(member.loss.method)
    return loss.make(weights, member.label_smoothing, member.loss.gamma)


def is_plain(member: Member) -> bool:
    """Whether, but for class weights, the log loss is trained: validation takes the same."""
    return member.loss.method == CROSS_ENTROPY.name and not member.label_smoothing


class PlainValidation(Callback):
    """Validates with the log loss, without weights and smoothing: what a host would count."""

    # After MixUp, which puts the training's loss back when a training part of an epoch ends.
    order = 10

    def before_validate(self) -> None:
        self.loss_of_training = self.learn.loss_func
        self.learn.loss_func = CrossEntropyLossFlat()

    def after_validate(self) -> None:
        self.learn.loss_func = self.loss_of_training

    def after_cancel_validate(self) -> None:
        self.after_validate()
