"""Trackers hold what history.csv holds, and change no bit of what is trained."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import FIXTURE, SMALL
from tests.exact import read_exact
from twinrun.config.reading import read_settings
from twinrun.data.cache import cache_pixels, with_pixels
from twinrun.data.index import build_index
from twinrun.errors import InputError
from twinrun.files import sha256_file
from twinrun.repro.environment import set_up
from twinrun.train import tracking
from twinrun.train.members import train_member
from twinrun.train.tracking import Tracking, refuse_missing_trackers, track_afterwards

NAMES = ("tensorboard", "mlflow", "wandb")
# What no bit depends on: the losses and rates of an epoch that took some seconds.
ROWS = [
    [1, "frozen", 1.5, 1.25, 0.5, 0.5, 0.01, 3.5, {"macro_f1": 0.375}],
    [2, "unfrozen", 0.75, 1.0, 0.625, 0.375, 0.001, 4.5, {"macro_f1": float("nan")}],
]
LOSSES = {"train_loss": [1.5, 0.75], "valid_loss": [1.25, 1.0]}

Train = Callable[..., Path]


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Train the small member into a run of its own; the run's folder."""
    base = tmp_path_factory.mktemp("runs")
    config = base / "small.toml"
    config.write_text(SMALL.format(folder=FIXTURE.as_posix()), encoding="utf-8")
    index = build_index(read_settings(config))
    pixels = cache_pixels(index, FIXTURE, [48], base / "cache")
    environment = set_up(threads=1, device="cpu")

    def run(name: str, *trackers: str) -> Path:
        settings = read_settings(
            config, changes=["competition.metric=macro_f1", f"run.tracking={list(trackers)}"]
        )
        train_member(
            "a",
            settings,
            with_pixels(index, pixels),
            pixels,
            environment,
            base / name / "members" / "a",
            tracking=base / name / "tracking",
        )
        return base / name

    return run


@pytest.fixture(scope="module")
def untold(train: Train) -> Path:
    return train("untold")


def files(run: Path) -> dict[str, str]:
    """The digest of every file of the member, its times left out."""
    folder = run / "members" / "a"
    history = read_exact(folder / "history.csv").drop(columns="seconds")
    found = {path.name: sha256_file(path) for path in folder.iterdir() if path.is_file()}
    del found["member.json"]
    return found | {"history.csv": history.to_csv()}


def curves(name: str, run: Path, training: str = "a") -> dict[str, list[float]]:
    """What a tracker's files in a run hold of a training, read by its own library."""
    return _READERS[name](run / "tracking" / name, run.name, training)


def _tensorboard(folder: Path, run: str, training: str) -> dict[str, list[float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (file,) = (folder / training).iterdir()
    read = EventAccumulator(str(file)).Reload()
    return {tag: [e.value for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def _mlflow(folder: Path, run: str, training: str) -> dict[str, list[float]]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=folder.as_uri())
    experiment = client.get_experiment_by_name(run)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    (told,) = [each for each in found if each.info.run_name == training]
    assert told.info.status == "FINISHED"
    return {
        name: [point.value for point in client.get_metric_history(told.info.run_id, name)]
        for name in told.data.metrics
    }


def _wandb(folder: Path, run: str, training: str) -> dict[str, list[float]]:
    from wandb.proto import wandb_internal_pb2

    messages: Any = wandb_internal_pb2

    (file,) = (folder / training).glob("wandb/offline-run-*/*.wandb")
    found: dict[str, list[float]] = {}
    for content in _log_records(file.read_bytes()):
        for item in messages.Record.FromString(content).history.item:
            name = item.key or item.nested_key[0]
            if not name.startswith("_"):
                found.setdefault(name, []).append(float(item.value_json))
    return found


def _log_records(content: bytes) -> Iterator[bytes]:
    """The records of a .wandb file, which has LevelDB's log format after 7 bytes of its own.

    Blocks of 32 KiB; a part of a record has a checksum (4 bytes), its length (2) and its kind (1):
    whole, first, middle, last.
    """
    at, record = 7, b""
    while at + 7 <= len(content):
        if -at % 32768 < 7:
            at += -at % 32768  # no room for another part in this block
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


_READERS = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n == "tensorboard" else pytest.mark.slow) for n in NAMES],
)
def test_a_tracker_changes_no_bit_and_holds_the_curves_of_history(
    train: Train, untold: Path, name: str
) -> None:
    run = train(name, name)
    assert files(run) == files(untold)
    history = read_exact(run / "members" / "a" / "history.csv")
    told = curves(name, run)
    assert set(told) == set(history.columns) - {"epoch", "phase"}
    for column, values in told.items():
        assert values == pytest.approx(history[column].tolist(), rel=1e-6), column


def test_trackers_that_hear_of_a_training_afterwards_hold_the_same_curves(
    train: Train, tmp_path: Path
) -> None:
    run = train("tensorboard", "tensorboard")
    later = Tracking(["tensorboard"], tmp_path / run.name / "tracking", "a", {"network": "none"})
    track_afterwards(later, run / "members" / "a" / "history.csv")
    assert curves("tensorboard", tmp_path / run.name) == curves("tensorboard", run)


def test_the_comparison_sees_what_one_draw_more_would_change(
    train: Train, untold: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were a tracker to change a weight after the first epoch, the test above would fail."""

    def meddle(telling: Any) -> None:
        with torch.no_grad():
            telling.learn.model[1][8].weight.add_(1e-4)

    monkeypatch.setattr(tracking.TrackEpochs, "after_epoch", meddle)
    changed = files(train("meddled", "tensorboard"))
    assert {name for name in changed if changed[name] != files(untold)[name]} >= {
        "weights.safetensors",
        "test.csv",
        "valid.csv",
        "history.csv",
    }


def tracked(folder: Path, name: str) -> Tracking:
    return Tracking([name], folder / "tracking", "a/fold-1", {"network": "resnet18"})


@pytest.mark.parametrize("name", NAMES)
def test_a_training_that_goes_on_is_told_from_the_beginning_and_once(
    tmp_path: Path, name: str
) -> None:
    with tracked(tmp_path, name).open([]) as telling:
        telling.log(ROWS[0])
        telling.log(ROWS[1])
    with tracked(tmp_path, name).open(ROWS[:1]) as telling:
        telling.log(ROWS[1])
    told = curves(name, tmp_path, "a/fold-1")
    assert {curve: told[curve] for curve in LOSSES} == LOSSES
    assert told["macro_f1"] == [0.375], "a metric that is not defined is not told"


def test_two_members_of_a_run_are_two_runs_of_one_experiment(tmp_path: Path) -> None:
    for member in ("a", "b"):
        with Tracking(["mlflow"], tmp_path / "tracking", member, {}).open(ROWS):
            pass
    for member in ("a", "b"):
        assert curves("mlflow", tmp_path, member)["valid_loss"] == [1.25, 1.0]


def test_a_tracker_that_fails_is_said_and_costs_no_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tracking").mkdir()
    (tmp_path / "tracking" / "tensorboard").write_text("in the way")
    both = Tracking(["tensorboard", "mlflow"], tmp_path / "tracking", "a", {})
    with both.open(ROWS):
        pass
    assert curves("mlflow", tmp_path)["valid_loss"] == [1.25, 1.0]
    assert "tensorboard tracks nothing more" in capsys.readouterr().out


def test_a_tracker_that_is_not_installed_is_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refuse_missing_trackers(NAMES)
    monkeypatch.setattr(tracking, "find_spec", lambda module: None)
    with pytest.raises(InputError) as refused:
        refuse_missing_trackers(["tensorboard", "mlflow"])
    assert refused.value.exit_code == 2
    assert "requirements-dev.lock" in str(refused.value)


def test_no_tracker_reports_its_use(tmp_path: Path) -> None:
    for name in NAMES:
        with tracked(tmp_path, name).open([]):
            pass
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["WANDB_ERROR_REPORTING"] == "false"
