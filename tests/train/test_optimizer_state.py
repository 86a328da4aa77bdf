"""An optimizer's state out of a checkpoint: each tensor comes back to the device that it was on."""

from __future__ import annotations

import json

import torch
from fastai.optimizer import OptimWrapper
from torch import nn

from twinrun.train.optimizer_state import pack_optimizer, restore_optimizer

# Stands for a GPU: a device that is not the CPU.
ELSEWHERE = "meta"


def made() -> tuple[nn.Parameter, torch.optim.Optimizer]:
    weight = nn.Parameter(torch.empty(2, 3, device=ELSEWHERE))
    return weight, torch.optim.Adam([weight])


def test_each_comes_back_to_the_device_that_it_was_on() -> None:
    weight, first = made()
    first.state[weight]["step"] = torch.tensor(3.0)
    facts, tensors = pack_optimizer(OptimWrapper(opt=first))
    (step,) = tensors
    assert facts["optimizer_elsewhere"] == {step: "cpu"}
    # In a file all lie on the CPU: averages too, and the steps of a fused kernel.
    beside = {"average": torch.zeros(2, 3), "fused_step": torch.tensor(3.0)}
    tensors |= {step.replace("step", name): each for name, each in beside.items()}
    weight, again = made()
    restore_optimizer(OptimWrapper(opt=again), json.loads(json.dumps(facts)), tensors)
    state = again.state[weight]
    assert (state["step"].device.type, state["step"].item()) == ("cpu", 3.0)
    for name, each in beside.items():
        assert (state[name].device.type, state[name].shape) == (ELSEWHERE, each.shape)
