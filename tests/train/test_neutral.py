"""At the value that a setting of a recipe declares as neutral, it does nothing."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.optimizer import Adam
from torch.nn.functional import cross_entropy, mse_loss

from tests.train.recipes import recipe
from twinrun.config.recipe import Member
from twinrun.data.tta import tta_views
from twinrun.networks.beginning import first_file
from twinrun.neutral import Neutral
from twinrun.optimizers.fused_adam import FusedAdam
from twinrun.repro.keys import Key
from twinrun.train.averages import averages_of
from twinrun.train.best_epoch import is_over
from twinrun.train.gradients import AccumulateGradients, ClipGradients
from twinrun.train.learner import build_learner
from twinrun.train.losses import class_weights, training_loss
from twinrun.train.mixing import MixImages
from twinrun.train.schedules import fit_scheduled
from twinrun.transforms.table import TRANSFORMS

NEUTRAL = {
    name: each.value
    for name, field in Member.known_keys().items()
    for each in field.metadata
    if isinstance(each, Neutral) and name not in TRANSFORMS  # those: tests/data/test_augment.py
}
# A value of each that does something: the control.
DOING = {
    "mixup": 0.4,
    "mixup_probability": 0.5,
    "cutmix_probability": 0.5,
    "dropout": 0.5,
    "class_weights": "balanced",
    "label_smoothing": 0.1,
    "take": {"epoch": "best", "patience": 1},
    "begin": {"sha256": "0" * 64},
    "sizes": {"2": 32},
    "ema": {"use": "ema", "decay": 0.9},
    "clip": 1.0,
    "accumulate": 2,
    "gradient_checkpointing": True,
    "schedule": "cosine",
    "warmup": 0.1,
    "optimizer": "sgd",
    "weight_decay": 0.2,
    "loss": {"method": "focal"},
    "sample": {"method": "balanced"},
    "test_time": {"method": "train", "times": 7, "mean": "geometric"},
}


def mixes(member: Member) -> bool:
    nothing = SimpleNamespace(device=torch.device("cpu"))
    loaders = DataLoaders(nothing, nothing, device=torch.device("cpu"))
    learner = build_learner(member, loaders, classes=3, key=Key((0, "a")))
    return any(isinstance(callback, MixImages) for callback in learner.cbs)


def leaves_some_unmixed(member: Member) -> bool:
    return MixImages(member).mix < 1


def cuts(member: Member) -> bool:
    return mixes(member.model_copy(update={"mixup": 0.0}))


def drops(member: Member) -> bool:
    nothing = SimpleNamespace(device=torch.device("cpu"))
    loaders = DataLoaders(nothing, nothing, device=torch.device("cpu"))
    learner = build_learner(member, loaders, classes=3, key=Key((0, "a")))
    layers = [layer for layer in learner.model.modules() if isinstance(layer, torch.nn.Dropout)]
    ones = torch.ones(1000)
    return any(not torch.equal(layer.train()(ones), ones) for layer in layers)


def weighs(member: Member) -> bool:
    return class_weights(member, {"rust": 30, "healthy": 10}) is not None


def smooths(member: Member) -> bool:
    logits, labels = torch.randn(8, 2), torch.randint(2, (8,))
    return not torch.equal(
        training_loss(member, None)(logits, labels), cross_entropy(logits, labels)
    )


def steps_otherwise(member: Member) -> bool:
    """Whether its optimizer is not what fastai's learner would have by default."""
    loaders = DataLoaders(*[SimpleNamespace(device=torch.device("cpu"))] * 2, device="cpu")
    learner = build_learner(member, loaders, classes=3, key=Key((0, "a")))
    learner.create_opt()
    theirs = {k: v for k, v in Adam([[torch.zeros(1)]], lr=0.1).hypers[0].items() if k != "lr"}
    mine = learner.opt.hypers[0].items()
    return not (isinstance(learner.opt, FusedAdam) and theirs.items() <= mine)


def has(member: Member, kind: type[Callback]) -> bool:
    loaders = DataLoaders(*[SimpleNamespace(device=torch.device("cpu"))] * 2, device="cpu")
    learner = build_learner(member, loaders, classes=3, key=Key((0, "a")))
    return any(isinstance(each, kind) for each in learner.cbs)


def clips(member: Member) -> bool:
    return has(member, ClipGradients)


def accumulates(member: Member) -> bool:
    return has(member, AccumulateGradients)


def goes_by_another_schedule(member: Member) -> bool:
    """Whether the rates are others than those of fastai's one-cycle by default."""
    found = []
    for fit in (
        lambda learner: fit_scheduled(
            learner, member, 2, [0.01, 0.1], start_epoch=0, callbacks=[Note()]
        ),
        lambda learner: learner.fit_one_cycle(2, slice(0.01, 0.1), cbs=[Note()]),
    ):
        pairs = [(torch.ones(1), torch.ones(1))] * 8
        loaders = DataLoaders(DataLoader(pairs, bs=2), DataLoader(pairs, bs=4))
        model = torch.nn.Linear(1, 1)
        learner = Learner(
            loaders, model, loss_func=mse_loss, splitter=lambda m: [[m.weight], [m.bias]]
        )
        learner.create_opt()
        learner.remove_cb(ProgressCallback)
        with learner.no_logging():
            fit(learner)
        found.append(learner.noted)
    assert len(found[0]) == 8
    return bool(found[0] != found[1])


class Note(Callback):
    """Notes the numbers of every step at the learner."""

    def before_fit(self) -> None:
        self.learn.noted = []

    def before_step(self) -> None:
        self.learn.noted.append([dict(each) for each in self.opt.hypers])


def computes_again(member: Member) -> bool:
    loaders = DataLoaders(*[SimpleNamespace(device=torch.device("cpu"))] * 2, device="cpu")
    network = {"network": "timm/test_resnet"}
    learner = build_learner(
        member.model_copy(update=network), loaders, classes=3, key=Key((0, "a"))
    )
    return bool(learner.model[0].model.grad_checkpointing)


def averages(member: Member) -> bool:
    nothing = SimpleNamespace(device=torch.device("cpu"))
    loaders = DataLoaders(nothing, nothing, device=torch.device("cpu"))
    return averages_of(build_learner(member, loaders, classes=3, key=Key((0, "a")))) is not None


def draws_again(member: Member) -> bool:
    return member.sample.power is not None


def looks_again(member: Member) -> bool:
    return bool(tta_views(member))


def chooses(member: Member) -> bool:
    rows = [
        [n, "", 0.0, loss, 0.5, 0.5, 0.0, 0.0, {}] for n, loss in ((1, 0.5), (2, 0.4), (3, 0.6))
    ]
    return is_over(member, rows)


def begins(member: Member) -> bool:
    first = first_file(member.network, member.begin.sha256, pretrained=member.pretrained)
    return first is not None


CHECKS: dict[str, Callable[[Member], bool]] = {
    "mixup": mixes,
    "mixup_probability": leaves_some_unmixed,
    "cutmix_probability": cuts,
    "dropout": drops,
    "class_weights": weighs,
    "label_smoothing": smooths,
    "take": chooses,
    "begin": begins,
    "sizes": lambda member: member.size_at(1) != member.image_size,
    "ema": averages,
    "clip": clips,
    "accumulate": accumulates,
    "gradient_checkpointing": computes_again,
    "schedule": goes_by_another_schedule,
    "warmup": goes_by_another_schedule,
    "optimizer": steps_otherwise,
    "weight_decay": steps_otherwise,
    "loss": smooths,
    "sample": draws_again,
    "test_time": looks_again,
}


@pytest.mark.parametrize("name", NEUTRAL)
def test_a_setting_at_its_neutral_value_does_nothing(name: str) -> None:
    does_something = CHECKS[name]
    member = recipe(pretrained=False, image_size=64).model_dump()
    for value, expected in ((NEUTRAL[name], False), (DOING[name], True)):
        assert does_something(Member.model_validate(member | {name: value})) is expected


def test_of_a_neutral_table_the_other_settings_do_nothing() -> None:
    assert tta_views(recipe(test_time=NEUTRAL["test_time"] | {"times": 7})) == []
    assert not averages(recipe(pretrained=False, ema=NEUTRAL["ema"] | {"decay": 0.5}))


def test_every_setting_that_declares_one_is_tried() -> None:
    assert NEUTRAL.keys() == CHECKS.keys() == DOING.keys()
