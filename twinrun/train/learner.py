"""A member of competition.toml as a fastai Learner: backbone, head, loss, callbacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.learner import AvgSmoothLoss, Learner
from fastai.metrics import accuracy, error_rate
from fastai.torch_core import apply_init, maybe_gather
from torch import Tensor, nn

from twinrun.config.recipe import Member
from twinrun.networks.table import family_of, weights_of
from twinrun.optimizers.table import OPTIMIZERS
from twinrun.repro.gpus import refuse_precisions
from twinrun.repro.keys import Key
from twinrun.train.averages import AverageWeights
from twinrun.train.callbacks import KeyedForward, KeyedSteps
from twinrun.train.gradients import AccumulateGradients, ClipGradients
from twinrun.train.losses import PlainValidation, class_weights, is_plain, training_loss
from twinrun.train.mixing import MixImages
from twinrun.train.network import Body, Network, build_head
from twinrun.train.own_parts import OwnParts
from twinrun.train.recompute import count_once
from twinrun.train.scaling import ScaleLoss


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
    own: OwnParts | None = None,
) -> Learner:
    """Build a member, untrained: as fastai's `vision_learner`, with a deterministic pooling.

    Args:
        member: The recipe.
        loaders: Training and validation loaders; the learner is put on their device.
        classes: Number of outputs.
        key: (seed, member name): names the draws of the initial weights and of every step.
        counts: Of each class its number of training images; needed for class weights only.
        own: What hooks.py makes of it.

    Raises:
        InputError: The pretrained weights cannot be had, the GPU lacks the precision, or a hook
            gives what it must not.
    """
    if loaders.device.type == "cuda":
        refuse_precisions({str(key.parts[1]): member.precision})
    callbacks = [KeyedSteps(key), KeyedForward()]
    if member.mixup or member.cutmix_probability:
        callbacks.append(MixImages(member))
    if member.ema.use == "ema":
        callbacks.append(AverageWeights(member.ema.decay))
    if member.precision == "fp16":
        callbacks.append(ScaleLoss(loaders.device.type))
    if member.accumulate > 1:
        callbacks.append(AccumulateGradients(member.accumulate))
    if member.clip:
        callbacks.append(ClipGradients(member.clip))
    weights = None if counts is None else class_weights(member, counts)
    weights = None if weights is None else weights.to(loaders.device)
    body = _own_body(key, own) or _body(member, key)
    head: nn.Module = build_head(body.features, classes, member.dropout)
    # The head's draws are its own, so that they do not depend on how many the backbone made.
    key.of("init", "head").seed_generators()
    own_head = None if own is None else own.head(body.module, body.features, classes)
    if own_head is None:
        apply_init(head, nn.init.kaiming_normal_)
    else:
        head = own_head
    if member.fetches_weights:
        weights_of(member.network).load(body.module, member.network, member.image_size)
    key.of("init", "loss").seed_generators()
    own_loss = None if own is None else own.loss(classes, weights)
    if own_loss is not None or weights is not None or not is_plain(member):
        callbacks.append(PlainValidation())
    loss_module = own_loss.own if own_loss and isinstance(own_loss.own, nn.Module) else None
    learner = Learner(
        loaders,
        Network(body.module, head, member.precision, loss_module),
        loss_func=own_loss or training_loss(member, weights),
        metrics=[accuracy, error_rate],
        opt_func=(None if own is None else own.optimizer()) or partial(_optimizer, member),
        splitter=partial(_split, body.groups),
        cbs=[*callbacks, *(() if own is None else own.callbacks())],
    )
    # What is in use changes: MixUp and validation put theirs in its place.
    learner.own_loss = own_loss
    learner.remove_cb(ProgressCallback)
    learner.recorder.smooth_loss = SmoothLoss()
    return learner


def _body(member: Member, key: Key) -> Body:
    """The backbone of the recipe's network, with its initial weights."""
    family = family_of(member.network)
    # Asked before the generators are set: it may draw, the first time.
    features = family.features(member.network, member.image_size)
    key.of("init", "body").seed_generators()
    backbone = family.build(member.network, member.image_size)
    if member.gradient_checkpointing:
        family.recompute(backbone)
        count_once(backbone)
    return Body(backbone, features, family.layer_groups(backbone))


def _optimizer(member: Member, groups: Sequence[Any], *, lr: float) -> Any:
    """The recipe's optimizer, as fastai's learner asks for one."""
    entry = OPTIMIZERS.get(member.optimizer)
    decay = entry.weight_decay if member.weight_decay is None else member.weight_decay
    return entry.make(groups, lr, decay)


def _own_body(key: Key, own: OwnParts | None) -> Body | None:
    if own is None:
        return None
    key.of("init", "body").seed_generators()
    return own.backbone()


def _split(groups: Sequence[nn.Module], model: nn.Sequential) -> list[list[nn.Parameter]]:
    """The parameters of each group of layers: those of the backbone, and the head with the loss."""
    last = list(model.children())[1:]
    return [
        *(list(part.parameters()) for part in groups),
        [parameter for part in last for parameter in part.parameters()],
    ]
