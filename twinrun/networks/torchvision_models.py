"""torchvision's networks as backbones, and their ImageNet weights, each with the right hash."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.error import HTTPError, URLError

import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from twinrun.console import console
from twinrun.errors import InputError
from twinrun.files import sha256_file
from twinrun.networks.weights import WITHOUT_WEIGHTS, weights_folder


def build_backbone(network: str) -> nn.Sequential:
    """A network without its pooling and classifier, initialised as torchvision does.

    But for the scale of each residual block's last batch norm, which is zero, so that the block
    starts as the identity: Goyal et al., "Accurate, large minibatch SGD", 2017, section 5.1. A deep
    ResNet from nothing otherwise learns little in its first epochs.
    """
    backbone = cut(torchvision.models.get_model(network, weights=None))
    for block in backbone.modules():
        if isinstance(block, BasicBlock):
            nn.init.zeros_(block.bn2.weight)
        elif isinstance(block, Bottleneck):
            nn.init.zeros_(block.bn3.weight)
    return backbone


def cut(model: nn.Module) -> nn.Sequential:
    """A whole network's layers up to its last features, as fastai cuts it."""
    layers = list(model.children())
    # A ResNet's pooling is a layer; a DenseNet pools within its forward pass.
    return nn.Sequential(*layers[: -2 if hasattr(model, "fc") else -1])


def split(backbone: nn.Module) -> list[nn.Module]:
    """A backbone's two groups of layers, as fastai splits it: after two of its four stages.

    The first: a ResNet's up to layer2, a DenseNet's up to its second dense block.
    """
    layers = list(backbone.children())
    if len(layers) == 1:
        layers = list(layers[0].children())
        return [nn.Sequential(*layers[:7]), nn.Sequential(*layers[7:])]
    return [nn.Sequential(*layers[:6]), nn.Sequential(*layers[6:])]


def weights_file(network: str) -> Path:
    """Where on this machine a network's ImageNet weights are, or would be."""
    url: str = _source(network).url
    return weights_folder() / url.rpartition("/")[2]


def fetch_imagenet(network: str) -> Path:
    """Have a network's ImageNet weights on this machine, whole and with the right hash.

    They are taken from torch's folder of weights, or else from torchvision's server. The first
    version of torchvision's weights is meant: the one that there was in 2020.

    Returns:
        The file.

    Raises:
        InputError: The weights cannot be had, or the file is not the one that torchvision names.
    """
    source, file = _source(network), weights_file(network)
    try:
        if file.exists():
            # torch checks a file when it downloads it, and never again.
            _check_hash(file)
        source.get_state_dict(check_hash=True, progress=console.is_terminal, weights_only=True)
    except (URLError, OSError, RuntimeError, ValueError, UnpicklingError) as error:
        if isinstance(error, HTTPError):
            error.close()  # it holds the connection
        raise InputError(
            f"the ImageNet weights of {network} cannot be had: {error}",
            fix=(f"Put the file {source.url}", f"at {file}", WITHOUT_WEIGHTS),
        ) from error
    return file


def imagenet_model(network: str) -> nn.Module:
    """torchvision's whole model of a network, with its ImageNet weights.

    Raises:
        InputError: As `fetch_imagenet`.
    """
    fetch_imagenet(network)
    model: nn.Module = torchvision.models.get_model(
        network, weights=_source(network), progress=False
    )
    return model


def _source(network: str) -> Any:
    return torchvision.models.get_model_weights(network)["IMAGENET1K_V1"]


def _check_hash(file: Path) -> None:
    """torchvision's file names end in the first eight digits of the content's SHA-256."""
    expected = file.stem.rpartition("-")[2]
    found = sha256_file(file)
    if not found.startswith(expected):
        raise ValueError(
            f"{file} is damaged or a different file: its SHA-256 begins with "
            f"{found[: len(expected)]}, not with {expected}. Remove it."
        )
