"""An optimizer in the middle of a training: what it keeps and goes by, packed and put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from fastai.optimizer import OptimWrapper
from torch import Tensor

from twinrun.errors import InputError
from twinrun.train.owners import every_optimizer, optimizer_itself
from twinrun.train.packing import NotPlain, Packing
from twinrun.train.unpacking import nothing_there, unpack
from twinrun.train.users_state import cannot_be_kept

_STATE, _OTHER = "optimizer/", "optimizer-other/"


def pack_optimizer(optimizer: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What it keeps of each parameter and beside them, and the numbers that it goes by.

    The same of optimizers that it is made around, or of.

    Args:
        optimizer: The learner's, wrapped or not.

    Returns:
        Facts of a checkpoint, JSON values, and its tensors.

    Raises:
        InputError: Something cannot be kept.
    """
    packing, tensors = Packing(), dict[str, Tensor]()
    of_parameters: dict[str, dict[str, list[Any]]] = {}
    elsewhere: dict[str, str] = {}
    beside: dict[str, Any] = {}
    parameters = [parameter for parameter, *_ in optimizer.all_params()]
    try:
        for number, parameter in enumerate(parameters):
            # One memory under two names would be two after a resume.
            packing.note_memory(parameter, f"parameter {number}")
        for label, states in _states(optimizer).items():
            kept = of_parameters[label] = {}
            for number, parameter in enumerate(parameters):
                for name, value in states.get(parameter, {}).items():
                    place = f"the {label}: {name} of parameter {number}"
                    if isinstance(value, Tensor) and isinstance(name, str):
                        packing.note_memory(value, place)
                        key = f"{_STATE}{label}/{number}/{name}"
                        tensors[key] = value
                        if value.device != parameter.device:
                            elsewhere[key] = str(value.device)
                    else:
                        packed = [packing.pack(name, place), packing.pack(value, place)]
                        kept.setdefault(str(number), []).append(packed)
            others = {key: value for key, value in states.items() if not isinstance(key, Tensor)}
            beside[label] = packing.pack_dictionary(others, f"the {label}: its state of ")
        facts = {
            "optimizer": of_parameters,
            "optimizer_beside": beside,
            "optimizer_elsewhere": elsewhere,
            "hyperparameters": [
                packing.pack_dictionary(
                    {key: value for key, value in group.items() if key != "params"},
                    f"the optimizer: of group {number} ",
                )
                for number, group in enumerate(_hyperparameters(optimizer), 1)
            ],
            "frozen_groups": int(getattr(optimizer, "frozen_idx", 0)),
        }
    except NotPlain as error:
        raise cannot_be_kept(error) from None
    return facts, tensors | {_OTHER + name: each for name, each in packing.tensors.items()}


def restore_optimizer(
    optimizer: Any, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Put back what it keeps; after freezing or unfreezing, which clears it.

    Each tensor comes back to its parameter's device, or to the one that it was on in place of that:
    torch counts steps on the CPU, where no kernel has to be waited for.

    Raises:
        InputError: One that it was made around, or of, is not there.
    """
    other = _other(tensors)
    parameters = [parameter for parameter, *_ in optimizer.all_params()]
    every = _states(optimizer)
    for label in facts["optimizer"].keys() - every.keys():
        raise InputError(
            f"a checkpoint has the state of {label}, and there is no such optimizer now",
            fix="Make it as `optimizer` is called, and let it keep a state of its own, or none.",
        )
    for label, states in every.items():
        for key in [key for key in states if not isinstance(key, Tensor)]:
            del states[key]
        kept = facts["optimizer"].get(label, {})
        for number, parameter in enumerate(parameters):
            before = dict(states.get(parameter, {}))
            if before:
                states[parameter].clear()
            for name, value in kept.get(str(number), []):
                key = unpack(name, other, nothing_there())
                states[parameter][key] = unpack(value, other, before.get(key, nothing_there()))
    for key, value in tensors.items():
        if key.startswith(_STATE):
            label, place, name = key.removeprefix(_STATE).split("/", 2)
            parameter = parameters[int(place)]
            device = facts["optimizer_elsewhere"].get(key, parameter.device)
            # In the parameter's order in memory, which a file does not keep.
            like = parameter if value.shape == parameter.shape else value
            empty = torch.empty_like(like, dtype=value.dtype, device=device, requires_grad=False)
            every[label][parameter][name] = empty.copy_(value)
    for label, beside in facts["optimizer_beside"].items():
        every[label].update(unpack(beside, other, nothing_there()))
    if hasattr(optimizer, "frozen_idx"):
        optimizer.frozen_idx = facts["frozen_groups"]


def restore_hyperparameters(
    optimizer: Any, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Put back the numbers that it goes by."""
    other = _other(tensors)
    groups = _hyperparameters(optimizer)
    for group, saved in zip(groups, facts["hyperparameters"], strict=True):
        group.update(unpack(saved, other, group))


def _states(optimizer: Any) -> dict[str, Any]:
    """What an optimizer keeps of each parameter, and each that it holds: each state once."""
    found: dict[str, Any] = {}
    for label, each in every_optimizer(optimizer_itself(optimizer)).items():
        if not isinstance(each, OptimWrapper) and all(each.state is not x for x in found.values()):
            found[label] = each.state
    return found


def _hyperparameters(optimizer: Any) -> list[dict[str, Any]]:
    """The numbers of each group of an optimizer, and of each that it holds: each group once."""
    found: dict[int, dict[str, Any]] = {}
    for each in every_optimizer(optimizer_itself(optimizer)).values():
        if isinstance(each, torch.optim.Optimizer):
            groups = each.param_groups
        else:
            groups = [] if isinstance(each, OptimWrapper) else each.hypers
        found |= {id(group): group for group in groups}
    return list(found.values())


def _other(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(_OTHER): v for k, v in tensors.items() if k.startswith(_OTHER)}
