"""A learner's state in the middle of a training: taken down, and put back to the same bits."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fastai.learner import Learner
from torch import Tensor

from competition.determinism.ledger import Ledger
from competition.terminal import say
from competition.training.callbacks import OwnFit
from competition.training.checkpoints import Checkpoint, Checkpoints
from competition.training.stopping import StopRequest

_WEIGHT, _OPTIMIZER, _GRADIENT = "weight/", "optimizer/", "gradient/"


@dataclass
class Progress:
    """How far a training has come, beside the learner.

    Attributes:
        epoch: Epochs that are complete.
        step: Steps that are complete in the epoch after them.
        history: The rows of history.csv.
        ledger: What was written down so far.
    """

    epoch: int
    step: int
    history: list[list[Any]]
    ledger: Ledger


def capture(learner: Learner, progress: Progress) -> Checkpoint:
    """The state of a learner between two steps, or between two epochs.

    Keyed randomness needs no state of a generator. What is needed: weights and buffers, the
    optimizer's averages and hyperparameters, which parameters have gradients (zero by then, but
    what is added to a zero is not what stands alone: -0.0), the place in the schedule, and what
    fastai smooths the training loss with.
    """
    tensors = {_WEIGHT + name: value for name, value in learner.model.state_dict().items()}
    scalars: dict[str, dict[str, Any]] = {}
    for number, (_, _, state, _) in enumerate(learner.opt.all_params()):
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"{_OPTIMIZER}{number}/{name}"] = value
            else:
                scalars.setdefault(str(number), {})[name] = value
    gradients = []
    for name, parameter in learner.model.named_parameters():
        if parameter.grad is not None:
            gradients.append(name)
            if bool(parameter.grad.any()):
                # A user's callback adds gradients up over several steps.
                tensors[_GRADIENT + name] = parameter.grad
    smooth = learner.recorder.smooth_loss
    tensors["smooth_loss"] = smooth.val.detach().clone()
    tensors["ledger"] = torch.frombuffer(bytearray(progress.ledger.to_bytes()), dtype=torch.uint8)
    facts = {
        "optimizer": scalars,
        "hyperparameters": [{k: _plain(v) for k, v in h.items()} for h in learner.opt.hypers],
        "gradients": gradients,
        "schedule": {"pct_train": float(learner.pct_train), "train_iter": int(learner.train_iter)},
        "smooth_count": smooth.count,
        "history": progress.history,
    }
    return Checkpoint(progress.epoch, progress.step, tensors, facts)


def progress_of(checkpoint: Checkpoint) -> Progress:
    """How far the training had come at a checkpoint."""
    ledger = Ledger.from_bytes(checkpoint.tensors["ledger"].numpy().tobytes())
    return Progress(checkpoint.epoch, checkpoint.step, checkpoint.facts["history"], ledger)


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
    for number, scalars in checkpoint.facts["optimizer"].items():
        learner.opt.state[parameters[int(number)]].update(scalars)
    for key, value in checkpoint.tensors.items():
        if key.startswith(_OPTIMIZER):
            number, name = key.removeprefix(_OPTIMIZER).split("/")
            parameter = parameters[int(number)]
            learner.opt.state[parameter][name] = value.to(parameter.device)


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
        for hypers, saved in zip(self.opt.hypers, facts["hyperparameters"], strict=True):
            hypers.update(saved)
        smooth = self.recorder.smooth_loss
        smooth.count, smooth.val = facts["smooth_count"], self.checkpoint.tensors["smooth_loss"]

    def after_train(self) -> None:
        self.dls.train.first_step = 0


class SaveCheckpoints:
    """Writes a checkpoint at every epoch, every N seconds within one, and when asked to stop.

    Args:
        checkpoints: Where they go.
        progress: Kept up to date.
        stop: The user's request.
        seconds: Between two checkpoints within an epoch.
        ledger: ledger.parquet, written with every checkpoint.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        progress: Progress,
        stop: StopRequest,
        seconds: float,
        ledger: Path,
    ) -> None:
        self.checkpoints, self.progress, self.stop = checkpoints, progress, stop
        self.seconds, self.ledger = seconds, ledger
        self.written = time.monotonic()
        self.learner: Learner | None = None

    def within(self, first_epoch: int, start: int) -> OwnFit:
        """The callback that does it in one fit."""
        return _Saving(self, first_epoch, start)

    def save(self) -> None:
        """Write the learner's state as the last checkpoint."""
        self.checkpoints.save(capture(self.learner, self.progress))
        self.progress.ledger.write(self.ledger)
        self.written = time.monotonic()

    def end(self) -> None:
        """Write a checkpoint and leave the training.

        Raises:
            Stopped: Always.
        """
        self.save()
        self.stop.raise_stopped(self.progress.epoch, self.progress.step)


class _Saving(OwnFit):
    order = 3000

    def __init__(self, saver: SaveCheckpoints, first_epoch: int, start: int) -> None:
        super().__init__(first_epoch, start)
        self.saver = saver

    def before_fit(self) -> None:
        self.saver.learner = self.learn

    def before_batch(self) -> None:
        if self.training:
            # From here to the end of the step the learner is in no state to be kept.
            self.saver.stop.in_step = True

    def after_batch(self) -> None:
        saver = self.saver
        if self.training:
            saver.stop.in_step = False
            saver.progress.step = self.iter + 1
            if time.monotonic() - saver.written >= saver.seconds:
                saver.save()
        if saver.stop.asked:
            saver.end()

    def after_epoch(self) -> None:
        saver = self.saver
        saver.progress.epoch, saver.progress.step = self.at + 1, 0
        saver.save()
        if saver.stop.asked:
            saver.stop.raise_stopped(saver.progress.epoch, 0)


def say_resumed(name: str, checkpoint: Checkpoint, epochs: int, steps: int) -> None:
    """Tell where a training goes on."""
    place = f"after epoch {checkpoint.epoch} of {epochs}"
    if checkpoint.step:
        place = (
            f"in epoch {checkpoint.epoch + 1} of {epochs}, after step {checkpoint.step} of {steps}"
        )
    say(f"[bold]{name}[/] goes on from its checkpoint: {place}")


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, float) else value
