"""The functions of hooks.py that the engine calls: their names, what they get, what they enter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from twinrun.registry import Registry

Enters = Literal["training", "pixels", "blend"]

SETTINGS = "settings"
_MEMBER = {
    "member": "the recipe of the member, typed: `member.image_size`",
    "name": "of the training: `first`, or `first/fold-1`",
    SETTINGS: "the table [hooks] of competition.toml",
}
_SETTINGS = {SETTINGS: _MEMBER[SETTINGS]}


@dataclass(frozen=True, kw_only=True)
class Hook:
    """A function with a fixed name, and everything that any room asks of it.

    Attributes:
        name: Of the function in hooks.py.
        words: What it is for.
        gets: What it can be given, by the names of its parameters. It takes those that it wants.
        gives: What it has to return.
        enters: What its digest is a part of: "training", of what a member is made from; "pixels",
            of what a cache of decoded images follows; "blend", of the record of a blend alone.
    """

    name: str
    words: str
    gets: Mapping[str, str]
    gives: str
    enters: Enters


HOOKS: Registry[Hook] = Registry("hook", Hook)

HOOKS.add(
    Hook(
        name="backbone",
        words="the network that makes features of images",
        gets=_MEMBER,
        gives="a torch module: images (batch, 3, rows, columns) to features "
        "(batch, channels, rows, columns) or (batch, channels)",
        enters="training",
    )
)
HOOKS.add(
    Hook(
        name="head",
        words="the network that makes logits of features",
        gets={
            **_MEMBER,
            "channels": "of the features",
            "pooled": "whether the features have no rows and columns any more",
            "classes": "how many there are",
        },
        gives="a torch module: features to logits (batch, classes)",
        enters="training",
    )
)
HOOKS.add(
    Hook(
        name="loss",
        words="what a training makes small",
        gets={
            **_MEMBER,
            "classes": "how many there are",
            "weights": "of the classes, a tensor; None without `class_weights`",
        },
        gives="a torch module or a function: logits and targets to one number, or one for each "
        "image",
        enters="training",
    )
)
HOOKS.add(
    Hook(
        name="optimizer",
        words="what takes the steps",
        gets=_MEMBER,
        gives="a function as fastai's `opt_func`: parameter groups and `lr` to an optimizer",
        enters="training",
    )
)
HOOKS.add(
    Hook(
        name="item_transforms",
        words="changes of each training image by itself",
        gets=_MEMBER,
        gives="a list of functions: an image, uint8, to one of the same shape",
        enters="training",
    )
)
HOOKS.add(
    Hook(
        name="batch_transforms",
        words="changes of each batch of training images",
        gets=_MEMBER,
        gives="a list of functions: images and targets of a batch to the same",
        enters="training",
    )
)
HOOKS.add(
    Hook(
        name="callbacks",
        words="fastai callbacks of a training",
        gets=_MEMBER,
        gives="a list of fastai callbacks, new ones at each call",
        enters="training",
    )
)
HOOKS.add(
    Hook(
        name="metric",
        words='the metric "own": a higher value is better',
        gets={
            "probabilities": "a row per image, a column per class, float64",
            "truth": "of each row the column of its true class, int64",
            **_SETTINGS,
        },
        gives="a number; nan where it is not defined",
        enters="blend",
    )
)
HOOKS.add(
    Hook(
        name="read_image",
        words="an image file as pixels, in place of the engine's own reading",
        gets={"path": "of the file", **_SETTINGS},
        gives="RGB, an array of uint8, rows x columns x 3, or an image of Pillow, upright",
        enters="pixels",
    )
)
HOOKS.add(
    Hook(
        name="after_predictions",
        words="the last change of the blended probabilities",
        gets={
            "table": "a column `id`, and a column of probabilities for each class",
            **_SETTINGS,
        },
        gives="a table with the same ids and columns, each row's sum 1",
        enters="blend",
    )
)
