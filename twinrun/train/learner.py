"""A member of competition.toml as a fastai Learner: backbone, head, loss, callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from fastai.callback.mixup import MixUp
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.layers import LinBnDrop
from fastai.learner import AvgSmoothLoss, Learner
from fastai.metrics import accuracy, error_rate
from fastai.torch_core import apply_init, maybe_gather
from torch import Tensor, nn

from twinrun.config.recipe import Member
from twinrun.networks.family import Features, NetworkFamily
from twinrun.networks.table import family_of, weights_of
from twinrun.repro.gpus import refuse_precisions
from twinrun.repro.keys import Key
from twinrun.train.callbacks import KeyedForward, KeyedSteps
from twinrun.train.fused_adam import FusedAdam
from twinrun.train.losses import PlainValidation, class_weights, training_loss


class Network(nn.Sequential):
    """Backbone and head, in the precision of the recipe, with channels last in memory.

    In bf16 the layers for which torch's autocast says so compute in bfloat16, in training and in
    prediction; weights, sums over batches and the logits stay float32.

    Shapes: (batch, 3, height, width) -> (batch, classes), float32.

    Args:
        backbone: From a family of networks.
        head: From `build_head`.
        precision: As the setting.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, precision: str) -> None:
        super().__init__(backbone, head)
        self.bf16 = precision == "bf16"
        self.to(memory_format=torch.channels_last)

    def __getitem__(self, place: Any) -> Any:
        # fastai's splitters take slices, for which Sequential makes another of its own class.
        if isinstance(place, slice):
            return nn.Sequential(*list(self)[place])
        return super().__getitem__(place)

    def forward(self, images: Tensor) -> Tensor:
        # A plain tensor: fastai's kind costs a detour through Python at every operator.
        images = images.as_subclass(Tensor)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bf16):
            logits: Tensor = super().forward(images)  # type: ignore[no-untyped-call]
        return logits.float()


class SmoothLoss(AvgSmoothLoss):
    """fastai's smoothed training loss, kept on the device: no step waits for it.

    Of several ranks it is the mean of their losses.
    """

    def accumulate(self, learn: Learner) -> None:
        self.count += 1
        loss = maybe_gather(learn.loss.detach().as_subclass(Tensor).mean())
        self.val: Tensor = torch.lerp(loss, self.val.to(loss.device), self.beta)


class ConcatPool(nn.Module):
    """Maximum and average over an image's features, side by side, with a deterministic backward.

    The same values as fastai's AdaptiveConcatPool2d(1) and flattening, whose maximum has no
    deterministic backward pass on CUDA. `max` gives the whole gradient to one place, where `amax`
    would split it among ties.

    Shapes: (batch, channels, height, width) -> (batch, 2 x channels), the maxima first.
    """

    def forward(self, features: Tensor) -> Tensor:
        flat = features.flatten(2)
        return torch.cat([flat.max(-1).values, flat.mean(-1)], 1)


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


def build_head(features: Features, classes: int, dropout: float) -> nn.Sequential:
    """fastai's head for an image's features (`create_head`), with a deterministic pooling.

    Pooling, then twice batch norm, dropout and a linear layer: to 512 with ReLU, and to the logits.

    Args:
        features: Of the backbone.
        classes: Number of outputs.
        dropout: Before the last layer; half of it before the one before.
    """
    layers = [] if features.pooled else [ConcatPool(), nn.Identity()]
    channels = features.channels * (1 if features.pooled else 2)
    layers += LinBnDrop(channels, 512, p=dropout / 2, act=nn.ReLU(inplace=True))
    layers += LinBnDrop(512, classes, p=dropout)
    return nn.Sequential(*layers)


def _split(family: NetworkFamily, model: nn.Sequential) -> list[list[nn.Parameter]]:
    """The parameters of each group of layers: those of the backbone, and the head."""
    backbone, head = model
    return [list(part.parameters()) for part in (*family.layer_groups(backbone), head)]
