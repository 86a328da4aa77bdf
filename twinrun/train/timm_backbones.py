"""timm's networks as bodies: whether there is one of a name, what it gives, how it sees pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from twinrun.config.recipe import Member
from twinrun.errors import InputError, nearest, shorten
from twinrun.networks import timm_name

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Shape:
    """What comes out of a body.

    Attributes:
        kind: "planes": batch x channels x height x width, to be pooled; "last": the same with the
            channels last; "vector": batch x channels, as the network itself pools.
        channels: How many.
    """

    kind: str
    channels: int


def refuse_unknown_bodies(members: Mapping[str, Member]) -> None:
    """Check everything that can be known of the members' timm networks without their weights.

    Whether timm has them, whether there are pretrained weights where the recipe asks for them, and
    whether they take images of the recipe's size; for the last each is built without memory.

    Args:
        members: By name.

    Raises:
        InputError: With a line for each network that cannot be had.
    """
    problems: dict[str, list[str]] = {}
    for member_name, member in members.items():
        name = timm_name(member.network)
        problem = None if name is None else _problem(name, member)
        if problem is not None:
            problems.setdefault(problem, []).append(member_name)
    if problems:
        raise InputError(
            "these networks of timm cannot be used:",
            details=[f"{problem} ({', '.join(names)})" for problem, names in problems.items()],
            fix="Set another network for these members.",
        )


def _problem(name: str, member: Member) -> str | None:
    import timm

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
    if member.pretrained and not (config and config.hf_hub_id):
        return f"timm's hub has no weights for {name!r}: set pretrained = false"
    try:
        body_shape(name, member.image_size)
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
    import timm

    return timm.models.get_pretrained_cfg(name)


def pixel_statistics(network: str) -> tuple[Sequence[float], Sequence[float]] | None:
    """Mean and standard deviation by which a timm body wants pixels normalised.

    Returns:
        Of red, green and blue, from 0 to 1; None where they are ImageNet's.
    """
    name = timm_name(network)
    config = None if name is None else pretrained_config(name)
    if config is None:
        return None
    from fastai.vision.core import imagenet_stats

    mean, deviation = list(config.mean), list(config.std)
    return None if (mean, deviation) == tuple(imagenet_stats) else (mean, deviation)


def build_body(name: str, size: int, **options: Any) -> nn.Module:
    """timm's network for images of a size, without its classifier.

    Args:
        name: In timm's list.
        size: Pixels a side. A network of a fixed size is told, where it is not its own.
        options: Of timm's `create_model`.
    """
    import timm

    config = pretrained_config(name)
    if config is not None and config.fixed_input_size and config.input_size[-1] != size:
        options["img_size"] = size
    model: nn.Module = timm.create_model(name, **options)
    model.reset_classifier(0)  # type: ignore[operator]
    return model


@lru_cache
def body_shape(name: str, size: int) -> Shape:
    """What a network makes of images of a size; found by building it without memory.

    Raises:
        InputError: It cannot take them.
    """
    import torch

    try:
        with torch.device("meta"), torch.no_grad():
            model: Any = build_body(name, size).eval()
            images = torch.empty(2, 3, size, size)
            features = model.forward_features(images)
            if isinstance(features, torch.Tensor) and features.ndim == 4:
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
