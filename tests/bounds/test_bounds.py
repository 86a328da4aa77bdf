"""Trains at the bounds of every number of the settings: it works, or one message says why not."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

import pytest
import torch
from torch import nn

from tests.bounds.fields import numbers
from tests.conftest import FIXTURE, SMALL
from twinrun import prepare, submit, train_run
from twinrun.config.reading import read_settings
from twinrun.errors import InputError, Stopped, TwinrunError
from twinrun.networks.family import Features, NetworkFamily, PixelStatistics
from twinrun.networks.table import FAMILIES
from twinrun.run_folder.paths import RunFolder
from twinrun.train.fit import fit

CLASSES, MEMBERS = ("leaf_rust", "stem_rust"), ("a", "b")
# What else must be set for a number to mean anything.
TOGETHER = {
    "recipe.take.patience": ("recipe.take.epoch=best",),
    "recipe.test_time.times": ("recipe.test_time.method=train",),
}
# Bounds that no field tells, because a validator draws them.
MORE = (("recipe.mixup", "0.001"),)
# A training that has begun is ended after so many seconds, as by Ctrl-C: of a million epochs the
# first ones must do.
SECONDS = 10.0

AT = [
    *((each.key, value) for each in numbers() for value in each.at_bounds((CLASSES, MEMBERS))),
    *MORE,
]
BEYOND = [
    (each.key, value) for each in numbers() for value in each.beyond_bounds((CLASSES, MEMBERS))
]


class Tiny(NetworkFamily):
    """Two convolutions: a step of them takes milliseconds."""

    name = "tiny"
    title = "the tiny ones"
    forms = ("tiny/NAME",)
    packages = ()
    weights = None

    def problem(self, network: str, size: int, *, pretrained: bool) -> str | None:
        return None

    def pixel_statistics(self, network: str) -> PixelStatistics | None:
        return [0.5] * 3, [0.25] * 3

    def features(self, network: str, size: int) -> Features:
        return Features(8, pooled=False)

    def build(self, network: str, size: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.Conv2d(8, 8, 1))

    def layer_groups(self, backbone: nn.Module) -> Sequence[nn.Module]:
        return list(backbone.children())


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A competition of two classes of four images, and two test images."""
    folder = tmp_path_factory.mktemp("bounds")
    for name in CLASSES:
        images = sorted((FIXTURE / "train" / name).iterdir())[:4]
        (folder / "data" / "train" / name).mkdir(parents=True)
        for image in images:
            shutil.copyfile(image, folder / "data" / "train" / name / image.name)
    (folder / "data" / "test").mkdir()
    tests = sorted((FIXTURE / "test").iterdir())[:2]
    for image in tests:
        shutil.copyfile(image, folder / "data" / "test" / image.name)
    rows = [",".join(["ID", *CLASSES]), *(f"{image.stem},0,0" for image in tests)]
    (folder / "data" / "sample_submission.csv").write_text("\n".join(rows) + "\n")
    text = SMALL.format(folder="data").replace('"timm/test_resnet"', '"tiny/8"')
    text = text.replace(', "healthy_wheat"]', "]").replace("batch_size = 16", "batch_size = 4")
    (folder / "competition.toml").write_text(text, encoding="utf-8")
    with FAMILIES.including(Tiny()):
        yield folder / "competition.toml"


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The trainings that have begun; each is ended after a while."""
    found: list[str] = []

    def begin(*arguments: object, **options: object) -> object:
        found.append(str(options["name"]))
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            return fit(*arguments, **options)  # type: ignore[arg-type]
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def end(_number: int, _frame: FrameType | None) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("twinrun.train.members.fit", begin)
    before, threads = signal.signal(signal.SIGALRM, end), torch.get_num_threads()
    yield found
    signal.signal(signal.SIGALRM, before)
    torch.set_num_threads(threads)


def end_of_a_run(
    config: Path, place: Path, changes: Sequence[str]
) -> TwinrunError | Stopped | None:
    """Train and blend; how it ended before its time."""
    folder = place / "runs" / "full"
    try:
        settings = read_settings(config, changes=changes)
        run = prepare.prepare(settings, folder)
        train_run.train(run, list(MEMBERS), 0.0)
        submit.blend_run(folder, settings, run.sample_path, RunFolder(folder).submission)
    except (TwinrunError, Stopped) as error:
        return error
    return None


@pytest.mark.slow
@pytest.mark.parametrize(("key", "value"), AT, ids=lambda text: text[:60])
def test_a_training_at_a_bound_works_or_is_refused_before_it_begins(
    config: Path, tmp_path: Path, begun: list[str], key: str, value: str
) -> None:
    ended = end_of_a_run(config, tmp_path, [f"{key}={value}", *TOGETHER.get(key, ())])
    shutil.rmtree(tmp_path)  # of large images a gigabyte
    if isinstance(ended, Stopped):
        assert "after epoch 0 " not in str(ended), "no step in all that time"
    elif ended is None:
        assert begun
    else:
        # What a learning rate makes of the weights shows itself only when they are used.
        assert not begun or ("diverged" in str(ended) and "_rates" in key), ended


@pytest.mark.parametrize(("key", "value"), BEYOND, ids=lambda text: text[:60])
def test_a_number_just_beyond_its_bound_is_refused(config: Path, key: str, value: str) -> None:
    with pytest.raises(InputError) as refused:
        read_settings(config, changes=[f"{key}={value}"])
    assert key.rpartition(".")[2] in str(refused.value)


def test_the_bounds_are_those_of_the_fields() -> None:
    found = {each.key: each for each in numbers()}
    assert list(found["recipe.image_size"].bounds) == [32, 4096]
    assert list(found["recipe.image_size"].beyond) == [31, 4097]
    assert list(found["recipe.epochs.frozen"].bounds) == [0, 1_000_000]
    assert list(found["recipe.validation.share"].bounds) == [5e-324, 1 - 2**-53]
    assert list(found["recipe.validation.share"].beyond) == [0.0, 1.0]
    assert found["recipe.frozen_rates"].shape == "list"
    assert found["recipe.class_weights"].shape == found["blend.weights"].shape == "table"
    assert list(found["run.checkpoint_seconds"].beyond) == [0.0, None]
    assert "recipe.rotate" in found
    assert len(AT) > 60
