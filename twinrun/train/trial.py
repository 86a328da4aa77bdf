"""A competitor's training hooks tried before any training: on a few drawn images, and resumed."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from fastai.data.core import DataLoaders
from fastai.learner import Learner

from twinrun.config.recipe import Member
from twinrun.config.recipe_tables import Epochs
from twinrun.config.settings import Settings
from twinrun.data.loaders import member_loaders
from twinrun.data.own_transforms import own_transforms
from twinrun.data.pixels import Pixels
from twinrun.errors import InputError
from twinrun.hooks.calls import telling_mistakes
from twinrun.memory import is_short_of_memory
from twinrun.repro.keys import Key
from twinrun.train.learner import build_learner
from twinrun.train.own_parts import OwnParts
from twinrun.train.predict import predict
from twinrun.train.trial_resume import train_and_resume

# Images of a step: a batch norm needs two.
_IMAGES = 2


def try_training(settings: Settings, name: str, device: torch.device) -> None:
    """Train a throw-away learner as a training's hooks say, an epoch of two steps in each phase.

    Four images are drawn for it, and two to validate with. Forward and backward pass, loss, the
    optimizer's step, callbacks and transforms are tried, and whether what they keep can be put into
    a checkpoint and back. A second learner then goes on from the first one's last checkpoint within
    an epoch, and has to end with the same bits. Pretrained weights are not needed.

    Args:
        settings: Of the run.
        name: Of the training.
        device: On which it is tried.

    Raises:
        InputError: A hook raises an error, gives what it must not, or keeps what cannot be kept, or
            where no checkpoint has it.
    """
    training = settings.training(name)
    recipe = settings.members[training.member]
    short = recipe.from_nothing().model_copy(
        update={
            "batch_size": _IMAGES,
            "prediction_batch_size": _IMAGES,
            "epochs": Epochs(frozen=1, unfrozen=1),
        }
    )
    key = Key((settings.run.seed, *training.key, "trial"))
    with TemporaryDirectory() as folder:
        try:
            with telling_mistakes():

                def make() -> Learner:
                    return build_learner(
                        short,
                        _drawn_loaders(settings, name, short, key, device, Path(folder)),
                        classes=len(settings.classes),
                        key=key,
                        counts=dict.fromkeys(settings.classes, 1),
                        own=OwnParts(settings, recipe, name),
                    )

                learner = make()
                train_and_resume(learner, make, short)
                predict(learner.model, learner.dls.valid, settings.classes)
        except (InputError, MemoryError):
            raise
        except Exception as error:
            if is_short_of_memory(error):
                raise
            raise InputError(
                f"{settings.code.folder.name}/hooks.py: a step of {training.title} on two drawn "
                f"images fails: {type(error).__name__}: {error}",
                fix="The engine's own parts pass this step: look at what your functions give.",
            ) from error


def _drawn_loaders(
    settings: Settings, name: str, member: Member, key: Key, device: torch.device, folder: Path
) -> DataLoaders:
    count, size = 3 * _IMAGES, member.cached_size
    drawn = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    path = folder / "pixels"
    drawn.tofile(path)
    ids = [f"drawn-{number}" for number in range(count)]
    step = size * size * 3
    places = pd.DataFrame(
        {"offset": [n * step for n in range(count)], "rows": size, "columns": size}, index=ids
    )
    labels = [settings.classes[number % len(settings.classes)] for number in range(count)]
    return member_loaders(
        pd.DataFrame({"id": ids, "label": labels, "sha256": ids}),
        held_out=ids[2 * _IMAGES :],
        pixels=Pixels(size, path, places),
        classes=settings.classes,
        member=member,
        key=key,
        workers=0,
        device=device,
        own_items=own_transforms(settings, "item_transforms", member, name),
        own_batches=own_transforms(settings, "batch_transforms", member, name),
    )
