"""ImageNet weights: fetched by torchvision's own loader, used only with the right hash."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.error import HTTPError, URLError

import torch
import torchvision

from competition.errors import InputError
from competition.files import sha256_file
from competition.terminal import console


def fetch_imagenet(network: str) -> None:
    """Have a network's ImageNet weights on this machine, whole and with the right hash.

    They are taken from torch's folder of weights, or else from torchvision's server. The first
    version of torchvision's weights is meant: the one that there was in 2020.

    Raises:
        InputError: The weights cannot be had, or the file is not the one that torchvision names.
    """
    source = _source(network)
    file = Path(torch.hub.get_dir()) / "checkpoints" / source.url.rpartition("/")[2]
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
            mend=f"Put the file {source.url}\nat {file}\n"
            "or train without them: set pretrained = false (--set recipe.pretrained=false).",
        ) from error


def imagenet_model(network: str) -> torch.nn.Module:
    """torchvision's whole model of a network, with its ImageNet weights.

    Raises:
        InputError: As `fetch_imagenet`.
    """
    fetch_imagenet(network)
    model: torch.nn.Module = torchvision.models.get_model(
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
            f"{file} is damaged or another file: its SHA-256 begins with {found[: len(expected)]}, "
            f"not with {expected}. Remove it."
        )
