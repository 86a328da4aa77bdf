"""The fused optimizer is fastai's Adam, and its bits depend on no number of threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from fastai.optimizer import Adam
from torch import Tensor, nn

from twinrun.optimizers.fused_adam import FusedAdam


def layers() -> nn.ModuleList:
    """Two groups: a convolution with channels last, a linear layer with its bias."""
    torch.manual_seed(0)
    group = nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)
    return nn.ModuleList([group, nn.Linear(5, 4)])


def trained(make: Callable[..., Any], steps: int = 6, **changes: Any) -> list[Tensor]:
    """The parameters after steps with a schedule of their own."""
    model = layers()
    optimizer = make([list(layer.parameters()) for layer in model], lr=0.01)
    for layer in model:
        # As fastai's learner does for batch norms and biases.
        optimizer.state[layer.bias]["do_wd"] = False
    if changes.get("freeze"):
        optimizer.freeze()
    torch.manual_seed(1)
    for step in range(steps):
        optimizer.set_hyper("lr", [1e-3 * (step + 1), 1e-2 / (step + 1)])
        optimizer.set_hyper("mom", 0.95 - 0.02 * step)
        for layer in model:
            for parameter in layer.parameters():
                if parameter.requires_grad:
                    parameter.grad = torch.randn_like(parameter)
        optimizer.step()
        optimizer.zero_grad()
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize("freeze", [False, True])
def test_the_update_is_fastais(freeze: bool) -> None:
    ours, theirs = trained(FusedAdam, freeze=freeze), trained(Adam, freeze=freeze)
    start = list(layers().parameters())
    for one, other, before in zip(ours, theirs, start, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
        assert torch.equal(one, before) == torch.equal(other, before)
    assert not torch.equal(ours[-1], start[-1])


def test_biases_are_not_decayed() -> None:
    model = nn.Linear(3, 3)
    optimizer = FusedAdam([list(model.parameters())], lr=0.1)
    optimizer.set_hyper("wd", 0.5)
    optimizer.state[model.bias]["do_wd"] = False
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert torch.equal(model.bias, before[1])
    torch.testing.assert_close(model.weight.detach(), before[0] * 0.95)


def test_after_a_step_there_is_no_gradient_left() -> None:
    model = nn.Linear(2, 2)
    optimizer = FusedAdam([list(model.parameters())], lr=0.1)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    before = torch.get_num_threads()
    found = []
    for count in (1, threads):
        torch.set_num_threads(count)
        try:
            model = torch.zeros(300_001, requires_grad=True)
            optimizer = FusedAdam([[model]], lr=0.01)
            for step in range(3):
                generator = torch.Generator().manual_seed(step)
                model.grad = torch.randn(300_001, generator=generator)
                optimizer.step()
            found.append(model.detach().clone())
        finally:
            torch.set_num_threads(before)
    assert torch.equal(*found)


def test_what_was_learnt_is_forgotten_when_the_state_is_cleared() -> None:
    # fastai's fit_one_cycle clears it between phases, all but what makes a parameter special.
    model = nn.Linear(2, 2)
    optimizer = FusedAdam([list(model.parameters())], lr=0.1)
    optimizer.state[model.bias]["do_wd"] = False
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert set(optimizer.state[model.weight]) == {"grad_avg", "sqr_avg", "step"}
    optimizer.clear_state()
    assert optimizer.state[model.bias] == {"do_wd": False}
    assert optimizer.state[model.weight] == {}
