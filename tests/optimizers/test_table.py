"""The table of optimizers: each takes steps as it is told, decays weights alone, is told of."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import ROOT
from twinrun.optimizers.table import OPTIMIZERS, Optimizer
from twinrun.train.optimizer_state import pack_optimizer, restore_hyperparameters, restore_optimizer

EACH = pytest.mark.parametrize("entry", OPTIMIZERS, ids=lambda each: each.name)


def layers() -> nn.ModuleList:
    """Two groups: a convolution with channels last and its norm, a linear layer with its bias."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last))
    return nn.ModuleList([body.append(nn.BatchNorm2d(8)), nn.Linear(5, 4)])


def made(entry: Optimizer, model: nn.ModuleList, decay: float = 0.0) -> Any:
    optimizer = entry.make([list(each.parameters()) for each in model], 0.01, decay)
    # As fastai's learner does for batch norms and biases.
    for parameter in model.parameters():
        if parameter.dim() < 2:
            optimizer.state[parameter]["do_wd"] = False
    return optimizer


def step(optimizer: Any, model: nn.ModuleList, number: int) -> None:
    torch.manual_seed(number)
    optimizer.set_hyper("lr", [1e-3 * (number + 1), 1e-2])
    optimizer.set_hyper("mom", 0.95 - 0.02 * number)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter) if parameter.requires_grad else None
    optimizer.step()
    optimizer.zero_grad()


def weights(model: nn.ModuleList) -> list[Tensor]:
    return [each.detach().clone() for each in model.parameters()]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@EACH
def test_a_group_of_layers_has_its_own_rate_and_all_have_one_momentum(entry: Optimizer) -> None:
    optimizer = made(entry, layers())
    optimizer.set_hyper("lr", slice(1e-4, 1e-2))
    optimizer.set_hyper("mom", 0.7)
    assert len(optimizer.param_lists) == len(optimizer.hypers) == 2
    assert [each["lr"] for each in optimizer.hypers] == [1e-4, 1e-2]
    assert [each["mom"] for each in optimizer.hypers] == [0.7, 0.7]


@EACH
def test_weights_decay_and_neither_biases_nor_norms(entry: Optimizer) -> None:
    found = []
    for decay in (0.0, 0.5):
        model = layers()
        optimizer = made(entry, model, decay)
        assert {each["wd"] for each in optimizer.hypers} == {decay}
        step(optimizer, model, 1)
        found.append(weights(model))
    for without, decayed in zip(*found, strict=True):
        assert torch.equal(without, decayed) == (without.dim() < 2)


@EACH
def test_frozen_layers_stay_as_they_are(entry: Optimizer) -> None:
    model = layers()
    optimizer, before = made(entry, model, 0.1), weights(model)
    optimizer.freeze()
    optimizer.clear_state()
    step(optimizer, model, 1)
    after = weights(model)
    assert same(before[:4], after[:4])
    assert not same(before[4:], after[4:])


def steps(entry: Optimizer, stop: int, *, forget: bool = False) -> list[Tensor]:
    """The weights after six steps, of which so many are taken by an optimizer of their own."""
    model = layers()
    optimizer = made(entry, model, entry.weight_decay)
    for number in range(6):
        if number == stop:
            facts, tensors = pack_optimizer(optimizer)
            kept = {name: each.clone().contiguous() for name, each in tensors.items()}
            optimizer = made(entry, model, entry.weight_decay)
            if not forget:
                as_written = json.loads(json.dumps(facts))
                restore_optimizer(optimizer, as_written, kept)
                restore_hyperparameters(optimizer, as_written, kept)
        step(optimizer, model, number)
    return weights(model)


@EACH
def test_from_a_checkpoint_on_it_takes_the_same_steps(entry: Optimizer) -> None:
    whole = steps(entry, -1)
    assert same(whole, steps(entry, 3))
    # The control: what is not carried on shows.
    assert not same(whole, steps(entry, 3, forget=True))


def test_the_page_says_what_each_entry_says() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    section = page.split("## Optimizer")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in re.findall(r"^\| .*", section, re.MULTILINE)]
    assert rows[2:] == [
        [f'[`"{each.name}"`]({each.page})', f"`{each.weight_decay}`", each.help]
        for each in OPTIMIZERS
    ]


def test_lamb_leaves_gradients_as_long_as_they_are_and_counts_a_phase_by_itself() -> None:
    model = layers()
    optimizer = made(OPTIMIZERS.get("lamb"), model)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 100.0)
    optimizer.step()
    (first, *_) = model.parameters()
    # A tenth of the gradient, as Adam's average begins.
    assert torch.allclose(optimizer.opt.state[first]["exp_avg"], torch.full_like(first, 10.0))
    optimizer.clear_state()
    assert not any(each.get("step") for each in optimizer.opt.param_groups)
    fresh = layers()
    fresh.load_state_dict(model.state_dict())
    other = made(OPTIMIZERS.get("lamb"), fresh)
    for each, trained in ((optimizer, model), (other, fresh)):
        step(each, trained, 1)
    assert same(weights(model), weights(fresh))
