"""timm's networks as backbones: whether there is one of a name, what it gives, its weights."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import timm
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from twinrun.console import console
from twinrun.errors import InputError, nearest, shorten
from twinrun.networks.family import PixelStatistics
from twinrun.networks.weights import WITHOUT_WEIGHTS, weights_folder
from twinrun.plain_files import plain

_HUB = "https://huggingface.co"
# ImageNet's, by which pixels are normalised where a network asks for nothing else.
_IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


@dataclass(frozen=True)
class Shape:
    """What comes out of a network of timm without its classifier.

    Attributes:
        kind: "planes": batch x channels x height x width, to be pooled; "last": the same with the
            channels last; "vector": batch x channels, as the network itself pools.
        channels: How many.
    """

    kind: str
    channels: int


class TimmBackbone(nn.Module):
    """A network of timm up to its last features, channels first; or pooled, where it does that.

    fastai's own form of it is not used: it pools what has its channels last along the wrong axes.

    Args:
        model: From `build_model`.
        kind: Of its `shape_of`.
    """

    def __init__(self, model: nn.Module, kind: str) -> None:
        super().__init__()
        self.model, self.kind = model, kind

    def forward(self, images: Tensor) -> Tensor:
        network: Any = self.model
        if self.kind == "vector":
            pooled: Tensor = network(images)
            return pooled
        features: Tensor = network.forward_features(images)
        return features.permute(0, 3, 1, 2) if self.kind == "last" else features


def problem(name: str, size: int, *, pretrained: bool) -> str | None:
    """Why a network cannot be trained, in words; None: it can be.

    Args:
        name: In timm's list.
        size: Of the images; whether it takes them is found by building it without memory.
        pretrained: Whether it is to begin with pretrained weights.
    """
    if not timm.is_model(name):
        # A name with a tag is compared with names that have one.
        known = timm.list_pretrained() if "." in name else timm.list_models()
        guess = nearest(name, known)
        return f"timm has no network {name!r}" + (f", {guess}" if guess else "")
    try:
        config = pretrained_config(name)
    except RuntimeError:
        tags = timm.list_pretrained(f"{name.partition('.')[0]}.*")
        guess = nearest(name, tags)
        return (
            f"timm has no weights {name!r}"
            + (f", {guess}" if guess else ".")
            + f" Known: {', '.join(shorten(tags)) or 'none'}."
        )
    if pretrained and not (config and config.hf_hub_id):
        return f"timm's hub has no weights for {name!r}: set pretrained = false"
    try:
        shape_of(name, size)
    except InputError as error:
        return str(error)
    return None


def pretrained_config(name: str) -> Any:
    """timm's record of a network's weights: their place, and what they were trained on.

    Returns:
        timm's PretrainedCfg; None where it has none.

    Raises:
        RuntimeError: There is the network, and no weights of that tag.
    """
    return timm.models.get_pretrained_cfg(name)


def pixel_statistics(name: str) -> PixelStatistics | None:
    """Mean and standard deviation by which a network wants pixels normalised; None: ImageNet's."""
    config = pretrained_config(name)
    if config is None:
        return None
    wanted = (list(config.mean), list(config.std))
    return None if wanted == _IMAGENET else wanted


def build_model(name: str, size: int, **options: Any) -> nn.Module:
    """timm's network for images of a size, without its classifier.

    Args:
        name: In timm's list.
        size: Pixels a side. A network of a fixed size is given it, where it is not its own.
        options: Of timm's `create_model`.
    """
    config = pretrained_config(name)
    if config is not None and config.fixed_input_size and config.input_size[-1] != size:
        options["img_size"] = size
    model: nn.Module = timm.create_model(name, **options)
    model.reset_classifier(0)  # type: ignore[operator]
    return model


@lru_cache
def shape_of(name: str, size: int) -> Shape:
    """What a network makes of images of a size; found by building it without memory.

    Raises:
        InputError: It cannot take them.
    """
    try:
        with torch.device("meta"), torch.no_grad():
            model: Any = build_model(name, size).eval()
            images = torch.empty(2, 3, size, size)
            features = model.forward_features(images)
            if isinstance(features, Tensor) and features.ndim == 4:
                if str(getattr(model, "output_fmt", "")) == "NHWC":
                    return Shape("last", features.shape[3])
                return Shape("planes", features.shape[1])
            return Shape("vector", model(images).shape[1])
    except Exception as error:
        config = pretrained_config(name)
        own = "" if config is None else f" Its own size is {config.input_size[-1]}."
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InputError(
            f"timm's {name} cannot take images of {size} pixels a side: {reason}.{own}"
        ) from error


def size_problem(name: str, size: int, other: int) -> str | None:
    """Why a network that is built for images of a size cannot take others; None: it can."""
    try:
        with torch.device("meta"), torch.no_grad():
            build_model(name, size).eval()(torch.empty(2, 3, other, other))
    except Exception as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        return f"timm's {name} for {size} pixels a side cannot take {other}: {reason}"
    return None


def build_backbone(name: str, size: int) -> TimmBackbone:
    """A network's backbone for images of a size, initialised as timm does."""
    return TimmBackbone(build_model(name, size), shape_of(name, size).kind)


@lru_cache
def recomputes(name: str, size: int) -> bool:
    """Whether timm knows how to compute a network's features again in the backward pass."""
    try:
        with torch.device("meta"):
            recompute(TimmBackbone(build_model(name, size), "planes"))
    # Networks that cannot refuse in ways of their own, most by an assertion.
    except Exception:
        return False
    return True


def recompute(backbone: nn.Module) -> None:
    """Let a backbone's features be computed again in the backward pass, segment by segment."""
    backbone.model.set_grad_checkpointing(True)  # type: ignore[operator,union-attr]


def weights_file(name: str) -> Path:
    """Where on this machine a network's pretrained weights are, or would be."""
    # With the revision, where timm names one: a different one is a different file.
    place: str = pretrained_config(name).hf_hub_id
    return weights_folder() / f"{place.replace('/', '-')}.safetensors"


def fetch_timm(name: str) -> Path:
    """Have the weights of a timm network on this machine, whole.

    They are taken from torch's folder of weights, or else from the hub that timm names, or the one
    that the environment variable HF_ENDPOINT names, without an account. Of timm's two formats only
    safetensors is read: loading it runs no code. The hub names no hash; the file's is recorded.

    Args:
        name: In timm's list.

    Returns:
        The file.

    Raises:
        InputError: They cannot be had, or the file is damaged or none of that format.
    """
    repository, _, revision = pretrained_config(name).hf_hub_id.partition("@")
    hub = os.environ.get("HF_ENDPOINT", _HUB).rstrip("/")
    source = f"{hub}/{repository}/resolve/{revision or 'main'}/model.safetensors"
    file = weights_file(name)
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
            fix=(f"Put the file {source}", f"at {file}", WITHOUT_WEIGHTS),
        ) from error
    return file


def pretrained_model(name: str, size: int) -> nn.Module:
    """timm's model of a network with its pretrained weights, without its classifier.

    timm itself loads the file: it knows how to bring older names and other image sizes into place.

    Args:
        name: In timm's list.
        size: Of the images, pixels a side.

    Raises:
        InputError: As `fetch_timm`, or the file is of a different network.
    """
    file = fetch_timm(name)
    own = {"file": str(file), "custom_load": False}
    try:
        # With the classifier of the weights, so that timm is strict: not a tensor may be missing.
        return build_model(name, size, pretrained=True, pretrained_cfg_overlay=own)
    except (KeyError, RuntimeError) as error:
        raise InputError(
            f"{file} does not hold the weights of timm/{name}: {str(error).splitlines()[0]}",
            fix=("Remove it, to have it fetched again;", WITHOUT_WEIGHTS),
        ) from error


def fill(backbone: nn.Module, model: nn.Module) -> None:
    """Give a `TimmBackbone` the weights of a model."""
    assert isinstance(backbone, TimmBackbone)
    backbone.model.load_state_dict(model.state_dict())


def _refuse_foreign(file: Path, *, remove: bool) -> None:
    """Raise SafetensorError when a file is cut off or of no such format; remove it if asked to."""
    try:
        with safe_open(plain(file), framework="pt"):
            pass
    except SafetensorError:
        if remove:
            file.unlink()
        raise
