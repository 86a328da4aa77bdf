"""Gradients added up and cut, and the course of the rates: what they are, value for value."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.callback.schedule import sched_cos
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from torch import Tensor, nn

from twinrun.optimizers.fused_adam import FusedAdam
from twinrun.train.gradients import AccumulateGradients, ClipGradients
from twinrun.train.schedules import rates_at

BATCH, STEPS = 2, 5


class Notes(Callback):
    """Notes the gradients of every step, and the losses of every batch."""

    order = 2000

    def before_fit(self) -> None:
        self.steps: list[tuple[int, Tensor]] = []
        self.losses: list[float] = []

    def before_step(self) -> None:
        self.steps.append((self.iter, self.model.weight.grad.detach().clone()))

    def after_batch(self) -> None:
        if self.training:
            self.losses.append(float(self.learn.loss.detach()))


def trained(*callbacks: Callback, batch: int = BATCH, rate: float = 0.0) -> Notes:
    """An epoch of five batches of two images, or of others."""
    draws = torch.Generator().manual_seed(0)
    pairs = [(torch.randn(3, generator=draws), n % 2) for n in range(BATCH * STEPS)]
    loaders = DataLoaders(DataLoader(pairs, bs=batch), DataLoader(pairs, bs=4))
    torch.manual_seed(0)
    notes = Notes()
    learner = Learner(
        loaders, nn.Linear(3, 2), nn.CrossEntropyLoss(), opt_func=FusedAdam, cbs=[*callbacks, notes]
    )
    learner.remove_cb(ProgressCallback)
    with learner.no_logging():
        learner.fit(1, lr=rate)
    return notes


def test_a_step_goes_along_the_mean_gradient_of_its_batches_and_the_last_has_those_left() -> None:
    each, groups = trained(), trained(AccumulateGradients(2))
    assert [place for place, _ in groups.steps] == [1, 3, 4]
    gradients = [gradient for _, gradient in each.steps]
    expected = [sum(gradients[:2]) / 2, sum(gradients[2:4]) / 2, gradients[4]]
    for (_, found), mean in zip(groups.steps, expected, strict=True):
        torch.testing.assert_close(found, mean)
    # What is told of a batch is its own loss.
    assert groups.losses == each.losses


def test_two_batches_are_as_one_of_twice_the_size() -> None:
    small, large = trained(AccumulateGradients(2), rate=0.1), trained(batch=2 * BATCH, rate=0.1)
    for (_, found), (_, whole) in zip(small.steps[:2], large.steps[:2], strict=True):
        torch.testing.assert_close(found, whole)


def norms(notes: Notes) -> list[float]:
    return [float(gradient.norm()) for _, gradient in notes.steps]


def test_gradients_are_cut_to_the_norm_and_shorter_ones_left_as_they_are() -> None:
    plain = trained()
    most = sorted(norms(plain))[2]
    found = trained(ClipGradients(most))
    same = []
    for (_, kept), (_, own) in zip(found.steps, plain.steps, strict=True):
        # The bias has a part of the norm.
        assert float(kept.norm()) <= most
        same.append(torch.equal(kept, own))
    assert any(same)
    assert not all(same)


@pytest.mark.parametrize(
    ("warmup", "flat", "expected"),
    [
        (0.25, 0.25, {0: 0.04, 0.25: 1, 1: 1e-5}),
        (0.0, 0.0, {0: 1, 0.5: sched_cos(1, 1e-5, 0.5), 1: 1e-5}),
        (0.1, 0.75, {0: 0.04, 0.05: sched_cos(0.04, 1, 0.5), 0.1: 1, 0.74: 1, 1: 1e-5}),
    ],
)
def test_rates_go_up_stay_and_come_down(warmup: float, flat: float, expected: Any) -> None:
    rates = rates_at(2.0, warmup, flat)
    assert {place: rates(place) for place in expected} == pytest.approx(
        {place: 2 * share for place, share in expected.items()}
    )
    course = [rates(place / 100) for place in range(101)]
    highest = course.index(max(course))
    assert course[: highest + 1] == sorted(course[: highest + 1])
    assert course[highest:] == sorted(course[highest:], reverse=True)
