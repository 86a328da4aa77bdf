"""The network that a competitor's own code makes: backbone and head, tried. Imports no fastai."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from twinrun.config.recipe import Member
from twinrun.config.settings import Settings
from twinrun.errors import InputError
from twinrun.hooks.calls import OwnHook, telling_mistakes
from twinrun.networks.family import Features
from twinrun.train.network import Body

# How a backbone names its groups of layers.
GROUPS = "layer_groups"


@dataclass(frozen=True)
class OwnNetwork:
    """The parts of a network that hooks.py may give; None where it does not.

    Attributes:
        settings: Which know the hooks.
        member: The recipe.
        name: Of the training.
    """

    settings: Settings
    member: Member
    name: str

    def backbone(self) -> Body | None:
        """The backbone, tried on two images of the recipe's size.

        Raises:
            InputError: It is none, or gives no features; its groups do not hold each parameter
                once; or pretrained weights are asked for, which only its own code can load.
        """
        hook, module = self._module("backbone")
        if hook is None or module is None:
            return None
        if self.member.fetches_weights:
            raise InputError(
                f"{hook.place}: a backbone of your own begins with the weights that your code "
                "gives it",
                fix="Set pretrained = false for this member, and load weights in `backbone`.",
            )
        if self.member.gradient_checkpointing:
            raise InputError(
                f"{hook.place}: gradient_checkpointing is for networks of timm; a backbone of your "
                "own has its own way",
                fix="Set gradient_checkpointing = false, and call torch.utils.checkpoint in its "
                "forward.",
            )
        size = self.member.image_size
        images = torch.zeros(2, 3, size, size).contiguous(memory_format=torch.channels_last)
        features = try_out(module, images)
        if (
            not isinstance(features, Tensor)
            or features.dim() not in (2, 4)
            or len(features) != 2
            or not features.is_floating_point()
        ):
            raise hook.refuse(
                f"a module that makes of images (2, 3, {size}, {size}) {told(features)}"
            )
        found = Features(channels=features.shape[1], pooled=features.dim() == 2)
        return Body(module, found, self._groups(hook, module))

    def head(self, backbone: nn.Module, features: Features, classes: int) -> nn.Module | None:
        """The head, tried on the backbone's features of two images.

        Raises:
            InputError: It is none, or gives no logits.
        """
        hook, module = self._module(
            "head", channels=features.channels, pooled=features.pooled, classes=classes
        )
        if hook is None or module is None:
            return None
        size = self.member.image_size
        images = torch.zeros(2, 3, size, size).contiguous(memory_format=torch.channels_last)
        given = try_out(backbone, images)
        logits = try_out(module, given)
        if not isinstance(logits, Tensor) or logits.shape != (2, classes):
            raise hook.refuse(
                f"a module that makes of features {tuple(given.shape)} {told(logits)}, and the "
                f"logits of two images are (2, {classes})"
            )
        return module

    def _call(self, hook: OwnHook, **given: Any) -> Any:
        return hook(member=self.member, name=self.name, **given)

    def _module(self, name: str, **given: Any) -> tuple[OwnHook | None, nn.Module | None]:
        hook = self.settings.hook(name)
        if hook is None:
            return None, None
        found = self._call(hook, **given)
        if not isinstance(found, nn.Module):
            raise hook.refuse(told(found))
        return hook, found

    def _groups(self, hook: OwnHook, module: nn.Module) -> Sequence[nn.Module]:
        give = getattr(module, GROUPS, None)
        if give is None:
            return [module]
        with telling_mistakes():
            groups = give()
        if not isinstance(groups, (list, tuple)) or not all(
            isinstance(each, nn.Module) for each in groups
        ):
            raise hook.refuse(f"a module whose {GROUPS} are {told(groups)}, no list of modules")
        found = [id(each) for group in groups for each in group.parameters()]
        if sorted(found) != sorted(id(each) for each in module.parameters()):
            raise hook.refuse(f"a module whose {GROUPS} do not hold each of its parameters once")
        return groups


def try_out(module: nn.Module, value: Any) -> Any:
    """What a module makes of a value, in prediction; the module is as it was."""
    # A copy: it may count its calls.
    with torch.no_grad(), telling_mistakes():
        return copy.deepcopy(module).eval()(value)


def told(value: Any) -> str:
    """A value that is not what is expected, in words."""
    if isinstance(value, Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"a tensor of {dtype}, {tuple(value.shape)}"
    return f"{type(value).__name__}: {value!r:.100}"
