"""A family of networks from outside, in this one file: settings, training and records ask it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from twinrun import prepare, train_run
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.errors import InputError
from twinrun.files import sha256_file
from twinrun.networks.family import Features, NetworkFamily, PixelStatistics, PretrainedWeights
from twinrun.networks.table import FAMILIES, family_of, weights_of
from twinrun.registry import IncompleteEntry
from twinrun.repro import versions
from twinrun.repro.environment import set_up
from twinrun.repro.ledger import Ledger


class Saved(PretrainedWeights):
    """A file of weights in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, network: str) -> Path:
        return self.folder / f"{network.replace('/', '-')}.pt"

    def fetch(self, network: str) -> Path:
        if not self.file(network).is_file():
            raise InputError(f"no weights of {network}", fix=f"Put them at {self.file(network)}")
        return self.file(network)

    def load(self, backbone: nn.Module, network: str, size: int) -> None:
        backbone.load_state_dict(torch.load(self.fetch(network), weights_only=True))


class Stripes(NetworkFamily):
    """One convolution of so many channels: stripes/8."""

    name = "stripes"
    title = "the stripes"
    forms = ("stripes/NAME",)
    packages = ("pytest",)
    weights = None

    def problem(self, network: str, size: int, *, pretrained: bool) -> str | None:
        if network.partition("/")[2].isdecimal():
            return None
        return f"the stripes have no network {network!r}: a number of channels, stripes/8"

    def pixel_statistics(self, network: str) -> PixelStatistics | None:
        return [0.5] * 3, [0.25] * 3

    def features(self, network: str, size: int) -> Features:
        return Features(int(network.partition("/")[2]), pooled=False)

    def build(self, network: str, size: int) -> nn.Module:
        channels = int(network.partition("/")[2])
        return nn.Sequential(nn.Conv2d(3, channels, 4, 4), nn.Conv2d(channels, channels, 1))

    def layer_groups(self, backbone: nn.Module) -> Sequence[nn.Module]:
        return list(backbone.children())


@pytest.fixture
def stripes() -> Iterator[NetworkFamily]:
    with FAMILIES.including(Stripes()) as family:
        yield family


def settings_with(small_toml: Path, network: str, *changes: str) -> Settings:
    return read_settings(small_toml, changes=[f"recipe.network={network}", *changes])


def test_settings_know_it_and_its_names_are_listed(small_toml: Path, stripes: Stripes) -> None:
    assert settings_with(small_toml, "stripes/8").members["a"].network == "stripes/8"
    for wrong in ("stripes/", "stripe/8"):
        with pytest.raises(InputError) as refusal:
            settings_with(small_toml, wrong)
        assert "stripes/NAME" in str(refusal.value)


def test_without_it_settings_refuse_its_names(small_toml: Path) -> None:
    with pytest.raises(InputError, match="'stripes/8' is not known"):
        settings_with(small_toml, "stripes/8")
    with pytest.raises(InputError, match="there is no network 'resnet_18'; did you mean 'resnet18"):
        family_of("resnet_18")


def test_what_it_cannot_build_is_refused_before_an_image_is_read(
    small_toml: Path, tmp_path: Path, stripes: Stripes
) -> None:
    run = tmp_path / "run"
    settings = settings_with(small_toml, "stripes/many", f"data.folder={tmp_path / 'nowhere'}")
    with pytest.raises(InputError, match=r"no network 'stripes/many'.*\(a, b\)"):
        prepare.prepare(settings, run)
    settings = settings_with(small_toml, "stripes/8", "recipe.pretrained=true")
    with pytest.raises(InputError, match="the stripes has no pretrained weights"):
        prepare.prepare(settings, run)
    with pytest.raises(InputError, match="the stripes has no pretrained weights"):
        weights_of("stripes/8")
    assert not run.exists()


def test_its_packages_are_recorded_and_a_missing_one_is_named(
    stripes: Stripes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "pytest" not in versions.PACKAGES
    packages = set_up(threads=1, device="cpu")["decides"]["packages"]
    assert packages["pytest"] == version("pytest")
    assert {"timm", "torchvision"} <= set(packages)
    monkeypatch.setattr(Stripes, "packages", ("no-such-package",))
    with pytest.raises(InputError, match=r"no-such-package is not installed.*the stripes") as error:
        set_up(threads=1, device="cpu")
    assert error.value.fix == "Install no-such-package as requirements.lock names it."


@pytest.mark.slow
def test_a_member_of_it_is_trained_to_the_same_bits(
    small_toml: Path, tmp_path: Path, stripes: Stripes
) -> None:
    def trained(run: str, *changes: str) -> Path:
        settings = settings_with(small_toml, "stripes/8", *changes)
        prepared = prepare.prepare(settings, tmp_path / run)
        train_run.train(prepared, ["a"], 0.0)
        return tmp_path / run / "members" / "a"

    one, two, other = trained("one"), trained("two"), trained("other", "run.seed=1")
    weights = [each.joinpath("weights.safetensors").read_bytes() for each in (one, two, other)]
    assert weights[0] == weights[1] != weights[2]
    tensors = load_file(one / "weights.safetensors")
    assert tensors["0.0.weight"].shape == (8, 3, 4, 4)
    assert tensors["1.2.weight"].shape == (16,)  # the head's pooling gives two numbers a channel
    rows = Ledger.read(one / "ledger.parquet").rows()["what"].to_pylist()
    assert "pixels.mean" in rows


def test_a_member_begins_with_its_weights(
    small_toml: Path, tmp_path: Path, stripes: Stripes, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = Saved(tmp_path)
    monkeypatch.setattr(Stripes, "weights", saved)
    settings = settings_with(small_toml, "stripes/8", "recipe.pretrained=true")
    prepared = prepare.prepare(settings, tmp_path / "run")
    with pytest.raises(InputError, match="no weights of stripes/8"):
        train_run.train(prepared, ["a"], 0.0)
    backbone = stripes.build("stripes/8", 32)
    torch.save(backbone.state_dict(), saved.file("stripes/8"))
    train_run.train(prepared, ["a"], 0.0)
    record: dict[str, Any] = json.loads((tmp_path / "run/members/a/member.json").read_text())
    file = saved.file("stripes/8")
    assert record["pretrained"] == {"file": file.name, "sha256": sha256_file(file)}


ATTRIBUTES = ("name", "title", "forms", "packages", "weights")
METHODS = ("problem", "pixel_statistics", "features", "build", "layer_groups")


def test_every_part_is_tried_below() -> None:
    assert set(NetworkFamily.__annotations__) == set(ATTRIBUTES)
    assert NetworkFamily.__abstractmethods__ == set(METHODS)


@pytest.mark.parametrize("part", ATTRIBUTES + METHODS)
def test_a_part_that_is_left_out_is_named(part: str) -> None:
    parts = {name: each for name, each in vars(Stripes).items() if name in ATTRIBUTES + METHODS}
    del parts[part]
    incomplete: Any = type("Incomplete", (NetworkFamily,), parts)
    with pytest.raises(TypeError, match=part) as error, FAMILIES.including(incomplete()):
        pass
    assert part in METHODS or isinstance(error.value, IncompleteEntry)


@pytest.mark.parametrize("part", ["file", "fetch", "load"])
def test_a_part_of_its_weights_that_is_left_out_is_named(part: str) -> None:
    parts = {name: each for name, each in vars(Saved).items() if name in ("file", "fetch", "load")}
    del parts[part]
    with pytest.raises(TypeError, match=part):
        type("Incomplete", (PretrainedWeights,), parts)()
