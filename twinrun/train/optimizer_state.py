"""An optimizer in the middle of a training: what it keeps and goes by, packed and put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from twinrun.train.owners import optimizer_itself
from twinrun.train.packing import NotPlain, Packing
from twinrun.train.unpacking import nothing_there, unpack
from twinrun.train.users_state import cannot_be_kept

_STATE, _OTHER = "optimizer/", "optimizer-other/"


def pack_optimizer(optimizer: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What it keeps of each parameter and beside them, and the numbers that it goes by.

    Args:
        optimizer: The learner's, wrapped or not.

    Returns:
        Facts of a checkpoint, JSON values, and its tensors.

    Raises:
        InputError: Something cannot be kept.
    """
    packing, tensors = Packing(), dict[str, Tensor]()
    of_parameters: dict[str, list[Any]] = {}
    states = optimizer_itself(optimizer).state
    try:
        for number, (parameter, *_) in enumerate(optimizer.all_params()):
            # One memory under two names would be two after a resume.
            packing.note_memory(parameter, f"parameter {number}")
            for name, value in states[parameter].items():
                place = f"the optimizer: {name} of parameter {number}"
                if isinstance(value, Tensor) and isinstance(name, str):
                    packing.note_memory(value, place)
                    tensors[f"{_STATE}{number}/{name}"] = value
                else:
                    packed = [packing.pack(name, place), packing.pack(value, place)]
                    of_parameters.setdefault(str(number), []).append(packed)
        beside = {key: value for key, value in states.items() if not isinstance(key, Tensor)}
        facts = {
            "optimizer": of_parameters,
            "optimizer_beside": packing.pack_dictionary(beside, "the optimizer: its state of "),
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
    """Put back what it keeps; after freezing or unfreezing, which clears it."""
    other = _other(tensors)
    states = optimizer_itself(optimizer).state
    parameters = [parameter for parameter, *_ in optimizer.all_params()]
    for key in [key for key in states if not isinstance(key, Tensor)]:
        del states[key]
    for number, parameter in enumerate(parameters):
        before = dict(states[parameter])
        states[parameter].clear()
        for name, value in facts["optimizer"].get(str(number), []):
            key = unpack(name, other, nothing_there())
            states[parameter][key] = unpack(value, other, before.get(key, nothing_there()))
    for key, value in tensors.items():
        if key.startswith(_STATE):
            place, name = key.removeprefix(_STATE).split("/", 1)
            parameter = parameters[int(place)]
            like = parameter if value.shape == parameter.shape else value.to(parameter.device)
            # In the parameter's order in memory, which a file does not keep.
            empty = torch.empty_like(like, dtype=value.dtype, requires_grad=False)
            states[parameter][name] = empty.copy_(value)
    states.update(unpack(facts["optimizer_beside"], other, nothing_there()))
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


def _hyperparameters(optimizer: Any) -> list[dict[str, Any]]:
    """The numbers of each group of an optimizer, as it goes by them."""
    itself = optimizer_itself(optimizer)
    return list(itself.param_groups if itself is not optimizer else optimizer.hypers)


def _other(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(_OTHER): v for k, v in tensors.items() if k.startswith(_OTHER)}
