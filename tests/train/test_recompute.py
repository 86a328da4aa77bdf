"""Features that the backward pass computes again: the same bits as of features that are kept."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fastai.data.core import DataLoaders
from torch import Tensor, nn

from twinrun.config.recipe import Member
from twinrun.config.recipe_tables import Epochs, Validation
from twinrun.errors import InputError
from twinrun.networks.table import NetworkUse, refuse_unusable
from twinrun.repro.keys import Key
from twinrun.train import learner as learner_module
from twinrun.train.learner import build_learner


def model(network: str, *, again: bool) -> nn.Module:
    member = Member(
        network=network,
        batch_size=4,
        epochs=Epochs(frozen=1, unfrozen=0),
        validation=Validation(share=0.5),
        pretrained=False,
        image_size=160,
        gradient_checkpointing=again,
    )
    nothing = SimpleNamespace(device=torch.device("cpu"))
    loaders = DataLoaders(nothing, nothing, device=torch.device("cpu"))
    made: nn.Module = build_learner(member, loaders, classes=3, key=Key((0, "a"))).model
    return made


def after_two_steps(network: str, *, again: bool) -> dict[str, Tensor]:
    """Gradients, weights and buffers."""
    found = model(network, again=again).train()
    for step in range(2):
        torch.manual_seed(step)
        found(torch.randn(4, 3, 160, 160)).logsumexp(1).sum().backward()
    gradients: dict[str, Any] = {
        f"gradient of {name}": each.grad for name, each in found.named_parameters()
    }
    return {name: each for name, each in gradients.items() if each is not None} | dict(
        found.state_dict()
    )


def differing(first: dict[str, Tensor], second: dict[str, Tensor]) -> list[str]:
    assert first.keys() == second.keys()
    return [name for name, each in first.items() if not torch.equal(each, second[name])]


@pytest.mark.parametrize("network", ["timm/test_resnet", "timm/test_vit"])
def test_a_network_has_the_same_bits_with_it_and_without(network: str) -> None:
    assert differing(*(after_two_steps(network, again=each) for each in (True, False))) == []


def test_without_care_batch_norms_would_count_each_batch_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control, and that features are computed again at all."""
    monkeypatch.setattr(learner_module, "count_once", lambda _: None)
    network = "timm/test_resnet"
    found = differing(*(after_two_steps(network, again=each) for each in (True, False)))
    assert found
    assert all("running" in name or "num_batches" in name for name in found)


def test_networks_that_cannot_are_refused_by_name() -> None:
    uses = {
        "a": NetworkUse("resnet18", 64, pretrained=False, recomputed=True),
        "b": NetworkUse("timm/test_resnet", 64, pretrained=False, recomputed=True),
    }
    with pytest.raises(InputError) as refused:
        refuse_unusable(uses)
    assert refused.value.details == (
        "torchvision keeps all features of resnet18: set gradient_checkpointing = false (a)",
    )
