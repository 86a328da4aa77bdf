"""Held-out predictions that are made up, for the tests of blends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from twinrun.blend.held_out import HeldOut
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings

Values = npt.NDArray[np.float64]

SETTINGS = """
[competition]
name = "made up"
classes = {classes}
metric = {metric!r}
[data]
folder = "nowhere"
[run]
seed = {seed}
[recipe]
network = "resnet18"
batch_size = 16
validation = {{ share = 0.25 }}
epochs = {{ frozen = 1, unfrozen = 1 }}
"""


def settings_for(
    folder: Path,
    members: Sequence[str],
    classes: Sequence[str] = ("a", "b", "c"),
    metric: str = "log_loss",
    seed: int = 0,
    **blend: Any,
) -> Settings:
    """Settings of members that are never trained; of [blend] the values given."""
    path = folder / "made-up.toml"
    names = "[" + ", ".join(f'"{name}"' for name in classes) + "]"
    text = SETTINGS.format(classes=names, metric=metric, seed=seed)
    text += "".join(f"[members.{name}]\n" for name in members)
    path.write_text(text, encoding="utf-8")
    settings = read_settings(path)
    updated = settings.blend.model_copy(update=blend)
    return settings.model_copy(update={"blend": updated})


def held_of(
    members: Mapping[str, Values], labels: Sequence[int], groups: Sequence[str] | None = None
) -> HeldOut:
    """Predictions by member, each of rows by classes, of images that are called after their row."""
    values = np.stack([members[name] for name in sorted(members)])
    classes = [chr(ord("a") + number) for number in range(values.shape[2])]
    ids = [f"{number:06d}" for number in range(values.shape[1])]
    return HeldOut(
        members=sorted(members),
        ids=ids,
        classes=classes
        if len(classes) < 26
        else [f"c{number:04d}" for number in range(len(classes))],
        labels=np.array(labels, dtype=np.int64),
        groups=list(groups or ids),
        values=values.astype(np.float64),
    )


def seeing(
    labels: npt.NDArray[np.int64],
    classes: int,
    *,
    skill: float,
    noise: float,
    seed: int,
    sure: float = 1.0,
) -> Values:
    """Probabilities that know as much of the truth as `skill` says against noise of their own."""
    random = np.random.default_rng(seed)
    logits = noise * random.normal(size=(len(labels), classes))
    logits[np.arange(len(labels)), labels] += skill
    raised = np.exp(sure * (logits - logits.max(axis=1, keepdims=True)))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def drawn_labels(images: int, classes: int, seed: int = 99) -> npt.NDArray[np.int64]:
    """Random labels, of which each class has some."""
    random = np.random.default_rng(seed)
    return np.asarray(random.permutation(np.arange(images) % classes), dtype=np.int64)
