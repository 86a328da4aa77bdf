"""Pretrained weights: torchvision's by its own loader, with the right hash; timm's from its hub."""

from __future__ import annotations

import os
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.error import HTTPError, URLError

import torch
import torchvision
from safetensors import SafetensorError, safe_open

from twinrun.console import console
from twinrun.errors import InputError
from twinrun.files import sha256_file
from twinrun.networks import timm_name
from twinrun.train.timm_backbones import build_body, pretrained_config

_HUB = "https://huggingface.co"
_WITHOUT = "or train without them: set pretrained = false (--set recipe.pretrained=false)."


def fetch_imagenet(network: str) -> None:
    """Have a network's ImageNet weights on this machine, whole and with the right hash.

    They are taken from torch's folder of weights, or else from torchvision's server. The first
    version of torchvision's weights is meant: the one that there was in 2020.

    Raises:
        InputError: The weights cannot be had, or the file is not the one that torchvision names.
    """
    source = _source(network)
    file = weights_file(network)
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
            fix=f"Put the file {source.url}\nat {file}\n{_WITHOUT}",
        ) from error


def fetch_weights(network: str) -> Path | None:
    """Have a network's pretrained weights on this machine.

    Returns:
        The file of a timm network; torchvision's are known by the hash that they are named after.

    Raises:
        InputError: They cannot be had.
    """
    name = timm_name(network)
    if name is not None:
        return fetch_timm(name)
    fetch_imagenet(network)
    return None


def weights_file(network: str) -> Path:
    """Where on this machine a network's pretrained weights are, or would be."""
    name = timm_name(network)
    if name is None:
        url: str = _source(network).url
        return _weights_folder() / url.rpartition("/")[2]
    repository: str = pretrained_config(name).hf_hub_id.partition("@")[0]
    return _weights_folder() / f"{repository.replace('/', '-')}.safetensors"


def fetch_timm(name: str) -> Path:
    """Have the weights of a timm network on this machine, whole.

    They are taken from torch's folder of weights, or else from the hub that timm names, or the one
    that the environment variable HF_ENDPOINT names, without an account. Of timm's two formats only
    safetensors is read: loading it runs no code. The hub tells no hash; the file's is recorded.

    Args:
        name: In timm's list.

    Returns:
        The file.

    Raises:
        InputError: They cannot be had, or the file is damaged or none of that format.
    """
    config = pretrained_config(name)
    repository, _, revision = config.hf_hub_id.partition("@")
    hub = os.environ.get("HF_ENDPOINT", _HUB).rstrip("/")
    source = f"{hub}/{repository}/resolve/{revision or 'main'}/model.safetensors"
    file = weights_file(f"timm/{name}")
    try:
        fetched = not file.exists()
        if fetched:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(source, str(file), progress=console.is_terminal)
        _refuse_foreign(file, remove=fetched)
    except (URLError, OSError, SafetensorError) as error:
        if isinstance(error, HTTPError):
            error.close()  # it holds the connection
        raise InputError(
            f"the pretrained weights of timm/{name} cannot be had: {error}",
            fix=f"Put the file {source}\nat {file}\n{_WITHOUT}",
        ) from error
    return file


def timm_model(name: str, size: int) -> torch.nn.Module:
    """timm's model of a network with its pretrained weights, without its classifier.

    timm itself loads the file: it knows how to bring older names and other image sizes into place.

    Args:
        name: In timm's list.
        size: Of the images, pixels a side.

    Raises:
        InputError: As `fetch_timm`, or the file is of another network.
    """
    file = fetch_timm(name)
    own = {"file": str(file), "custom_load": False}
    try:
        # With the classifier of the weights, so that timm is strict: not a tensor may be missing.
        return build_body(name, size, pretrained=True, pretrained_cfg_overlay=own)
    except (KeyError, RuntimeError) as error:
        raise InputError(
            f"{file} does not hold the weights of timm/{name}: {str(error).splitlines()[0]}",
            fix=f"Remove it, to have it fetched again;\n{_WITHOUT}",
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


def _weights_folder() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def _source(network: str) -> Any:
    return torchvision.models.get_model_weights(network)["IMAGENET1K_V1"]


def _refuse_foreign(file: Path, *, remove: bool) -> None:
    """Raise SafetensorError when a file is cut off or of another format; remove it if asked to."""
    try:
        with safe_open(file, framework="pt"):
            pass
    except SafetensorError:
        if remove:
            file.unlink()
        raise


def _check_hash(file: Path) -> None:
    """torchvision's file names end in the first eight digits of the content's SHA-256."""
    expected = file.stem.rpartition("-")[2]
    found = sha256_file(file)
    if not found.startswith(expected):
        raise ValueError(
            f"{file} is damaged or another file: its SHA-256 begins with {found[: len(expected)]}, "
            f"not with {expected}. Remove it."
        )
