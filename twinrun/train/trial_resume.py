"""A training on a few images, interrupted: the one that goes on has to end with the same bits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import torch
import xxhash
from fastai.learner import Learner
from torch import Tensor

from twinrun.config.recipe import Member
from twinrun.errors import InputError
from twinrun.hooks.own_code import FILE
from twinrun.repro.ledger import Ledger
from twinrun.train.callbacks import OwnFit
from twinrun.train.checkpoints import Checkpoint
from twinrun.train.fit import Phase, fit_phases
from twinrun.train.network import LOSS
from twinrun.train.owners import loss_object, users_callbacks
from twinrun.train.recorder import Recorder
from twinrun.train.resume import Progress, take_checkpoint

# Complete epochs and steps where the second training goes on: in the second phase, within an epoch.
_PLACE = (1, 1)
# After all of it.
_END = (2, 1)
_SHOWN = 6


def train_and_resume(learner: Learner, make: Callable[[], Learner], member: Member) -> None:
    """Train a learner, and another from a checkpoint of the first on; their ends are compared.

    Args:
        learner: From `make`.
        make: Makes a learner, untrained.
        member: The recipe: an epoch of two steps in each phase.

    Raises:
        InputError: Something cannot be kept, stands in no checkpoint, or is shared by trainings.
    """
    first = _train(learner, member)
    second = make()
    _refuse_shared(learner, second)
    checkpoint = first.kept[_PLACE]
    again = _train(second, member, checkpoint)
    place, lost = next(
        ((at, lost) for at in again.bits if (lost := _differing(first.bits[at], again.bits[at]))),
        (None, []),
    )
    if place is not None:
        raise InputError(
            f"{FILE}: a training on drawn images that was interrupted, and went on from its "
            "checkpoint, is not the one that never was. First these differ:",
            details=lost[:_SHOWN],
            fix=(
                "Something that your code keeps stands in no checkpoint. Keep it in an attribute "
                "of the callback, module, loss or optimizer itself, or give the class state_dict() "
                "and load_state_dict(state).",
            ),
        )


def _train(learner: Learner, member: Member, checkpoint: Checkpoint | None = None) -> _Keep:
    keep = _Keep()

    def own(phase: Phase, start: int) -> list[OwnFit]:
        return [_AfterEachStep(keep, phase.first_epoch, start)]

    fit_phases(learner, member, Recorder(Ledger({}), "epoch"), checkpoint, own)
    # What is done in `after_fit` counts too.
    keep.take(learner, _END)
    return keep


def _refuse_shared(first: Learner, second: Learner) -> None:
    """Check that two trainings have no object in common that keeps something."""
    found = {
        "callbacks": [users_callbacks(each) for each in (first, second)],
        "backbone": [_kept_by(each.model[0]) for each in (first, second)],
        "head": [_kept_by(each.model[1]) for each in (first, second)],
        "loss": [_losses(each) for each in (first, second)],
        "optimizer": [[each.opt] for each in (first, second) if each.opt is not None],
    }
    for name, (one, *others) in found.items():
        shared = {id(each) for each in one} & {id(each) for other in others for each in other}
        if shared:
            kind = next(type(each).__name__ for each in one if id(each) in shared)
            raise InputError(
                f"{FILE}: `{name}` gives the same {kind} at each call, so that a training would "
                "begin with what another one has left in it",
                fix=f"Make it within `{name}`, a new one at each call.",
            )


def _losses(learner: Learner) -> list[Any]:
    if LOSS in learner.model._modules:
        return _kept_by(learner.model._modules[LOSS])
    loss = loss_object(learner)
    return [loss] if getattr(loss, "__dict__", None) else []


def _kept_by(module: Any) -> list[Any]:
    """The parameters and buffers of a module."""
    return [*module.parameters(), *module.buffers()]


class _Keep:
    """What is kept of checkpoints by their places: one of them whole, of all the bits by name."""

    def __init__(self) -> None:
        self.kept: dict[tuple[int, int], Checkpoint] = {}
        self.bits: dict[tuple[int, int], dict[str, str]] = {}

    def take(self, learner: Learner, place: tuple[int, int]) -> None:
        """Keep the checkpoint of a place."""
        found = take_checkpoint(learner, Progress(*place, [], Ledger({})))
        self.bits[place] = dict(_bits(found))
        if place == _PLACE:
            # As a file would have it.
            facts = json.loads(json.dumps(found.facts))
            tensors = {
                name: tensor.detach().cpu().clone().contiguous()
                for name, tensor in found.tensors.items()
            }
            self.kept[place] = Checkpoint(*place, tensors, facts)


class _AfterEachStep(OwnFit):
    order = 3000

    def __init__(self, keep: _Keep, first_epoch: int, start: int) -> None:
        super().__init__(first_epoch, start)
        self.keep = keep

    def after_batch(self) -> None:
        if self.training:
            self.keep.take(self.learn, (self.at, self.iter + 1))

    def after_epoch(self) -> None:
        self.keep.take(self.learn, (self.at + 1, 0))


def _bits(checkpoint: Checkpoint) -> Iterator[tuple[str, str]]:
    """(name, bits) of all that a checkpoint holds: of the user's objects attribute by attribute."""
    tensors = {name: _digest(tensor) for name, tensor in checkpoint.tensors.items()}
    users = {k.removeprefix("users/"): v for k, v in tensors.items() if k.startswith("users/")}
    for label, code in checkpoint.facts["users"]:
        pairs = code[1] if isinstance(code, list) and code[0] == "dict" else [["", code]]
        for name, value in pairs:
            yield f"{label}: {name}", json.dumps(_with_digests(value, users))
    for name, value in checkpoint.facts.items():
        if name != "users":
            yield name, json.dumps(value)
    for name, digest in tensors.items():
        if not name.startswith("users/") and name != "ledger":
            yield name, digest


def _with_digests(code: Any, digests: dict[str, str]) -> Any:
    """Packed values, with digests in the place of the numbers of their tensors."""
    if not isinstance(code, list):
        return code
    if code[:1] in (["tensor"], ["array"]):
        return [code[0], digests[code[1]], *code[2:]]
    return [_with_digests(each, digests) for each in code]


def _digest(tensor: Tensor) -> str:
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    return f"{tensor.dtype} {xxhash.xxh3_128_hexdigest(plain.view(torch.uint8).numpy().tobytes())}"


def _differing(first: dict[str, str], second: dict[str, str]) -> list[str]:
    names = [*first, *(name for name in second if name not in first)]
    return [name for name in names if first.get(name) != second.get(name)]
