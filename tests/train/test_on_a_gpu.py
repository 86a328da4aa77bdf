"""A training on a GPU: the same bits twice, from wherever its images come, and when it resumes.

Each test runs on a CPU too, so that none of them is first run where there is a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner

from tests.kills.small import CHANGES, SELDOM, write_competition
from twinrun.config.reading import read_settings
from twinrun.data import device_cache, loaders
from twinrun.data.cache import cache_pixels, with_pixels
from twinrun.data.index import build_index
from twinrun.repro.environment import set_up
from twinrun.run_folder.paths import RESULT_FILES
from twinrun.train import members
from twinrun.train.learner import build_learner
from twinrun.train.members import train_member

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
Train = Callable[..., dict[str, bytes]]


class Interrupted(BaseException):
    """What a SIGKILL leaves, but for the process."""


class InterruptAt(Callback):
    """Ends the training after a step of an epoch; both count from 0."""

    order = 4000

    def __init__(self, epoch: int, step: int) -> None:
        self.at = (epoch, step)

    def after_batch(self) -> None:
        if self.training and (self.epoch, self.iter) == self.at:
            raise Interrupted


# On a CPU it shows that these tests can pass; what they ask of a CPU, quicker tests ask too.
@pytest.fixture(
    params=[pytest.param("cpu", marks=pytest.mark.slow), pytest.param("cuda", marks=needs_cuda)]
)
def train(request: pytest.FixtureRequest, tmp_path: Path) -> Train:
    """Train a small member on a device, or resume it; the bytes of its files."""
    config = write_competition(tmp_path)
    environment = set_up(threads=1, device=request.param)
    index = build_index(read_settings(config))
    pixels = cache_pixels(
        index, tmp_path / "data", read_settings(config).cached_sizes(), tmp_path / "cache"
    )
    index = with_pixels(index, pixels)

    def made(name: str, *changes: str, callbacks: Sequence[Callback] = ()) -> dict[str, bytes]:
        asked = [*CHANGES, SELDOM, f"run.device={request.param}", *changes]
        folder = tmp_path / name

        def build(*arguments: Any, **options: Any) -> Learner:
            learner = build_learner(*arguments, **options)
            learner.add_cbs(callbacks)
            return learner

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(members, "build_learner", build)
            settings = read_settings(config, changes=asked)
            train_member("a", settings, index, pixels, environment, folder)
        return {file: (folder / file).read_bytes() for file in RESULT_FILES}

    return made


def test_a_training_has_the_same_bits_twice_and_others_with_another_seed(train: Train) -> None:
    first = train("first")
    assert train("second") == first
    other = train("other", "run.seed=1")
    assert all(other[file] != first[file] for file in RESULT_FILES)


@pytest.mark.parametrize(("epoch", "step"), [(0, 1), (1, 3)])
def test_a_training_that_was_interrupted_resumes_to_the_same_bits(
    train: Train, epoch: int, step: int
) -> None:
    whole = train("whole")
    often = "run.checkpoint_seconds=1e-9"
    with pytest.raises(Interrupted):
        train("resumed", often, callbacks=[InterruptAt(epoch, step)])
    assert train("resumed") == whole


def test_images_in_the_gpus_memory_or_sent_ahead_give_the_same_bits(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed: list[str] = []

    def resident(device: torch.device, rows: Any) -> Any:
        placed.append("resident")
        return device_cache.ResidentRows(rows, device)

    def sent(device: torch.device, rows: Any) -> Any:
        placed.append("sent")
        return rows

    monkeypatch.setattr(loaders, "place_on", resident)
    there = train("resident")
    monkeypatch.setattr(loaders, "place_on", sent)
    assert train("sent") == there
    assert set(placed) == {"resident", "sent"}
