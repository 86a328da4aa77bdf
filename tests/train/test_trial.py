"""Hooks of a training that give what they must not: one message with file and line, before it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from twinrun.config.reading import read_settings
from twinrun.errors import InputError
from twinrun.train.trial import try_training

IMPORTS = """\
import random
import numpy as np
import torch
import torch.nn.functional as F
from fastai.callback.core import Callback
from torch import nn
"""
BEGIN = IMPORTS.count("\n")
PLAIN = "recipe.mixup=0.0"


def try_code(small_toml: Path, code: str, *changes: str) -> None:
    small_toml.with_name("hooks.py").write_text(IMPORTS + code)
    settings = read_settings(small_toml, changes=changes)
    try_training(settings, "a", torch.device("cpu"))


BAD = {
    "a head of too many classes": (
        "def head(channels, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(channels, classes + 1))\n",
        1,
        "`head` gives a module that makes of features (2, 96, 1, 1) a tensor of float32, (2, 4), "
        "and the logits of two images are (2, 3)",
    ),
    "a head that raises": (
        "def head(channels, classes):\n    return nn.Linear(channels, classes)(torch.ones(1))\n",
        2,
        "RuntimeError: ",
    ),
    "a backbone that is none": (
        "def backbone():\n    return 'resnet'\n",
        1,
        "`backbone` gives str",
    ),
    "a backbone of a wrong form": (
        "def backbone():\n    return nn.Flatten(0)\n",
        1,
        "a module that makes of images (2, 3, 32, 32) a tensor of float32, (6144,)",
    ),
    "groups that leave a layer out": (
        "class Body(nn.Sequential):\n"
        "    def layer_groups(self):\n        return [self[0]]\n"
        "def backbone():\n    return Body(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))\n",
        4,
        "do not hold each of its parameters once",
    ),
    "a loss of a wrong form": (
        "def loss():\n    return lambda logits, targets: logits\n",
        1,
        "`loss` gives a function that gives a tensor of float32, (2, 3)",
    ),
    "a loss without a gradient": (
        "def loss():\n    return lambda logits, targets: logits.detach().mean()\n",
        1,
        "no gradient leads to the logits",
    ),
    "a loss that raises": (
        "def loss():\n    return ratio\ndef ratio(logits, targets):\n    return logits / missing\n",
        4,
        "NameError: name 'missing' is not defined",
    ),
    "an optimizer with one group": (
        "def optimizer():\n    return lambda groups, lr: torch.optim.SGD(sum(groups, []), lr=lr)\n",
        1,
        "1 groups of parameters, that are not the 2 that it got",
    ),
    "an item transform that changes the shape": (
        "def item_transforms():\n    return [crop]\ndef crop(image):\n    return image[1:]\n",
        1,
        "`item_transforms` gives crop, which gives an array of uint8, (47, 48, 3), and got one of "
        "uint8, (48, 48, 3)",
    ),
    "an item transform that changes the dtype": (
        "def item_transforms():\n    return [lambda image: image / 255]\n",
        1,
        "an array of float64, (48, 48, 3), and got one of uint8",
    ),
    "an item transform that raises": (
        "def item_transforms():\n    return [fail]\ndef fail(image):\n    raise ValueError('no')\n",
        4,
        "ValueError: no",
    ),
    "a batch transform that gives images alone": (
        "def batch_transforms():\n    return [lambda images, targets: images]\n",
        1,
        "Tensor, not images and targets",
    ),
    "a batch transform that changes the shape": (
        "def batch_transforms():\n    return [lambda images, targets: (images[:, :1], targets)]\n",
        1,
        "images of float32 (2, 1, 32, 32) on cpu, and got such of float32 (2, 3, 32, 32) on cpu",
    ),
    "something else among the callbacks": (
        "def callbacks():\n    return [print]\n",
        1,
        "`callbacks` gives a list with builtin_function_or_method",
    ),
    "a callback that raises": (
        "class Mine(Callback):\n    def after_loss(self):\n        raise KeyError('no')\n"
        "def callbacks():\n    return [Mine()]\n",
        3,
        "KeyError: ",
    ),
}


BAD["a callback that ends the training"] = (
    "from fastai.callback.core import CancelFitException\n"
    "class Ends(Callback):\n    def after_epoch(self):\n        raise CancelFitException\n"
    "def callbacks():\n    return [Ends()]\n",
    4,
    "a callback ends the training: it would end a one-cycle before",
)


@pytest.mark.parametrize("label", BAD)
def test_what_a_hook_must_not_give(small_toml: Path, label: str) -> None:
    code, line, said = BAD[label]
    with pytest.raises(InputError) as refused:
        try_code(small_toml, code, PLAIN, "recipe.pretrained=false")
    place = f"{small_toml.parent.name}/hooks.py, line {BEGIN + line}: "
    assert refused.value.what.startswith(place), str(refused.value)
    assert said in refused.value.what


def test_a_state_that_appears_within_a_step(small_toml: Path) -> None:
    code = (
        "class Sees(Callback):\n    def after_step(self):\n        self.seen = {1}\n"
        "def callbacks():\n    return [Sees()]\n"
    )
    with pytest.raises(InputError) as refused:
        try_code(small_toml, code, PLAIN)
    place = f"{small_toml.parent.name}/hooks.py, line {BEGIN + 1}"
    assert f"callback Sees ({place}): seen" in refused.value.what
    assert "a set" in refused.value.details[0]


@pytest.mark.parametrize(
    ("code", "label"),
    [
        (
            "class Head(nn.Linear):\n"
            "    def forward(self, features):\n"
            "        self.rng = random.Random(1)\n"
            "        return super().forward(features.flatten(1))\n"
            "def head(channels, classes):\n    return Head(channels, classes)\n",
            "module Head",
        ),
        (
            "class Own:\n    def __init__(self):\n        self.seen = {1}\n"
            "    def __call__(self, logits, targets):\n"
            "        return F.cross_entropy(logits, targets)\n"
            "def loss():\n    return Own()\n",
            "loss Own",
        ),
        (
            "class Own(torch.optim.SGD):\n    def step(self):\n"
            "        self.seen = {1}\n        super().step()\n"
            "def optimizer():\n"
            "    return lambda groups, lr: Own([{'params': each} for each in groups], lr=lr)\n",
            "optimizer Own",
        ),
    ],
)
def test_the_state_of_other_parts(small_toml: Path, code: str, label: str) -> None:
    with pytest.raises(InputError, match="cannot be kept in a checkpoint") as refused:
        try_code(small_toml, code, PLAIN)
    assert refused.value.what.startswith(label)


def test_mixup_needs_a_loss_for_each_image(small_toml: Path) -> None:
    code = "def loss():\n    return F.cross_entropy\n"
    with pytest.raises(InputError, match="gives one number for a batch, and mixup mixes") as no:
        try_code(small_toml, code)
    assert "set mixup = 0.0" in no.value.fix
    try_code(small_toml, code, PLAIN)
    unreduced = "def loss():\n    return lambda x, y: F.cross_entropy(x, y, reduction='none')\n"
    try_code(small_toml, unreduced)


def test_pretrained_weights_are_the_codes_own(small_toml: Path) -> None:
    code = "def backbone():\n    return nn.Conv2d(3, 4, 3)\n"
    with pytest.raises(InputError, match="begins with the weights that your code gives it"):
        try_code(small_toml, code, "recipe.pretrained=true")
    try_code(small_toml, code, "recipe.pretrained=false")
