"""A learner's state in the middle of a training: saved, and restored to the same bits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from fastai.learner import Learner
from fastai.torch_core import get_model
from torch import Tensor

from twinrun.repro.ledger import Ledger
from twinrun.train.averages import averages_of
from twinrun.train.best_epoch import BestSoFar
from twinrun.train.checkpoints import Checkpoint
from twinrun.train.optimizer_state import (
    pack_optimizer,
    restore_hyperparameters,
    restore_optimizer,
)
from twinrun.train.scaling import pack_scale, restore_scale
from twinrun.train.users_restored import restore_users
from twinrun.train.users_state import pack_users

_WEIGHT, _GRADIENT, _USERS, _BEST = "weight/", "gradient/", "users/", "best/"
_AVERAGE = "average/"


@dataclass
class Progress:
    """How far a training has come, beside the learner.

    Attributes:
        epoch: Epochs that are complete.
        step: Steps that are complete in the epoch after them.
        history: The rows of history.csv.
        ledger: What was written down so far.
        smooth: What fastai smooths the training loss with: count and mean. None: nothing yet.
        resumed: Where the training resumed: complete epochs, and complete steps after them.
        best: The weights of the best epoch, where the recipe takes that one.
    """

    epoch: int
    step: int
    history: list[list[Any]]
    ledger: Ledger
    smooth: tuple[int, Tensor] | None = None
    resumed: list[list[int]] = field(default_factory=list)
    best: BestSoFar = field(default_factory=lambda: BestSoFar(0, {}))


def take_checkpoint(learner: Learner, progress: Progress) -> Checkpoint:
    """The state of a learner between two steps, or between two epochs.

    Keyed randomness needs no state of a generator. What is needed: weights and buffers, their
    average, the scale of the loss, the optimizer's averages and hyperparameters, which parameters
    have gradients (zero by then, but what is added to a zero is not what stands alone: -0.0), which
    of them are trained and which layers work as in training, the place in the schedule, what fastai
    smooths the training loss with, and what the user's code keeps.

    Raises:
        InputError: Something of the user's cannot be kept, or was changed and stands in none.
    """
    model = get_model(learner.model)
    tensors = {_WEIGHT + name: value for name, value in model.state_dict().items()}
    gradients = []
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            gradients.append(name)
            if bool(parameter.grad.any()) or bool(parameter.grad.signbit().any()):
                # Gradients are added up over several batches, by the recipe or a user's callback.
                tensors[_GRADIENT + name] = parameter.grad
    count = 0
    if progress.smooth is not None:
        count, tensors["smooth_loss"] = progress.smooth
    tensors["ledger"] = torch.frombuffer(bytearray(progress.ledger.to_bytes()), dtype=torch.uint8)
    tensors |= {_BEST + name: each for name, each in progress.best.weights.items()}
    users, kept = pack_users(learner)
    tensors |= {_USERS + name: tensor for name, tensor in kept.items()}
    optimizer, averages = pack_optimizer(learner.opt)
    tensors |= averages
    average = averages_of(learner)
    if average is not None:
        tensors |= {_AVERAGE + name: each for name, each in average.averages.items()}
    facts = {
        **optimizer,
        "scale": pack_scale(learner),
        "averaged_steps": 0 if average is None else average.steps,
        "gradients": gradients,
        "trained": [name for name, each in model.named_parameters() if each.requires_grad],
        "in_training": [name for name, each in model.named_modules() if each.training],
        "schedule": {"pct_train": float(learner.pct_train), "train_iter": int(learner.train_iter)},
        "smooth_count": count,
        "users": users,
        "history": progress.history,
        "resumed": progress.resumed,
        "best": progress.best.epoch,
    }
    return Checkpoint(progress.epoch, progress.step, tensors, facts)


def progress_of(checkpoint: Checkpoint) -> Progress:
    """How far the training had come at a checkpoint, from which it resumes."""
    ledger = Ledger.from_bytes(ledger_of(checkpoint))
    mean = checkpoint.tensors.get("smooth_loss")
    smooth = None if mean is None else (checkpoint.facts["smooth_count"], mean)
    epoch, step, facts = checkpoint.epoch, checkpoint.step, checkpoint.facts
    resumed = [*facts["resumed"], [epoch, step]]
    best = BestSoFar(facts["best"], _below(_BEST, checkpoint))
    return Progress(epoch, step, facts["history"], ledger, smooth, resumed, best)


def restore_weights(learner: Learner, checkpoint: Checkpoint) -> None:
    """Put weights, buffers and gradients back."""
    tensors, model = checkpoint.tensors, get_model(learner.model)
    model.load_state_dict(_below(_WEIGHT, checkpoint))
    gradients = set(checkpoint.facts["gradients"])
    for name, parameter in model.named_parameters():
        parameter.grad = torch.zeros_like(parameter) if name in gradients else None
        if _GRADIENT + name in tensors:
            parameter.grad.copy_(tensors[_GRADIENT + name])


def restore_before_fit(learner: Learner, checkpoint: Checkpoint) -> None:
    """Put back what is there already: whoever hears that a later fit begins may look at it.

    Weights, what the optimizer goes by, and the attributes of the user's objects. As the first fit
    begins all of these are what a training begins with.
    """
    restore_weights(learner, checkpoint)
    restore_hyperparameters(learner.opt, checkpoint.facts, checkpoint.tensors)
    restore_users(learner, checkpoint.facts["users"], _below(_USERS, checkpoint), all_there=False)


def restore_all(learner: Learner, checkpoint: Checkpoint) -> None:
    """Put everything back, after all callbacks have heard that the fit begins.

    What these have changed meanwhile they had changed before the checkpoint.

    Raises:
        InputError: An object whose state was kept is not there.
    """
    facts, model = checkpoint.facts, get_model(learner.model)
    restore_weights(learner, checkpoint)
    restore_optimizer(learner.opt, facts, checkpoint.tensors)
    restore_hyperparameters(learner.opt, facts, checkpoint.tensors)
    restore_scale(learner, facts["scale"])
    average = averages_of(learner)
    if average is not None:
        average.restore(facts["averaged_steps"], _below(_AVERAGE, checkpoint))
    trained, in_training = set(facts["trained"]), set(facts["in_training"])
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trained)
    for name, module in model.named_modules():
        module.training = name in in_training
    if checkpoint.step:
        learner.pct_train = facts["schedule"]["pct_train"]
    learner.train_iter = facts["schedule"]["train_iter"]
    restore_users(learner, facts["users"], _below(_USERS, checkpoint), all_there=True)


def ledger_of(checkpoint: Checkpoint) -> bytes:
    """The bytes of ledger.parquet at a checkpoint."""
    return checkpoint.tensors["ledger"].numpy().tobytes()


def _below(prefix: str, checkpoint: Checkpoint) -> dict[str, Tensor]:
    tensors = checkpoint.tensors.items()
    return {k.removeprefix(prefix): v for k, v in tensors if k.startswith(prefix)}
