"""One run for all tests of predictions: folds, two families, test-time augmentation."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.conftest import FIXTURE, SMALL
from twinrun import prepare, submit, train_run
from twinrun.config.reading import read_settings

CHANGES = (
    "recipe.epochs.unfrozen=0",
    "recipe.prediction_batch_size=5",
    "run.threads=2",
    "members.a.validation={folds=2}",
    "members.a.test_time={method='flips', mean='geometric'}",
    "members.b.network=resnet18",
    "members.b.image_size=48",
    "members.b.test_time={method='train', times=2}",
    "blend.clamp=[0.01, 0.98]",
)


def make_run(folder: Path, *changes: str) -> Path:
    """A run of these settings on the fixture, in a folder of its own, with its submission."""
    toml = folder / "small.toml"
    toml.write_text(SMALL.format(folder=FIXTURE.as_posix()), encoding="utf-8")
    settings = read_settings(toml, changes=[*CHANGES, *changes])
    started = time.perf_counter()
    prepared = prepare.prepare(settings, folder / "runs" / "full")
    train_run.train(prepared, list(settings.members), started)
    output = prepared.folder / "submission.csv"
    submit.blend_run(prepared.folder, settings, prepared.sample_path, output)
    prepare.keep_record(prepared, started)
    return prepared.folder


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be written to."""
    return make_run(tmp_path_factory.mktemp("recorded"))
