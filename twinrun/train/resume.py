"""A learner's state in the middle of a training: saved, and restored to the same bits."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from fastai.learner import Learner
from fastai.optimizer import OptimWrapper
from fastai.torch_core import get_model
from torch import Tensor

from twinrun.files import whole_file
from twinrun.repro.group import current_group
from twinrun.repro.ledger import Ledger
from twinrun.train.callbacks import OwnFit
from twinrun.train.checkpoints import Checkpoint, Checkpoints
from twinrun.train.packing import Packing, unpack
from twinrun.train.signals import StopRequest
from twinrun.train.users_state import (
    RestoreUsers,
    pack_users,
    refuse_exchanged,
    refuse_unkept,
    restore_users,
)

_WEIGHT, _OPTIMIZER, _GRADIENT, _USERS = "weight/", "optimizer/", "gradient/", "users/"


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
    """

    epoch: int
    step: int
    history: list[list[Any]]
    ledger: Ledger
    smooth: tuple[int, Tensor] | None = None
    resumed: list[list[int]] = field(default_factory=list)


def take_checkpoint(learner: Learner, progress: Progress) -> Checkpoint:
    """The state of a learner between two steps, or between two epochs.

    Keyed randomness needs no state of a generator. What is needed: weights and buffers, the
    optimizer's averages and hyperparameters, which parameters have gradients (zero by then, but
    what is added to a zero is not what stands alone: -0.0), the place in the schedule, what fastai
    smooths the training loss with, and what the user's callbacks and modules keep.

    Raises:
        InputError: Something of the user's cannot be kept.
    """
    model = get_model(learner.model)
    tensors = {_WEIGHT + name: value for name, value in model.state_dict().items()}
    scalars: dict[str, dict[str, Any]] = {}
    states = _states(learner.opt)
    for number, (parameter, *_) in enumerate(learner.opt.all_params()):
        for name, value in states[parameter].items():
            if isinstance(value, Tensor):
                tensors[f"{_OPTIMIZER}{number}/{name}"] = value
            else:
                scalars.setdefault(str(number), {})[name] = value
    gradients = []
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            gradients.append(name)
            if bool(parameter.grad.any()):
                # A user's callback adds gradients up over several steps.
                tensors[_GRADIENT + name] = parameter.grad
    count = 0
    if progress.smooth is not None:
        count, tensors["smooth_loss"] = progress.smooth
    tensors["ledger"] = torch.frombuffer(bytearray(progress.ledger.to_bytes()), dtype=torch.uint8)
    users, kept = pack_users(learner)
    tensors |= {_USERS + name: tensor for name, tensor in kept.items()}
    facts = {
        "optimizer": scalars,
        "hyperparameters": [
            Packing().pack({k: v for k, v in group.items() if k != "params"}, "group")
            for group in _hyperparameters(learner.opt)
        ],
        "gradients": gradients,
        "schedule": {"pct_train": float(learner.pct_train), "train_iter": int(learner.train_iter)},
        "smooth_count": count,
        "users": users,
        "history": progress.history,
        "resumed": progress.resumed,
    }
    return Checkpoint(progress.epoch, progress.step, tensors, facts)


def progress_of(checkpoint: Checkpoint) -> Progress:
    """How far the training had come at a checkpoint, from which it resumes."""
    ledger = Ledger.from_bytes(_ledger_of(checkpoint))
    mean = checkpoint.tensors.get("smooth_loss")
    smooth = None if mean is None else (checkpoint.facts["smooth_count"], mean)
    epoch, step, facts = checkpoint.epoch, checkpoint.step, checkpoint.facts
    resumed = [*facts["resumed"], [epoch, step]]
    return Progress(epoch, step, facts["history"], ledger, smooth, resumed)


def restore_weights(learner: Learner, checkpoint: Checkpoint) -> None:
    """Put weights, buffers and gradients back."""
    tensors = checkpoint.tensors
    learner.model.load_state_dict(
        {k.removeprefix(_WEIGHT): v for k, v in tensors.items() if k.startswith(_WEIGHT)}
    )
    named = dict(learner.model.named_parameters())
    for name in checkpoint.facts["gradients"]:
        parameter = named[name]
        parameter.grad = torch.zeros_like(parameter)
        if _GRADIENT + name in tensors:
            parameter.grad.copy_(tensors[_GRADIENT + name])


def restore_optimizer(learner: Learner, checkpoint: Checkpoint) -> None:
    """Put the optimizer's averages back; after freezing or unfreezing, which clears them."""
    parameters = [parameter for parameter, *_ in learner.opt.all_params()]
    states = _states(learner.opt)
    for number, scalars in checkpoint.facts["optimizer"].items():
        states[parameters[int(number)]].update(scalars)
    for key, value in checkpoint.tensors.items():
        if key.startswith(_OPTIMIZER):
            number, name = key.removeprefix(_OPTIMIZER).split("/")
            parameter = parameters[int(number)]
            like = parameter if value.shape == parameter.shape else value.to(parameter.device)
            # In the parameter's order in memory, which a file does not keep.
            states[parameter][name] = torch.empty_like(like).copy_(value)


def restore_hyperparameters(learner: Learner, checkpoint: Checkpoint) -> None:
    """Put back the numbers that the optimizer goes by."""
    groups = _hyperparameters(learner.opt)
    for group, saved in zip(groups, checkpoint.facts["hyperparameters"], strict=True):
        group.update(unpack(saved, {}, group))


def restore_callbacks(learner: Learner, checkpoint: Checkpoint) -> None:
    """Put back what the user's callbacks and modules keep, as far as it is there before the fit."""
    restore_users(learner, checkpoint.facts["users"], _users(checkpoint), all_there=False)


def restoring(checkpoint: Checkpoint, first_epoch: int) -> list[OwnFit]:
    """The callbacks by which a fit goes on from a checkpoint in its middle."""
    place = (checkpoint.epoch, checkpoint.step)
    users = RestoreUsers(checkpoint.facts["users"], _users(checkpoint), place, first_epoch)
    return [Resume(checkpoint, first_epoch), users]


class Resume(OwnFit):
    """Lets fastai's loop begin where the checkpoint was made."""

    order = 65  # what fastai, its schedule and its recorder reset at a start is reset by then

    def __init__(self, checkpoint: Checkpoint, first_epoch: int) -> None:
        super().__init__(first_epoch, checkpoint.epoch)
        self.checkpoint = checkpoint

    def before_train(self) -> None:
        if self.at != self.checkpoint.epoch:
            return
        facts = self.checkpoint.facts
        self.dls.train.first_step = self.checkpoint.step
        if self.checkpoint.step:
            self.learn.pct_train = facts["schedule"]["pct_train"]
        self.learn.train_iter = facts["schedule"]["train_iter"]
        restore_hyperparameters(self.learn, self.checkpoint)

    def after_train(self) -> None:
        self.dls.train.first_step = 0


class SaveCheckpoints:
    """Writes a checkpoint at every epoch, every N seconds within one, and when asked to stop.

    Args:
        checkpoints: Where they go.
        progress: Kept up to date.
        stop: The user's request.
        seconds: Between two checkpoints within an epoch.
        ledger: ledger.parquet, written with every checkpoint; None where rank 0 writes both.
        unchanged: Raises an error where what decides bits is not as it was. Then no checkpoint is
            written, and the last one is of before.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        progress: Progress,
        stop: StopRequest,
        seconds: float,
        ledger: Path | None,
        unchanged: Callable[[], None],
    ) -> None:
        self.unchanged = unchanged
        self.checkpoints, self.progress, self.stop = checkpoints, progress, stop
        self.seconds, self.ledger = seconds, ledger
        self.written = time.monotonic()
        self.rows = len(progress.ledger)
        self.learner: Learner | None = None
        self.fixed: dict[str, Any] = {}

    def within(self, first_epoch: int, start: int) -> OwnFit:
        """The callback that does it in one fit."""
        return _Saving(self, first_epoch, start)

    def save(self) -> None:
        """Write the learner's state as the last checkpoint."""
        self.unchanged()
        refuse_exchanged(self.fixed, self.learner)
        if self.ledger is not None:
            checkpoint = take_checkpoint(self.learner, self.progress)
            self.checkpoints.save(checkpoint)
            with whole_file(self.ledger) as temporary:
                temporary.write_bytes(_ledger_of(checkpoint))
        self.written = time.monotonic()

    def end(self, *, all_ranks: bool = False) -> None:
        """Write a checkpoint of the last step that is complete, and leave the training.

        Args:
            all_ranks: All ranks are here, and wait until it is written.

        Raises:
            Stopped: Always.
        """
        # The next step's batch may have arrived.
        self.progress.ledger.cut(self.rows)
        self.save()
        if all_ranks:
            current_group().any_rank(True)
        self.stop.raise_stopped(self.progress.epoch, self.progress.step)


class _Saving(OwnFit):
    order = 3000

    def __init__(self, saver: SaveCheckpoints, first_epoch: int, start: int) -> None:
        super().__init__(first_epoch, start)
        self.saver = saver

    def before_fit(self) -> None:
        self.saver.learner = self.learn
        self.saver.fixed = refuse_unkept(self.learn) | self.saver.fixed
        progress = self.saver.progress
        if (progress.epoch, progress.step) == (self.first_epoch, 0):
            progress.smooth = None

    def before_train(self) -> None:
        # A resumed fit has begun anew, and so has fastai's mean at a `validate` of the user's.
        if self.saver.progress.smooth is not None:
            smooth = self.recorder.smooth_loss
            smooth.count, smooth.val = self.saver.progress.smooth

    def before_batch(self) -> None:
        if self.training:
            # From here to the end of the step the learner is in no state to be kept.
            self.saver.stop.in_step = True

    def after_batch(self) -> None:
        saver = self.saver
        due = bool(self.training) and time.monotonic() - saver.written >= saver.seconds
        # Should a different rank be gone, the step has not come to its end.
        stop, due = current_group().any_rank(saver.stop.due, due)
        if self.training:
            saver.stop.in_step = False
            saver.progress.step, saver.rows = self.iter + 1, len(saver.progress.ledger)
            smooth = self.recorder.smooth_loss
            saver.progress.smooth = (smooth.count, smooth.val)
            if due:
                saver.save()
                # A signal that came meanwhile is met here, not after one more step.
                (stop,) = current_group().any_rank(saver.stop.due)
        if stop:
            saver.end(all_ranks=True)

    def after_epoch(self) -> None:
        saver = self.saver
        saver.progress.epoch, saver.progress.step = self.at + 1, 0
        saver.rows = len(saver.progress.ledger)
        saver.save()
        if current_group().any_rank(saver.stop.due)[0]:
            saver.stop.raise_stopped(saver.progress.epoch, 0)


def _states(optimizer: Any) -> Any:
    """What an optimizer keeps of each parameter; torch's own keep it in themselves."""
    return optimizer.opt.state if isinstance(optimizer, OptimWrapper) else optimizer.state


def _hyperparameters(optimizer: Any) -> list[dict[str, Any]]:
    """The numbers of each group of an optimizer, as it goes by them."""
    wrapped = isinstance(optimizer, OptimWrapper)
    return list(optimizer.opt.param_groups if wrapped else optimizer.hypers)


def _ledger_of(checkpoint: Checkpoint) -> bytes:
    return checkpoint.tensors["ledger"].numpy().tobytes()


def _users(checkpoint: Checkpoint) -> dict[str, Tensor]:
    tensors = checkpoint.tensors.items()
    return {k.removeprefix(_USERS): v for k, v in tensors if k.startswith(_USERS)}
