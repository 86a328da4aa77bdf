"""timm's networks: names checked, weights from a server of our own, every form trains a step."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from torch import nn

from tests.networks.test_torchvision_models import Server, server
from twinrun import prepare
from twinrun.config.reading import read_settings
from twinrun.config.recipe import Member
from twinrun.config.recipe_tables import Epochs, Validation
from twinrun.errors import InputError
from twinrun.networks.family import PixelStatistics
from twinrun.networks.table import NetworkUse, family_of, refuse_unusable, weights_of
from twinrun.networks.timm_models import fetch_timm, shape_of
from twinrun.repro.keys import Key
from twinrun.train.learner import build_learner

__all__ = ["server"]  # a fixture


def member(network: str, **values: Any) -> Member:
    return Member(
        network=network,
        batch_size=4,
        epochs=Epochs(frozen=1, unfrozen=0),
        validation=Validation(share=0.5),
        **{"pretrained": False, "image_size": 32, **values},
    )


def refuse(members: Mapping[str, Member]) -> None:
    refuse_unusable(
        {
            name: NetworkUse(each.network, each.image_size, each.pretrained)
            for name, each in members.items()
        }
    )


def statistics(network: str) -> PixelStatistics | None:
    return family_of(network).pixel_statistics(network)


@pytest.fixture(scope="module")
def loaders() -> DataLoaders:
    nothing = SimpleNamespace(device=torch.device("cpu"))
    return DataLoaders(nothing, nothing, device=torch.device("cpu"))


def build(loaders: DataLoaders, recipe: Member, key: Key = Key((0, "a"))) -> Learner:  # noqa: B008
    return build_learner(recipe, loaders, classes=3, key=key)


# Which names


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    members = {
        "a": member("timm/convnext_tini"),
        "b": member("timm/convnext_tiny.fb_in1j"),
        "c": member("resnet18"),
        "d": member("timm/convnext_tini"),
    }
    with pytest.raises(InputError) as refused:
        refuse(members)
    assert refused.value.exit_code == 2
    first, second = refused.value.details
    assert "'convnext_tini'" in first
    assert "'convnext_tiny'" in first
    assert "(a, d)" in first
    assert "'convnext_tiny.fb_in1k'" in second
    refuse({"c": members["c"], "e": member("timm/convnext_tiny.fb_in1k")})


def test_a_run_refuses_an_unknown_name_before_it_reads_an_image(
    small_toml: Path, tmp_path: Path
) -> None:
    settings = read_settings(
        small_toml, changes=["members.b.network=timm/convnext_tini"], data=tmp_path / "nowhere"
    )
    with pytest.raises(InputError, match="did you mean 'convnext_tiny'"):
        prepare.prepare(settings, tmp_path / "run")


def test_a_network_without_weights_is_refused_only_where_they_are_asked_for() -> None:
    refuse({"a": member("timm/resnet14t", pretrained=True)})
    without = next(n for n in timm.list_models("resnet*") if not timm.is_model_pretrained(n))
    refuse({"a": member(f"timm/{without}")})
    with pytest.raises(InputError, match="set pretrained = false"):
        refuse({"a": member(f"timm/{without}", pretrained=True)})


def test_a_size_that_a_network_cannot_take_is_refused_with_its_own() -> None:
    refuse({"a": member("timm/test_vit", image_size=64)})
    with pytest.raises(InputError, match=r"70 pixels a side.*Its own size is 160"):
        refuse({"a": member("timm/test_vit", image_size=70)})


# What they are built to

FORMS = {
    "test_resnet": "planes",
    "test_efficientnet": "planes",
    "test_mambaout": "last",
    "test_vit": "vector",
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_a_body_trains_a_step_in_two_groups(loaders: DataLoaders, name: str) -> None:
    recipe = member(f"timm/{name}", image_size=64)
    learner = build(loaders, recipe)
    assert shape_of(name, 64).kind == FORMS[name]
    logits = learner.model(torch.randn(4, 3, 64, 64))
    assert logits.shape == (4, 3)
    logits.square().sum().backward()
    groups = learner.splitter(learner.model)
    assert [len(group) > 0 for group in groups] == [True, True]
    assert all(p.grad is not None for p in groups[1])
    # A classifier's or last pooling's own weights are left out of a body whose planes are pooled.
    assert sum(p.grad is not None for p in groups[0]) > len(groups[0]) / 2
    kinds = {type(module).__name__ for module in learner.model.modules()}
    assert ("ConcatPool" in kinds) is (FORMS[name] != "vector")
    assert not any("AdaptiveMax" in kind for kind in kinds)


@pytest.mark.parametrize("name", ["test_convnext", "test_vit"])
def test_initial_weights_are_a_function_of_the_key(loaders: DataLoaders, name: str) -> None:
    recipe = member(f"timm/{name}", image_size=64)

    def weights(key: Key) -> dict[str, bytes]:
        shape_of.cache_clear()
        state = build(loaders, recipe, key).model.state_dict()
        return {name: tensor.numpy().tobytes() for name, tensor in state.items()}

    first = weights(Key((0, "a")))
    torch.rand(10)
    build(loaders, recipe, Key((0, "a")))  # with the shape that was kept
    assert weights(Key((0, "a"))) == first
    other = weights(Key((1, "a")))
    assert {name[0] for name in first if first[name] != other[name]} == {"0", "1"}


def test_pixels_are_normalised_as_the_network_wants() -> None:
    assert statistics("resnet18") is None
    assert statistics("timm/convnext_tiny") is None
    assert statistics("timm/test_resnet") == ([0.5] * 3, [0.5] * 3)


# Where their weights come from

ADDRESS = "/timm/test_resnet.r160_in1k/resolve/main/model.safetensors"


@pytest.fixture(scope="module")
def weights_file() -> bytes:
    torch.manual_seed(3)
    content: bytes = safetensors.torch.save(timm.create_model("test_resnet").state_dict())
    return content


@pytest.fixture
def hub(
    server: Server, weights_file: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Let our server be timm's hub; where it keeps the file on this machine."""
    server.answers[ADDRESS] = (200, weights_file)
    monkeypatch.setenv("HF_ENDPOINT", server.url("/"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints" / "timm-test_resnet.r160_in1k.safetensors"


def test_weights_are_fetched_once_and_fill_the_body(
    loaders: DataLoaders, server: Server, hub: Path, weights_file: bytes
) -> None:
    recipe = member("timm/test_resnet", pretrained=True)
    first, second = (build(loaders, recipe, Key((seed, "a"))).model for seed in (0, 1))
    assert server.requests == 1
    expected = safetensors.torch.load(weights_file)
    body = {name.removeprefix("0.model."): t for name, t in first.state_dict().items()}
    filled = expected.keys() & body.keys()
    assert expected.keys() - filled == {"fc.weight", "fc.bias"}
    assert all(torch.equal(expected[name], body[name]) for name in filled)
    # The head's are drawn all the same.
    assert not torch.equal(first[1][8].weight, second[1][8].weight)
    assert weights_of("timm/test_resnet").fetch("timm/test_resnet") == hub


def test_a_revision_that_timm_names_is_asked_for_and_kept_beside_others(
    server: Server, hub: Path, weights_file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fetch_timm("test_resnet") == hub
    config = timm.models.get_pretrained_cfg("test_resnet")
    named = replace(config, hf_hub_id=f"{config.hf_hub_id}@v2")
    monkeypatch.setattr("timm.models.get_pretrained_cfg", lambda _: named)
    server.answers[ADDRESS.replace("main", "v2")] = (200, weights_file)
    kept = fetch_timm("test_resnet")
    assert kept == hub.with_name("timm-test_resnet.r160_in1k@v2.safetensors")
    assert kept.is_file()
    assert server.requests == 2


def test_when_the_hub_fails_the_message_says_which_file_to_put_where(
    server: Server, hub: Path
) -> None:
    server.answers[ADDRESS] = (503, b"")
    with pytest.raises(InputError) as refused:
        fetch_timm("test_resnet")
    message = str(refused.value)
    assert refused.value.exit_code == 2
    for part in ("timm/test_resnet", "503", server.url(ADDRESS), str(hub), "pretrained = false"):
        assert part in message
    server.http.server_close()
    with pytest.raises(InputError, match="Put the file"):
        fetch_timm("test_resnet")


def test_what_is_no_whole_file_of_weights_is_refused_and_not_kept(
    server: Server, hub: Path, weights_file: bytes
) -> None:
    for content in (weights_file[:-1], b"<html>not here</html>", b"\x80\x04pickle"):
        server.answers[ADDRESS] = (200, content)
        with pytest.raises(InputError, match="Put the file"):
            fetch_timm("test_resnet")
        assert not hub.exists()


def test_a_file_put_there_by_hand_is_used_and_a_damaged_one_is_left_for_its_owner(
    server: Server, hub: Path, weights_file: bytes
) -> None:
    hub.parent.mkdir(parents=True)
    hub.write_bytes(weights_file)
    assert fetch_timm("test_resnet") == hub
    hub.write_bytes(weights_file[:-1])
    with pytest.raises(InputError, match="Put the file"):
        fetch_timm("test_resnet")
    assert hub.exists()
    assert server.requests == 0


def test_the_weights_of_another_network_are_refused(loaders: DataLoaders, hub: Path) -> None:
    hub.parent.mkdir(parents=True)
    other: nn.Module = timm.create_model("test_efficientnet")
    hub.write_bytes(safetensors.torch.save(other.state_dict()))
    with pytest.raises(InputError, match="does not hold the weights of timm/test_resnet"):
        build(loaders, member("timm/test_resnet", pretrained=True))


def test_position_embeddings_are_brought_to_the_recipes_size(
    loaders: DataLoaders, server: Server, hub: Path
) -> None:
    content = safetensors.torch.save(timm.create_model("test_vit").state_dict())
    server.answers[ADDRESS.replace("test_resnet", "test_vit")] = (200, content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = build(loaders, member("timm/test_vit", pretrained=True, image_size=64)).model
    assert model(torch.randn(2, 3, 64, 64)).shape == (2, 3)
    (embedding,) = [t for name, t in model.state_dict().items() if "pos_embed" in name]
    assert embedding.shape[1] == (64 // 16) ** 2 + 1
