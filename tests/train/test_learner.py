"""Every network of the settings becomes a learner whose pooling is fastai's, value for value."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchvision
from fastai.data.core import DataLoaders
from fastai.layers import AdaptiveConcatPool2d, Flatten
from fastai.learner import Learner
from fastai.vision.learner import create_body, create_head, model_meta
from torch import nn

from twinrun.config.recipe import Member
from twinrun.config.recipe_tables import Epochs, Validation
from twinrun.networks.torchvision_family import TorchvisionFamily
from twinrun.repro.keys import Key
from twinrun.train.learner import build_learner
from twinrun.train.network import ConcatPool


def member(network: str = "resnet18", **values: Any) -> Member:
    return Member(
        network=network,
        batch_size=4,
        epochs=Epochs(frozen=1, unfrozen=0),
        validation=Validation(share=0.5),
        **{"pretrained": False, "image_size": 64, **values},
    )


@pytest.fixture(scope="module")
def loaders() -> DataLoaders:
    """Loaders that a learner is built on and that are never asked for a batch."""
    nothing = SimpleNamespace(device=torch.device("cpu"))
    return DataLoaders(nothing, nothing, device=torch.device("cpu"))


def build(loaders: DataLoaders, recipe: Member, *, key: Key = Key((0, "a"))) -> Learner:  # noqa: B008
    return build_learner(recipe, loaders, classes=3, key=key)


def test_the_pooling_has_fastais_values_and_a_gradient_for_one_maximum() -> None:
    features = torch.randn(2, 5, 3, 4)
    features[0, 0] = 1.0  # a tie: the whole gradient goes to one place
    ours = features.clone().requires_grad_()
    pooled = ConcatPool()(ours)
    theirs = Flatten()(AdaptiveConcatPool2d(1)(features))
    assert torch.equal(pooled[:, :5], theirs[:, :5])
    torch.testing.assert_close(pooled[:, 5:], theirs[:, 5:])
    pooled[0, 0].backward()
    assert ours.grad is not None
    assert torch.count_nonzero(ours.grad[0, 0]) == 1


def test_no_adaptive_maximum_is_left_in_a_learner(loaders: DataLoaders) -> None:
    learner = build(loaders, member())
    assert not any("AdaptiveMax" in type(m).__name__ for m in learner.model.modules())
    head = [type(layer).__name__ for layer in learner.model[1]]
    assert head[0] == "ConcatPool"
    assert [layer.p for layer in learner.model[1] if isinstance(layer, nn.Dropout)] == [0.25, 0.5]
    theirs = create_head(512, 3, ps=0.5)
    assert [str(layer) for layer in theirs[2:]] == [str(layer) for layer in learner.model[1][2:]]
    assert [layer.out_features for layer in learner.model[1] if isinstance(layer, nn.Linear)] == [
        512,
        3,
    ]


# One of each kind of block, and the deeper ones, which are built of the same.
KINDS = ("resnet18", "resnet50", "densenet121")


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(network, marks=[] if network in KINDS else pytest.mark.slow)
        for network in TorchvisionFamily.forms
    ],
)
def test_every_network_of_the_settings_trains_a_step(network: str, loaders: DataLoaders) -> None:
    learner = build(loaders, member(network))
    logits = learner.model(torch.randn(2, 3, 32, 32))
    assert logits.shape == (2, 3)
    logits.sum().backward()
    groups = learner.splitter(learner.model)
    assert len(groups) == 3
    assert all(len(group) for group in groups)
    # fastai's own, which knows these networks, cuts and splits at the same places.
    meta = model_meta[getattr(torchvision.models, network)]
    theirs = meta["split"](learner.model)
    assert [[id(each) for each in group] for group in groups] == [
        [id(each) for each in group] for group in theirs
    ]
    whole = getattr(torchvision.models, network)(weights=None)
    assert list(create_body(whole, cut=meta["cut"]).state_dict()) == list(
        learner.model[0].state_dict()
    )


def state(learner: Learner) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = learner.model.state_dict()
    return weights


def differing(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> set[str]:
    """Which of the two parts, body ("0") and head ("1"), differ in any bit."""
    return {name[0] for name in first if not torch.equal(first[name], second[name])}


def test_initial_weights_are_a_function_of_the_key(loaders: DataLoaders) -> None:
    first = state(build(loaders, member()))
    torch.rand(100)
    assert differing(first, state(build(loaders, member()))) == set()
    assert differing(first, state(build(loaders, member(), key=Key((1, "a"))))) == {"0", "1"}
    assert differing(first, state(build(loaders, member(), key=Key((0, "b"))))) == {"0", "1"}


def test_the_heads_draws_do_not_depend_on_the_bodys(
    loaders: DataLoaders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """resnet18 and resnet34 draw differently for their bodies and have heads of one shape."""
    small, large = state(build(loaders, member())), state(build(loaders, member("resnet34")))
    assert all(torch.equal(small[name], large[name]) for name in small if name.startswith("1."))


def test_residual_blocks_without_pretrained_weights_start_as_identity(
    loaders: DataLoaders,
) -> None:
    last_scales = [
        module.bn2.weight
        for module in build(loaders, member()).model[0].modules()
        if hasattr(module, "bn2")
    ]
    assert len(last_scales) == 8
    assert all(not scale.any() for scale in last_scales)


def test_mixup_is_there_only_when_asked_for(loaders: DataLoaders) -> None:
    with_it, without = build(loaders, member()), build(loaders, member(mixup=0.0))
    assert hasattr(with_it, "mix_images")
    assert not hasattr(without, "mix_images")
