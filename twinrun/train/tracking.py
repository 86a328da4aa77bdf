"""Tells TensorBoard, MLflow or Weights & Biases each epoch's row of history.csv, in the run folder.

They hear of numbers that have been written down anyway, once an epoch: no value is fetched from a
device for them, nothing is drawn, and nothing leaves this machine. fastai's own callbacks of these
names are not used: they log every step, which waits for the device, and ask the loaders for
batches.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from twinrun.config.extras import how_to_install_extra
from twinrun.config.settings import Settings
from twinrun.config.trainings import member_of
from twinrun.console import say
from twinrun.errors import InputError
from twinrun.locks import lock_record
from twinrun.metrics import HISTORY_COLUMNS
from twinrun.run_folder.tables import read_history
from twinrun.train.callbacks import OwnFit


def refuse_missing_trackers(names: Sequence[str]) -> None:
    """Raise InputError when a tracker of the settings is not installed."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise InputError(
            f"run.tracking: not installed: {', '.join(missing)}",
            fix=(how_to_install_extra("tracking"), "or take the names out of run.tracking."),
        )


class Tracker(Protocol):
    """One of the three, open for one training."""

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """Write down an epoch's numbers."""

    def close(self) -> None:
        """Write what is still in memory."""


@dataclass(frozen=True)
class Tracking:
    """What is tracked, and by what.

    Attributes:
        names: As the setting.
        folder: runs/<run>/tracking.
        training: What the training is called there: the member.
        recipe: JSON values, written down beside the numbers.
    """

    names: Sequence[str]
    folder: Path
    training: str
    recipe: Mapping[str, Any]

    @contextmanager
    def open(self, rows: Sequence[list[Any]]) -> Iterator[OpenTrackers]:
        """The trackers, open while the block runs.

        A training that resumes from a checkpoint has them begin anew and gives them the epochs
        before it: none of them can take steps back that a checkpoint did not keep.

        Args:
            rows: As `History` keeps them.
        """
        trackers = OpenTrackers(self)
        try:
            for row in rows:
                trackers.log(row)
            yield trackers
        finally:
            trackers.close()


def tracking_of(settings: Settings, training: str, folder: Path | None) -> Tracking | None:
    """What tracks a training, as the settings say; None where nothing does.

    Args:
        settings: Of the run.
        training: Its name.
        folder: runs/<run>/tracking; None where a different process or a later moment tracks it.
    """
    if folder is None or not settings.run.tracking:
        return None
    recipe = settings.members[member_of(training)].model_dump(mode="json")
    return Tracking(settings.run.tracking, folder, training, recipe)


def track_afterwards(tracking: Tracking, history: Path) -> None:
    """Give the trackers a training that a different machine has completed.

    Args:
        tracking: What is tracked, and by what.
        history: Its history.csv.

    Raises:
        InputError: That file cannot be read.
    """
    rows = []
    for row in read_history(history).to_dict("records"):
        extra = {name: value for name, value in row.items() if name not in HISTORY_COLUMNS}
        rows.append([*(row[name] for name in HISTORY_COLUMNS), extra])
    with tracking.open(rows):
        pass


class OpenTrackers:
    """Open trackers; one that fails is left out from there on, and costs no training."""

    def __init__(self, tracking: Tracking) -> None:
        self.trackers: dict[str, Tracker] = {}
        for name in tracking.names:
            try:
                self.trackers[name] = _OPENERS[name](tracking)
            except Exception as error:
                _report_failure(name, error)

    def log(self, row: list[Any]) -> None:
        """Give every tracker a row of `History`."""
        values = dict(zip(HISTORY_COLUMNS, row, strict=False)) | row[len(HISTORY_COLUMNS)]
        numbers = {
            name: float(value)
            for name, value in values.items()
            if name not in ("epoch", "phase") and not math.isnan(value)
        }
        for name, tracker in list(self.trackers.items()):
            try:
                tracker.log(int(values["epoch"]), numbers)
            except Exception as error:
                _report_failure(name, error)
                del self.trackers[name]

    def close(self) -> None:
        """Close every tracker."""
        for name, tracker in self.trackers.items():
            try:
                tracker.close()
            except Exception as error:
                _report_failure(name, error)


class TrackEpochs(OwnFit):
    """Tells the trackers the row that `History` has just added."""

    order = 61

    def __init__(
        self, trackers: OpenTrackers, rows: Sequence[list[Any]], first_epoch: int, start: int
    ) -> None:
        super().__init__(first_epoch, start)
        self.trackers, self.rows = trackers, rows

    def after_epoch(self) -> None:
        self.trackers.log(self.rows[-1])


class _TensorBoard:
    def __init__(self, tracking: Tracking) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = _empty_folder(tracking.folder / "tensorboard" / tracking.training)
        self.writer = SummaryWriter(str(folder))
        lines = [f"    {name} = {value}" for name, value in tracking.recipe.items()]
        self.writer.add_text("recipe", "\n".join(lines))

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, epoch)
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


class _MLflow:
    def __init__(self, tracking: Tracking) -> None:
        # Read when it is imported: it would report its use, and without the whole of MLflow it has
        # no store but a folder of files.
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient

        self.metric = Metric
        folder = tracking.folder / "mlflow"
        self.client = MlflowClient(tracking_uri=folder.absolute().as_uri())
        named = tracking.folder.parent.name
        # Processes that train other members of the run must not each make an experiment.
        with lock_record(folder):
            found = self.client.get_experiment_by_name(named)
            number = found.experiment_id if found else self.client.create_experiment(named)
        query = f"attributes.run_name = '{tracking.training}'"
        for run in self.client.search_runs([number], query):
            self.client.delete_run(run.info.run_id)
        self.run = self.client.create_run(number, run_name=tracking.training).info.run_id
        recipe = [Param(name, str(value)) for name, value in tracking.recipe.items()]
        self.client.log_batch(self.run, params=recipe)

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        metrics = [self.metric(name, value, now, epoch) for name, value in values.items()]
        self.client.log_batch(self.run, metrics)

    def close(self) -> None:
        self.client.set_terminated(self.run)


class _WeightsAndBiases:
    def __init__(self, tracking: Tracking) -> None:
        os.environ["WANDB_ERROR_REPORTING"] = "false"
        import wandb

        self.wandb = wandb
        folder = _empty_folder(tracking.folder / "wandb" / tracking.training)
        self.run = wandb.init(
            project=tracking.folder.parent.name,
            name=tracking.training,
            dir=folder,
            config=dict(tracking.recipe),
            mode="offline",
            settings=wandb.Settings(
                console="off",
                disable_code=True,
                disable_git=True,
                disable_job_creation=True,
                silent=True,
                x_disable_machine_info=True,
                x_disable_meta=True,
                x_disable_stats=True,
            ),
        )

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        self.run.log(dict(values), step=epoch)

    def close(self) -> None:
        self.run.finish()
        # A process of wandb's own writes the file, and finish() does not wait for it.
        if self.wandb.run is None:
            self.wandb.teardown()


_OPENERS: dict[str, Callable[[Tracking], Tracker]] = {
    "tensorboard": _TensorBoard,
    "mlflow": _MLflow,
    "wandb": _WeightsAndBiases,
}


def _empty_folder(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _report_failure(name: str, error: Exception) -> None:
    what = f"{type(error).__name__}: {' '.join(str(error).split())}"
    say((f"{name} tracks nothing more of this training", "yellow"), f": {what}")
