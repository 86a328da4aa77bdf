"""Trainings by a competitor's own parts: the same bits by any workers, after any interruption."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch

from tests.exact import read_exact
from tests.kills.sameness import differing
from tests.kills.small import OFTEN
from tests.train.test_resume import Place, Small
from twinrun.config.recipe import Member
from twinrun.config.recipe_tables import Epochs, Validation
from twinrun.errors import InputError
from twinrun.repro.ledger import Ledger
from twinrun.train.own_parts import OwnParts

# Everything that a training may be given, and each part keeps something from step to step.
CODE = """
import random
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from fastai.callback.core import Callback
from torch import nn


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, stride=4), nn.Conv2d(8, 16, 3, stride=4)
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def layer_groups(self):
        return [self.first, self.last]

    def forward(self, images):
        if self.training:
            self.calls += 1
        return self.last(self.first(images).relu()) * (1 + 0.01 * self.calls)


class Head(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.exponent = nn.Parameter(torch.tensor(3.0))
        self.last, self.means = nn.Linear(channels, classes), []

    def forward(self, features):
        pooled = features.clamp(min=1e-3).pow(self.exponent).mean((2, 3)).pow(1 / self.exponent)
        if self.training:
            self.means = [*self.means[-2:], pooled.detach().mean()]
            pooled = pooled + 0.1 * sum(self.means)
        return self.last(F.dropout(pooled, 0.5, self.training))


class Loss(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.rand(()) + 1)

    def forward(self, logits, targets):
        return F.cross_entropy(self.scale * logits, targets, reduction="none")


class Counts(Callback):
    def __init__(self):
        self.seen = {"losses": [], "steps": np.zeros(2, np.int64)}

    def before_batch(self):
        self.learn.xb = (self.x * (1 + 0.001 * len(self.seen["losses"])),)

    def after_batch(self):
        if self.training:
            self.seen["losses"].append(self.loss.detach())
            self.seen["steps"] += 1


class Last(NamedTuple):
    epoch: int
    loss: torch.Tensor


class Changes(Callback):
    def __init__(self):
        self.last = None

    def before_fit(self):
        self.shift(0.01)

    def before_epoch(self):
        self.shift(0.02)
        self.learn.opt.set_hyper("wd", 0.01 * (1 + self.epoch))

    def before_batch(self):
        self.learn.xb = (self.x * getattr(self.learn, "brightness", 1.0),)

    def after_batch(self):
        if self.training:
            self.learn.brightness = 1 + 0.001 * self.iter
            self.last = Last(self.epoch, self.loss.detach().clone())
            self.learn.model[0].first.bias.requires_grad_(self.iter % 2 == 0)

    def after_fit(self):
        self.shift(0.1 * float(self.last.loss))

    def shift(self, by):
        with torch.no_grad():
            self.learn.model[0].first.bias.add_(by)


class Sgd(torch.optim.SGD):
    def __init__(self, groups, lr):
        super().__init__([{"params": group} for group in groups], lr=lr, momentum=0.9)
        self._steps = 0

    def step(self):
        self._steps += 1
        beside = self.state["global"]
        beside["steps"] = beside.get("steps", 0) + 1
        for group in self.param_groups:
            group["weight_decay"] += 0.001 * (self._steps + beside["steps"])
        super().step()


def cut(image):
    top, left = np.random.randint(0, image.shape[0] // 2, 2)
    image[top : top + 9, left : left + random.randint(3, 9)] = torch.randint(256, ()).item()
    return image


def noise(images, targets):
    return images + 0.1 * torch.randn_like(images) * random.random(), targets


def backbone():
    return Body()


def head(channels, classes):
    return Head(channels, classes)


def loss():
    return Loss()


def optimizer(settings):
    if settings.get("optimizer") == "ranger":
        from fastai.optimizer import ranger
        return ranger
    if settings.get("optimizer") == "lookahead":
        from timm.optim import Lookahead
        adamw = torch.optim.AdamW
        return lambda groups, lr: Lookahead(
            adamw([{"params": each} for each in groups], lr=lr), k=3
        )
    if settings.get("optimizer") == "adamw":
        return lambda groups, lr: torch.optim.AdamW([{"params": each} for each in groups], lr=lr)
    return Sgd


def item_transforms():
    return [cut]


def batch_transforms():
    return [noise]


def callbacks():
    return [Counts(), Changes()]
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small.of(tmp_path_factory.mktemp("own"), CODE)


@pytest.fixture(scope="module")
def unbroken(small: Small) -> Path:
    return small.train("unbroken", "run.ledger='tensor'")


def test_all_parts_are_in_force_and_their_weights_are_kept(small: Small, unbroken: Path) -> None:
    weights = safetensors.torch.load_file(unbroken / "weights.safetensors")
    assert {"0.first.weight", "0.last.weight", "1.exponent", "1.last.weight", "loss.scale"} <= set(
        weights
    )
    assert weights["1.exponent"] != 3.0
    rows = Ledger.from_bytes((unbroken / "ledger.parquet").read_bytes()).rows().to_pandas()
    for stage in ("init", "gradient", "update"):
        assert "loss.scale" in set(rows.loc[rows["stage"] == stage, "what"]), stage
    optimizer = rows[rows["stage"] == "optimizer"]
    assert {"weight decay", "momentum", "learning rate, layers 3/3"} <= set(optimizer["what"])
    # The loss was drawn from a key: its first weight is what a second training begins with.
    assert 0 < float(weights["loss.scale"]) < 3
    history = read_exact(unbroken / "history.csv")
    assert history["valid_loss"].between(0.1, 5).all()


@pytest.mark.parametrize(
    "place",
    [
        Place(3, "step", 2),
        pytest.param(Place(2, "end"), marks=pytest.mark.slow),
        pytest.param(Place(1, "step", 3), marks=pytest.mark.slow),
        pytest.param(Place(4, "step", 4), marks=pytest.mark.slow),
        pytest.param(Place(4, "end"), marks=pytest.mark.slow),
    ],
)
def test_interrupted_and_resumed_by_another_number_of_workers(
    small: Small, unbroken: Path, request: pytest.FixtureRequest, place: Place
) -> None:
    name = request.node.name.replace("/", "-")
    finest = "run.ledger='tensor'"
    small.interrupted(name, place, OFTEN, finest)
    assert differing(unbroken, small.train(name, finest, "run.workers=2")) == []


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["ranger", "adamw", "lookahead"])
def test_optimizers_of_others(small: Small, unbroken: Path, optimizer: str) -> None:
    change = f"hooks.optimizer={optimizer!r}"
    whole = small.train(f"whole-{optimizer}", change)
    assert "weights.safetensors" in differing(unbroken, whole)
    small.interrupted(f"broken-{optimizer}", Place(3, "step", 2), OFTEN, change)
    assert differing(whole, small.train(f"broken-{optimizer}", change)) == []


@pytest.mark.slow
def test_mixup_mixes_the_losses_of_a_competitors_own(small: Small, unbroken: Path) -> None:
    without = small.train("without mixup", "recipe.mixup=0.0")
    assert "weights.safetensors" in differing(unbroken, without)


def test_keyed_draws_leave_the_global_generators_as_they_were() -> None:
    from twinrun.repro.keys import Key

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with Key((1, "a")).set_generators():
        first = torch.rand(2)
    assert torch.equal(torch.rand(3), expected)
    with Key((1, "a")).set_generators():
        assert torch.equal(torch.rand(2), first)


def test_an_optimizer_of_the_users_beside_one_that_the_recipe_names_is_refused() -> None:
    hook = SimpleNamespace(place="hooks.py, line 3")
    settings = SimpleNamespace(hook=lambda name: hook if name == "optimizer" else None)
    member = Member(
        network="resnet18",
        batch_size=4,
        epochs=Epochs(frozen=1, unfrozen=0),
        validation=Validation(share=0.5),
        optimizer="sgd",
        weight_decay=0.1,
    )
    with pytest.raises(InputError) as refused:
        OwnParts(settings, member, "a").optimizer()  # type: ignore[arg-type]
    assert refused.value.what == (
        "hooks.py, line 3: `optimizer` makes the optimizer of a, whose recipe sets optimizer and "
        "weight_decay too"
    )
