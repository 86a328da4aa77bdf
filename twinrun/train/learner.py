"""A member of competition.toml as a fastai Learner: backbone, head, loss, callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from fastai.callback.mixup import MixUp
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.learner import AvgSmoothLoss, Learner
from fastai.metrics import accuracy, error_rate
from fastai.torch_core import apply_init, maybe_gather
from torch import Tensor, nn

from twinrun.config.recipe import Member
from twinrun.networks.family import NetworkFamily
from twinrun.networks.table import family_of, weights_of
from twinrun.repro.gpus import refuse_precisions
from twinrun.repro.keys import Key
from twinrun.train.callbacks import KeyedForward, KeyedSteps
from twinrun.train.fused_adam import FusedAdam
from twinrun.train.losses import PlainValidation, class_weights, training_loss
from twinrun.train.network import Network, build_head


class SmoothLoss(AvgSmoothLoss):
    """fastai's smoothed training loss, kept on the device: no step waits for it.

    Of several ranks it is the mean of their losses.
    """

    def accumulate(self, learn: Learner) -> None:
        self.count += 1
        loss = maybe_gather(learn.loss.detach().as_subclass(Tensor).mean())
        self.val: Tensor = torch.lerp(loss, self.val.to(loss.device), self.beta)


def build_learner(
    member: Member,
    loaders: DataLoaders,
    *,
    classes: int,
    key: Key,
    counts: Mapping[str, int] | None = None,
) -> Learner:
    """Build a member, untrained: as fastai's `vision_learner`, with a deterministic pooling.

    Args:
        member: The recipe.
        loaders: Training and validation loaders; the learner is put on their device.
        classes: Number of outputs.
        key: (seed, member name): names the draws of the initial weights and of every step.
        counts: Of each class its number of training images; needed for class weights only.

    Raises:
        InputError: The pretrained weights cannot be had, or the GPU lacks the precision.
    """
    if loaders.device.type == "cuda":
        refuse_precisions({str(key.parts[1]): member.precision})
    callbacks = [KeyedSteps(key), KeyedForward()]
    if member.mixup:
        callbacks.append(MixUp(member.mixup))
    weights = None if counts is None else class_weights(member, counts)
    if weights is not None or member.label_smoothing:
        callbacks.append(PlainValidation())
    loss = training_loss(member, None if weights is None else weights.to(loaders.device))
    family = family_of(member.network)
    # Asked before the generators are set: it may draw, the first time.
    features = family.features(member.network, member.image_size)
    key.of("init", "body").seed_generators()
    backbone = family.build(member.network, member.image_size)
    head = build_head(features, classes, member.dropout)
    # The head's draws are its own, so that they do not depend on how many the backbone made.
    key.of("init", "head").seed_generators()
    apply_init(head, nn.init.kaiming_normal_)
    if member.pretrained:
        weights_of(member.network).load(backbone, member.network, member.image_size)
    learner = Learner(
        loaders,
        Network(backbone, head, member.precision),
        loss_func=loss,
        metrics=[accuracy, error_rate],
        opt_func=FusedAdam,
        splitter=partial(_split, family),
        cbs=callbacks,
    )
    learner.remove_cb(ProgressCallback)
    learner.recorder.smooth_loss = SmoothLoss()
    return learner


def _split(family: NetworkFamily, model: nn.Sequential) -> list[list[nn.Parameter]]:
    """The parameters of each group of layers: those of the backbone, and the head."""
    backbone, head = model
    return [list(part.parameters()) for part in (*family.layer_groups(backbone), head)]
