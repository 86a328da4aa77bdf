"""Makes a recorded run again, without a look at what came out then: trains, predicts, blends."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun import prepare, submit, train_run
from twinrun.blend.out_of_fold import join_folds
from twinrun.blend.parts import Parts
from twinrun.blend.select import ChosenBlend
from twinrun.config.settings import Settings
from twinrun.files import write_csv
from twinrun.run_folder.paths import RunFolder
from twinrun.verify.same_inputs import refuse_other_range

if TYPE_CHECKING:
    import pandas as pd


def train_again(
    run: Path, settings: Settings, names: Sequence[str], again: Path, started: float
) -> prepare.Prepared:
    """Train members of a run again; what is complete there already is kept.

    Args:
        run: runs/<run>; only its record is read.
        settings: Of the run.
        names: Of its members.
        again: Folder of the new run.
        started: time.perf_counter() at the command's start.

    Raises:
        InputError: The data is not there or cannot be used.
        NegativeVerdict: Images are seen in another range of values than is recorded.
    """
    prepared = prepare.prepare(settings, again)
    refuse_other_range(run, prepared.scale)
    train_run.train(prepared, names, started)
    return prepared


def predict_again(
    run: Path, settings: Settings, names: Sequence[str], again: Path
) -> prepare.Prepared:
    """Predict with the weights of a run again, and write valid.csv and test.csv.

    Args:
        run: runs/<run>; only its weights are read.
        settings: Of the run.
        names: Of its members.
        again: Folder of the new predictions, laid out as a run. What is there is removed.

    Raises:
        InputError: As `train_again`, or the weights are foreign or do not fit.
    """
    from twinrun.train.members import set_up_training
    from twinrun.train.network import load_weights

    shutil.rmtree(again, ignore_errors=True)
    prepared = prepare.prepare(settings, run)
    refuse_other_range(run, prepared.scale)
    # The recorded weights replace them all: none is to be fetched.
    untrained = settings.from_nothing()
    for name in names:
        trainings, predicted = settings.trainings(name), []
        for each in trainings:
            setup = set_up_training(
                each.name, untrained, prepared.index, prepared.pixels, prepared.environment
            )
            load_weights(setup.learner.model, RunFolder(run).training(each.name).weights)
            predicted.append(setup.predictions())
            _write(again, each.name, predicted[-1])
        if trainings[0].fold:
            _write(again, name, join_folds(predicted, name))
    return prepared


def _write(again: Path, name: str, tables: Mapping[str, pd.DataFrame]) -> None:
    for file, table in tables.items():
        write_csv(RunFolder(again).training(name).path / file, table)


def blend_again(
    source: Path,
    settings: Settings,
    part: Collection[str],
    sample: Path,
    again: Path,
    lacking: Sequence[str] = (),
) -> ChosenBlend:
    """Blend members of a run into the submission of another folder.

    Args:
        source: runs/<run>, whose predictions are blended.
        settings: Of the run.
        part: The members that took part; others may have been missing then.
        sample: The host's sample submission.
        again: The folder; submission.csv is written there.
        lacking: Of a partial submission, the members that it was made without.

    Raises:
        NegativeVerdict: As `submit.blend_run`.
        InputError: Likewise.
    """
    names = [name for name in sorted(settings.members) if settings.weight(name) and name in part]
    parts = Parts(names, lacking, partial=bool(lacking))
    return submit.blend_run(source, settings, sample, RunFolder(again).submission, parts=parts)
