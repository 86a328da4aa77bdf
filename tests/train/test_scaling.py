"""The scale of the loss in fp16: gradients are as without one, too large ones take no step."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fastai.callback.core import Callback, CancelStepException
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from torch import Tensor, nn

from twinrun.optimizers.table import OPTIMIZERS
from twinrun.train.averages import AverageWeights
from twinrun.train.gradients import AccumulateGradients, ClipGradients
from twinrun.train.scaling import ScaleLoss, pack_scale, restore_scale


class Listen(Callback):
    """Notes the scale after every batch, and makes one loss infinite."""

    order = 1

    def __init__(self, infinite: int = -1) -> None:
        self.infinite = infinite
        self.scales: list[float] = []
        self.weights: list[Tensor] = []

    def after_loss(self) -> None:
        if self.training and self.iter == self.infinite:
            self.learn.loss_grad = self.loss_grad * math.inf

    def after_batch(self) -> None:
        if self.training:
            self.weights.append(self.model.weight.detach().clone())
            if hasattr(self.learn, "scale_loss"):
                self.scales.append(self.learn.scale_loss.scaler.get_scale())


def trained(*callbacks: Callback, optimizer: str = "adam", infinite: int = -1) -> Listen:
    draws = torch.Generator().manual_seed(0)
    pairs = [(torch.randn(3, generator=draws), n % 2) for n in range(12)]
    loaders = DataLoaders(DataLoader(pairs, bs=2), DataLoader(pairs, bs=4))
    torch.manual_seed(0)
    listen = Listen(infinite)

    def make(groups: Any, lr: float) -> Any:
        return OPTIMIZERS.get(optimizer).make(groups, lr, 0.0)

    learner = Learner(
        loaders,
        nn.Linear(3, 2),
        nn.CrossEntropyLoss(),
        opt_func=make,
        splitter=lambda model: [list(model.parameters())],
        cbs=[*callbacks, listen],
    )
    learner.remove_cb(ProgressCallback)
    with learner.no_logging():
        learner.fit(1, lr=0.1)
    assert not hasattr(learner, "scaler")
    return listen


def same(first: Listen, second: Listen) -> bool:
    return all(map(torch.equal, first.weights, second.weights))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_steps_are_taken_with_gradients_as_they_are_without_a_scale(optimizer: str) -> None:
    # A power of two changes no bit of a float32.
    others = [AccumulateGradients(2), ClipGradients(0.1)]
    plain = trained(*others, optimizer=optimizer)
    scaled = trained(ScaleLoss("cpu"), *others, optimizer=optimizer)
    assert same(plain, scaled)
    assert set(scaled.scales) == {2.0**16}


def test_gradients_that_are_not_finite_take_no_step_and_halve_the_scale() -> None:
    found = trained(ScaleLoss("cpu"), infinite=2)
    assert found.scales == [2.0**16] * 2 + [2.0**15] * 4
    assert torch.equal(found.weights[1], found.weights[2])
    assert not torch.equal(found.weights[2], found.weights[3])


class Skip(Callback):
    """A competitor's own, which takes no step in the first batch, before anyone hears of it."""

    order = 2

    def before_step(self) -> None:
        if self.iter == 0:
            raise CancelStepException


def test_a_step_that_someone_else_skips_leaves_the_scale() -> None:
    found = trained(Skip(), ScaleLoss("cpu"))
    assert set(found.scales) == {2.0**16}
    assert not torch.equal(found.weights[0], found.weights[1])


@pytest.mark.parametrize("infinite", [0, 2])
def test_a_step_that_is_not_taken_is_none_of_the_average(infinite: int) -> None:
    average = AverageWeights(0.9)
    found = trained(ScaleLoss("cpu"), average, infinite=infinite)
    assert average.steps == len(found.weights) - 1


def learner_with(*callbacks: Callback) -> Any:
    return SimpleNamespace(cbs=list(callbacks))


def test_a_checkpoint_has_the_scale_and_how_long_it_was_right() -> None:
    first, second = ScaleLoss("cpu"), ScaleLoss("cpu")
    trained(first, infinite=2)
    state = pack_scale(learner_with(first))
    assert state is not None
    assert (state["scale"], state["_growth_tracker"]) == (2.0**15, 3)
    restore_scale(learner_with(second), state)
    assert pack_scale(learner_with(second)) == state
    assert pack_scale(learner_with()) is None
    restore_scale(learner_with(), None)
