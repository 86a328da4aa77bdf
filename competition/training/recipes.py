"""A member of competition.toml as a fastai Learner: body, head, loss, callbacks."""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from fastai.callback.mixup import MixUp
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy, error_rate
from fastai.torch_core import apply_init
from fastai.vision.learner import create_body, model_meta, vision_learner
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from competition.determinism.randomness import Key
from competition.settings import Member
from competition.training.callbacks import KeyedForward, KeyedSteps
from competition.training.weights import imagenet_model


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


def build_learner(member: Member, loaders: DataLoaders, *, classes: int, key: Key) -> Learner:
    """Build a member, untrained: fastai's `vision_learner` with a deterministic pooling.

    Args:
        member: The recipe.
        loaders: Training and validation loaders; the learner is put on their device.
        classes: Number of outputs.
        key: (seed, member name): names the draws of the initial weights and of every step.

    Raises:
        InputError: The ImageNet weights cannot be had.
    """
    network: Any = getattr(torchvision.models, member.network)
    key.of("init", "body").seed_generators()
    learner: Learner = vision_learner(
        loaders,
        network,
        n_out=classes,
        normalize=False,
        pretrained=False,
        init=None,
        ps=member.dropout,
        loss_func=CrossEntropyLossFlat(),
        metrics=[accuracy, error_rate],
        cbs=[KeyedSteps(key), KeyedForward()] + ([MixUp(member.mixup)] if member.mixup else []),
    )
    learner.remove_cb(ProgressCallback)
    body, head = learner.model
    # The head's draws are its own, so that they do not depend on how many the body made.
    key.of("init", "head").seed_generators()
    apply_init(head, nn.init.kaiming_normal_)
    head[0], head[1] = ConcatPool(), nn.Identity()
    if member.pretrained:
        source = imagenet_model(member.network)
        body.load_state_dict(create_body(source, cut=model_meta[network]["cut"]).state_dict())
    else:
        _start_as_identity(body)
    return learner


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
