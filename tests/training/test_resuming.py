"""A training that was interrupted and goes on: the same bits as one that never was."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.training import GradientAccumulation
from fastai.learner import Learner

from competition.data.index import build_index
from competition.determinism.environment import set_up
from competition.errors import Stopped
from competition.settings_file import read_settings
from competition.training import fitting, members, resuming
from competition.training.members import open_workshop, train_member
from competition.training.recipes import build_learner
from tests.kills.sameness import differing, history, ledger
from tests.kills.small import BATCHES, CHANGES, EPOCHS, OFTEN, SELDOM, STEPS, write_competition


class Place(NamedTuple):
    """After a training step, a validation batch or a whole epoch; all count from 1."""

    epoch: int
    part: str
    number: int = 1


ALL_EPOCHS = EPOCHS["frozen"] + EPOCHS["unfrozen"]
PLACES = [
    place
    for epoch in range(1, ALL_EPOCHS + 1)
    for place in (
        *(Place(epoch, "step", number) for number in range(1, STEPS + 1)),
        *(Place(epoch, "validation", number) for number in range(1, BATCHES + 1)),
        Place(epoch, "end"),
    )
]
QUICK = {
    Place(1, "step", 1),
    Place(1, "step", STEPS),
    Place(1, "validation", 1),
    Place(1, "end"),
    Place(2, "end"),  # the frozen phase's last
    Place(4, "step", 3),
    Place(4, "end"),
}


class At(Callback):
    """A user's callback that does something at one place of the training, after the engine."""

    order = 4000

    def __init__(self, place: Place, act: Callable[[Learner], None]) -> None:
        self.place, self.act = place, act

    def after_batch(self) -> None:
        self._maybe("step" if self.training else "validation", self.iter + 1)

    def after_epoch(self) -> None:
        self._maybe("end", 1)

    def _maybe(self, part: str, number: int) -> None:
        epoch = self.learn.keyed_steps.first_epoch + self.epoch + 1
        if (epoch, part, number) == self.place:
            self.act(self.learn)


class Early(At):
    """The same, before the engine: within the step."""

    order = 20


class Killed(KeyboardInterrupt):
    """Nobody is asked and nothing is written: what a SIGKILL leaves, but for the process."""


def killed(learner: Learner) -> None:
    raise Killed


def asked(learner: Learner) -> None:
    signal.raise_signal(signal.SIGTERM)


@dataclass
class Small:
    """A small competition, and its trainings in folders of their own."""

    folder: Path
    config: Path
    environment: dict[str, Any]
    index: pd.DataFrame

    def train(
        self, name: str, *changes: str, callbacks: Sequence[Callback] = (), member: str = "a"
    ) -> Path:
        """Train, or go on with, the member in a folder; give the folder."""
        settings = read_settings(self.config, changes=[*CHANGES, SELDOM, *changes])

        def build_with(*arguments: Any, **options: Any) -> Learner:
            learner = build_learner(*arguments, **options)
            learner.add_cbs(callbacks)
            return learner

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(members, "build_learner", build_with)
            train_member(member, settings, self.index, self.environment, self.folder / name)
        return self.folder / name

    def interrupted(
        self,
        name: str,
        place: Place,
        *changes: str,
        by: Callable[[Learner], None] = killed,
        callbacks: Sequence[Callback] = (),
    ) -> str:
        """Train until a place at which the training ends; give what it said."""
        breaks = (Early if by is asked and place.part != "end" else At)(place, by)
        with pytest.raises(Stopped if by is asked else Killed) as stop:
            self.train(name, *changes, callbacks=[*callbacks, breaks])
        assert not (self.folder / name / "member.json").exists()
        return str(stop.value)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    folder = tmp_path_factory.mktemp("small")
    config = write_competition(folder)
    index = build_index(read_settings(config))
    return Small(folder, config, set_up(threads=1, device="cpu"), index)


@pytest.fixture(scope="module")
def unbroken(small: Small) -> Path:
    """A training that nobody disturbed."""
    return small.train("unbroken")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A folder for the test's own training."""
    return str(request.node.name).replace("/", "-")


@pytest.fixture(autouse=True)
def _signals_are_heard() -> Iterator[None]:
    """Whatever the shell that runs these tests made of them."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def checkpoints(folder: Path) -> list[tuple[int, int]]:
    """(epoch, step) of the checkpoints in a member's folder, the oldest first."""
    parts = [path.name.split("-") for path in (folder / "checkpoint").glob("epoch-*.safetensors")]
    return sorted((int(epoch), int(step)) for _, epoch, _, step, _ in parts)


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(place, marks=[] if place in QUICK else pytest.mark.slow, id="-".join(map(str, place)))
        for place in PLACES
    ],
)
def test_killed_anywhere_and_resumed(
    small: Small, unbroken: Path, name: str, place: Place
) -> None:
    small.interrupted(name, place, OFTEN)
    step = {"step": place.number, "validation": STEPS, "end": 0}[place.part]
    epoch = place.epoch if place.part == "end" else place.epoch - 1
    assert checkpoints(small.folder / name)[-1] == (epoch, step)
    assert differing(unbroken, small.train(name)) == []
    assert not (small.folder / name / "checkpoint").exists()


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(place, marks=[] if place in QUICK else pytest.mark.slow, id="-".join(map(str, place)))
        for place in PLACES
    ],
)
def test_asked_to_stop_anywhere_and_resumed(
    small: Small, unbroken: Path, name: str, place: Place
) -> None:
    said = small.interrupted(name, place, by=asked)
    # A request at the very end of an epoch is met after the first step of the next one.
    assert said.endswith("its checkpoint is written")
    assert differing(unbroken, small.train(name)) == []
