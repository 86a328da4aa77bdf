"""A member of competition.toml as a fastai Learner: body, head, loss, callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torchvision
from fastai.callback.mixup import MixUp
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.layers import AdaptiveConcatPool2d
from fastai.learner import AvgSmoothLoss, Learner
from fastai.metrics import accuracy, error_rate
from fastai.torch_core import apply_init, maybe_gather
from fastai.vision.learner import (
    create_body,
    create_head,
    default_split,
    model_meta,
    vision_learner,
)
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from twinrun.config.recipe import Member
from twinrun.errors import InputError
from twinrun.networks import timm_name
from twinrun.repro.keys import Key
from twinrun.train.callbacks import KeyedForward, KeyedSteps
from twinrun.train.fused_adam import FusedAdam
from twinrun.train.losses import PlainValidation, class_weights, training_loss
from twinrun.train.pretrained import imagenet_model, timm_model
from twinrun.train.timm_backbones import body_shape, build_body


class Network(nn.Sequential):
    """Body and head, in the precision of the recipe, with channels last in memory.

    In bf16 the layers for which torch's autocast says so compute in bfloat16, in training and in
    prediction; weights, sums over batches and the logits stay float32.

    Shapes: (batch, 3, height, width) -> (batch, classes), float32.

    Args:
        body, head: Of a fastai learner.
        precision: As the setting.
    """

    def __init__(self, body: nn.Module, head: nn.Module, precision: str) -> None:
        super().__init__(body, head)
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


class TimmBody(nn.Module):
    """A network of timm up to its last features, channels first; or pooled, where it does that.

    fastai's own form of it is not used: it pools what has its channels last along the wrong axes.

    Args:
        model: From `build_body`.
        kind: Of its `body_shape`.
    """

    def __init__(self, model: nn.Module, kind: str) -> None:
        super().__init__()
        self.model, self.kind = model, kind

    def forward(self, images: Tensor) -> Tensor:
        network: Any = self.model
        if self.kind == "vector":
            pooled: Tensor = network(images)
            return pooled
        features: Tensor = network.forward_features(images)
        return features.permute(0, 3, 1, 2) if self.kind == "last" else features


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
    """Build a member, untrained: fastai's `vision_learner` with a deterministic pooling.

    Args:
        member: The recipe.
        loaders: Training and validation loaders; the learner is put on their device.
        classes: Number of outputs.
        key: (seed, member name): names the draws of the initial weights and of every step.
        counts: Of each class its number of training images; needed for class weights only.

    Raises:
        InputError: The pretrained weights cannot be had, or the GPU lacks the precision.
    """
    _refuse_precision(member, loaders.device)
    callbacks = [KeyedSteps(key), KeyedForward()]
    if member.mixup:
        callbacks.append(MixUp(member.mixup))
    weights = None if counts is None else class_weights(member, counts)
    if weights is not None or member.label_smoothing:
        callbacks.append(PlainValidation())
    loss = training_loss(member, None if weights is None else weights.to(loaders.device))
    name = timm_name(member.network)
    if name is not None:
        # Looked up before the seed is set, and kept: a second time it draws nothing.
        body_shape(name, member.image_size)
    key.of("init", "body").seed_generators()
    options: dict[str, Any] = {
        "loss_func": loss,
        "metrics": [accuracy, error_rate],
        "opt_func": FusedAdam,
        "cbs": callbacks,
    }
    learner: Learner
    if name is None:
        network = getattr(torchvision.models, member.network)
        learner = vision_learner(
            loaders,
            network,
            n_out=classes,
            normalize=False,
            pretrained=False,
            init=None,
            ps=member.dropout,
            **options,
        )
    else:
        # `vision_learner` knows where torchvision's networks are cut, and cannot be told of others.
        model = _timm_model(name, member, classes)
        learner = Learner(loaders, model, splitter=default_split, **options)
    learner.remove_cb(ProgressCallback)
    body, head = learner.model
    # The head's draws are its own, so that they do not depend on how many the body made.
    key.of("init", "head").seed_generators()
    apply_init(head, nn.init.kaiming_normal_)
    if isinstance(head[0], AdaptiveConcatPool2d):
        head[0], head[1] = ConcatPool(), nn.Identity()
    if name is not None:
        if member.pretrained:
            body.model.load_state_dict(timm_model(name, member.image_size).state_dict())
    elif member.pretrained:
        source = imagenet_model(member.network)
        cut = model_meta[network]["cut"]
        body.load_state_dict(create_body(source, cut=cut).state_dict())
    else:
        _start_as_identity(body)
    learner.model = Network(body, head, member.precision)
    learner.recorder.smooth_loss = SmoothLoss()
    return learner


def _timm_model(name: str, member: Member, classes: int) -> nn.Module:
    """Body and head of fastai's form, for a network of timm."""
    shape = body_shape(name, member.image_size)
    body = TimmBody(build_body(name, member.image_size), shape.kind)
    head = create_head(shape.channels, classes, ps=member.dropout, pool=shape.kind != "vector")
    return nn.Sequential(body, head)


def _refuse_precision(member: Member, device: torch.device) -> None:
    if member.precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise InputError(
            f"{torch.cuda.get_device_name(device)} does not compute in bfloat16",
            fix="Set recipe.precision to 'fp32'.",
        )


def _start_as_identity(body: nn.Module) -> None:
    """Let each residual block of a body without pretrained weights start as the identity.

    Zero for the scale of the block's last batch norm, as Goyal et al., "Accurate, large minibatch
    SGD", 2017, section 5.1: a deep ResNet from nothing otherwise learns little in its first epochs.
    """
    for block in body.modules():
        if isinstance(block, BasicBlock):
            nn.init.zeros_(block.bn2.weight)
        elif isinstance(block, Bottleneck):
            nn.init.zeros_(block.bn3.weight)
