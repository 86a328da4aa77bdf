"""A competitor's hooks tried on a few images, before anything is decoded or trained: one table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from twinrun.blend.after import change_after
from twinrun.config.settings import Settings
from twinrun.data.own_reader import OwnReader
from twinrun.hooks.in_use import OWN_METRIC, trying
from twinrun.hooks.table import HOOKS
from twinrun.image_files import is_image
from twinrun.metrics import METRICS
from twinrun.registry import Registry
from twinrun.repro.environment import set_up

_IMAGES = 2


@dataclass(frozen=True)
class Trial:
    """How a hook is tried.

    Attributes:
        name: Of the hook.
        on: What it is tried on, in a few words.
        carry_out: Tries it; InputError where it does what it must not. None: `_try_trainings` tries
            all of a training's together.
    """

    name: str
    on: str
    carry_out: Callable[[Settings], None] | None


def _try_metric(settings: Settings) -> None:
    # Two of each class: the log loss and the area under the curve are not defined without them.
    truth = np.repeat(np.arange(len(settings.classes)), _IMAGES)
    METRICS.get(OWN_METRIC).score(_drawn(settings, len(truth)), truth)


def _try_after_predictions(settings: Settings) -> None:
    table = pd.DataFrame(_drawn(settings, _IMAGES), columns=settings.classes)
    table.insert(0, "id", [f"drawn-{number}" for number in range(_IMAGES)])
    change_after(table, settings)


def _try_read_image(settings: Settings) -> None:
    hook = settings.hook("read_image")
    assert hook is not None
    for path in islice(_images(settings.data_folder), _IMAGES):
        try:
            OwnReader(hook).read(path)
        except OSError as error:
            raise hook.refuse(f"nothing for {path}: {error}") from error


def _drawn(settings: Settings, images: int) -> np.ndarray:
    """Probabilities, float64, images x classes."""
    drawn = np.random.default_rng(0).random((images, len(settings.classes))) + 0.1
    shares: np.ndarray = drawn / drawn.sum(1, keepdims=True)
    return shares


def _images(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if is_image(place, name):
                yield Path(place, name)


TRIALS: Registry[Trial] = Registry("trial of a hook", Trial)
for _hook in HOOKS:
    if _hook.enters == "training":
        TRIALS.add(Trial(_hook.name, "drawn images, two steps in each phase, and resumed", None))
TRIALS.add(Trial("metric", "two drawn predictions of each class", _try_metric))
TRIALS.add(Trial("read_image", "two images of the data folder", _try_read_image))
TRIALS.add(Trial("after_predictions", "two drawn predictions", _try_after_predictions))


def try_hooks(settings: Settings, members: Sequence[str] | None = None) -> list[Trial]:
    """Try every function of hooks.py that the engine calls.

    Afterwards the code is as it was before its first call: what it keeps in its modules is gone.

    Args:
        settings: Of the run.
        members: Whose trainings are tried; None: all.

    Returns:
        What was tried, in the order of the table of hooks.

    Raises:
        InputError: One raises an error, gives what it must not, or keeps what no checkpoint can
            hold.
    """
    there = [TRIALS.get(hook.name) for hook in HOOKS if hook.name in settings.code.hooks]
    with trying(settings.code, settings.hooks):
        for trial in there:
            if trial.carry_out is not None:
                trial.carry_out(settings)
        if any(trial.carry_out is None for trial in there):
            _try_trainings(settings, list(settings.members) if members is None else members)
    return there


def _try_trainings(settings: Settings, members: Sequence[str]) -> None:
    """Try a training of each member: a hook may do something else for each."""
    import torch

    from twinrun.train.trial import try_training

    environment = set_up(threads=settings.run.threads, device=settings.run.device)
    device = torch.device(environment["decides"]["device"])
    for member in members:
        try_training(settings, settings.trainings(member)[0].name, device)
