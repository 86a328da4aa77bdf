"""The average of the weights: what it is made of, that it is keyed, and that it is carried on."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from twinrun.repro.keys import Key
from twinrun.train import averages
from twinrun.train.averages import AverageWeights, averages_of, estimate_norms
from twinrun.train.callbacks import KeyedSteps


class Small(nn.Module):
    """Two logits, by a convolution whose weights lie channels last."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 5, 3).to(memory_format=torch.channels_last)
        self.norm = nn.BatchNorm2d(5)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(5, 2).to(dtype)
        self.count = nn.Parameter(torch.tensor(3), requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        features = self.drop(self.norm(self.body(images.as_subclass(Tensor)))).mean((2, 3))
        logits: Tensor = self.head(features.to(self.head.weight.dtype)).float()
        return logits


class Weights(AverageWeights):
    """Notes the weights after every step."""

    __module__ = "twinrun.tests"  # none of the user's, which a checkpoint would keep as such

    def __init__(self, decay: float) -> None:
        super().__init__(decay)
        self.seen: list[dict[str, Tensor]] = []

    def after_step(self) -> None:
        super().after_step()
        named = self.learn.model.named_parameters()
        self.seen.append({name: each.detach().clone() for name, each in named})


def made(decay: float = 0.6, dtype: torch.dtype = torch.float32) -> Learner:
    torch.manual_seed(0)
    images = torch.randn(8, 3, 6, 6)
    pairs = [(image, number % 2) for number, image in enumerate(images)]
    loaders = DataLoaders(DataLoader(pairs, bs=2), DataLoader(pairs, bs=4))
    learner = Learner(
        loaders,
        Small(dtype),
        loss_func=nn.CrossEntropyLoss(),
        cbs=[KeyedSteps(Key((0, "a"))), Weights(decay)],
    )
    learner.remove_cb(ProgressCallback)
    return learner


def trained(epochs: int = 3, **options: Any) -> tuple[Learner, Weights]:
    learner = made(**options)
    with learner.no_logging():
        learner.fit(epochs, lr=0.1)
    return learner, learner.weights


def test_it_is_the_mean_that_the_page_tells_of_and_the_first_weights_are_no_part_of_it() -> None:
    _, average = trained()
    assert average.steps == len(average.seen) == 12
    for name, found in average.averages.items():
        expected = average.seen[0][name].double()
        for step, weights in enumerate(average.seen[1:], 1):
            decay = min(0.6, step / (step + 9))
            expected = decay * expected + (1 - decay) * weights[name].double()
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
        assert not torch.equal(found, average.seen[-1][name])
    assert "count" not in average.averages


def test_narrow_weights_have_an_average_in_float32() -> None:
    learner, average = trained(dtype=torch.bfloat16)
    assert {each.dtype for each in average.averages.values()} == {torch.float32}
    average.put_in_place()
    assert learner.model.head.weight.dtype == torch.bfloat16


def test_put_in_place_it_is_the_networks_weights_to_the_bit() -> None:
    learner, average = trained()
    average.put_in_place()
    for name, each in learner.model.named_parameters():
        assert torch.equal(each, average.averages.get(name, each))


def averaged(stop: int, *, forget: bool = False) -> dict[str, Tensor]:
    """The average after twelve steps; after so many of them another one goes on with it."""
    model, average = Small(), AverageWeights(0.99)
    for step in range(12):
        if step == stop:
            # As a file would have it, without the order in memory.
            kept = {name: each.clone().contiguous() for name, each in average.averages.items()}
            steps, average = average.steps, AverageWeights(0.99)
            average.learn = SimpleNamespace(model=model, cbs=[])
            average.restore(0 if forget else steps, kept)
        average.learn = SimpleNamespace(model=model, cbs=[])
        draws = torch.Generator().manual_seed(step)
        for each in model.parameters():
            if each.is_floating_point():
                each.data.copy_(torch.randn(each.shape, generator=draws))
        average.after_step()
    return average.averages


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_from_a_checkpoint_on_it_has_the_same_bits_and_lies_in_memory_as_before() -> None:
    whole, resumed = averaged(-1), averaged(5)
    assert same(whole, resumed)
    assert all(whole[name].stride() == each.stride() for name, each in resumed.items())
    # The control: what is not carried on shows.
    assert not same(whole, averaged(5, forget=True))


def test_without_one_there_is_none() -> None:
    learner = made()
    learner.remove_cb(Weights)
    assert averages_of(learner) is None


@pytest.fixture
def learner() -> Learner:
    """A learner whose loader draws its images, as a keyed one does."""
    torch.manual_seed(0)

    class Loader:
        epoch = 0

        def new(self, ranks: Any) -> Loader:
            return Loader()

        def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
            for step in range(3):
                draws = torch.Generator().manual_seed(100 * self.epoch + step)
                yield torch.randn(4, 3, 6, 6, generator=draws), torch.zeros(4)

    return SimpleNamespace(
        model=Small(),
        dls=SimpleNamespace(train=Loader()),
        keyed_steps=SimpleNamespace(key=Key((0, "a"))),
    )


def statistics(model: Small) -> list[Tensor]:
    return [each.clone() for each in model.norm.buffers()]


def test_norms_are_estimated_of_the_training_images_alone(learner: Learner) -> None:
    estimate_norms(learner, 5)
    found = statistics(learner.model)
    batches = []
    loader = learner.dls.train.new(None)
    loader.epoch = 5
    for images, _ in loader:
        batches.append(learner.model.body(images).detach())
    means = torch.stack([each.mean((0, 2, 3)) for each in batches]).mean(0)
    torch.testing.assert_close(found[0], means)
    assert int(found[2]) == 3
    # Whatever was drawn, and trained, before.
    torch.rand(7)
    learner.model.train()(torch.randn(4, 3, 6, 6))
    estimate_norms(learner, 5)
    assert all(map(torch.equal, found, statistics(learner.model)))
    assert learner.dls.train.epoch == 0
    # The control: of other images they are others.
    estimate_norms(learner, 6)
    assert not torch.equal(found[0], statistics(learner.model)[0])


def test_dropout_draws_from_a_key_where_norms_are_estimated(
    learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws: list[list[float]] = [[], []]
    for seen in draws:
        torch.rand(3)

        def noting(batches: Any, model: nn.Module, seen: list[float] = seen) -> None:
            def drawn() -> Iterator[Tensor]:
                for images in batches:
                    state = torch.get_rng_state()
                    seen.append(float(torch.rand(1)))
                    torch.set_rng_state(state)
                    yield images

            update_bn(drawn(), model)

        monkeypatch.setattr(averages, "update_bn", noting)
        estimate_norms(learner, 5)
    assert draws[0] == draws[1]
    assert len(set(draws[0])) == 3
