"""A training of a recorded run as a fastai Learner with its weights."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.errors import InputError

if TYPE_CHECKING:
    from fastai.learner import Learner


def learner_of(run: Path, name: str, data: Path | None) -> Learner:
    """The learner of a training, with its recorded weights.

    torch is set up in this process as for a training: its threads, and what makes it
    deterministic. The global generators draw afterwards as they would have without.

    Args:
        run: runs/<run>.
        name: The training's.
        data: The data folder; None for the one that is recorded.

    Raises:
        InputError: It is not complete, or the data or its record cannot be read.
    """
    from twinrun.data.recorded import recorded_images
    from twinrun.repro.environment import set_up
    from twinrun.repro.keys import Key
    from twinrun.run_folder.manifest import read_run_settings
    from twinrun.run_folder.paths import RunFolder
    from twinrun.run_folder.records import checked_file, read_record
    from twinrun.train.members import set_up_training
    from twinrun.train.network import load_weights

    settings = read_run_settings(run, data)
    settings.code.refuse_edited()
    training = settings.training(name)
    folder = RunFolder(run).training(name)
    if read_record(folder.path) is None:
        raise InputError(f"{name} is not complete in {run}", fix="Train it first: project.train().")
    environment = set_up(
        threads=settings.run.threads,
        device=settings.run.device,
        packages=settings.code.packages,
    )
    size = settings.members[training.member].cached_size
    index, pixels = recorded_images(run, settings, [size])
    # The recorded weights replace those that it began with: none has to be on this machine.
    settings = settings.from_nothing()
    with Key((settings.run.seed,)).set_generators():
        learner = set_up_training(name, settings, index, pixels, environment).learner
    load_weights(learner.model, checked_file(folder.path, folder.weights.name))
    # What fastai writes, `lr_find` among it, never lands beside the run.
    learner.path = Path(tempfile.mkdtemp(prefix="twinrun-learner-"))
    return learner
