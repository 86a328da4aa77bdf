"""A training that was interrupted and resumes: the same bits as one that never was."""

from __future__ import annotations

import copy
import importlib
import itertools
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.tracker import (
    EarlyStoppingCallback,
    ReduceLROnPlateau,
    SaveModelCallback,
    TrackerCallback,
)
from fastai.callback.training import GradientAccumulation
from fastai.learner import Learner
from fastai.vision.augment import Resize, aug_transforms

from tests.kills.sameness import differing, history, ledger
from tests.kills.small import BATCHES, CHANGES, EPOCHS, OFTEN, SELDOM, STEPS, write_competition
from twinrun.config.reading import read_settings
from twinrun.data.cache import cache_pixels, with_pixels
from twinrun.data.decode_settings import DecodeSettings
from twinrun.data.index import build_index
from twinrun.data.keyed_loader import KeyedLoader
from twinrun.data.pixels import Pixels
from twinrun.errors import InputError, Stopped
from twinrun.repro.environment import set_up
from twinrun.repro.ledger import Ledger
from twinrun.run_folder.paths import PROGRESS_FILES, RESULT_FILES
from twinrun.run_folder.records import read_record
from twinrun.train import members, owners, resume, users_restored
from twinrun.train.checkpoints import Checkpoint, Checkpoints
from twinrun.train.learner import build_learner
from twinrun.train.members import set_up_training, train_member


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


SLOW = pytest.mark.slow


class AfterEngine(Callback):
    """Does something at one place of the training, after the engine."""

    __module__ = "twinrun.tests"  # none of the user's: it is not there when a training resumes
    order = 4000

    def __init__(self, place: Place, deed: Callable[[Learner], None]) -> None:
        self.place, self.deed = place, deed

    def after_batch(self) -> None:
        self._maybe("step" if self.training else "validation", self.iter + 1)

    def after_epoch(self) -> None:
        self._maybe("end", 1)

    def _maybe(self, part: str, number: int) -> None:
        epoch = self.learn.keyed_steps.first_epoch + self.epoch + 1
        if (epoch, part, number) == self.place:
            self.deed(self.learn)


class WithinStep(AfterEngine):
    """The same, before the engine: within the step."""

    __module__ = "twinrun.tests"
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
    pixels: dict[int, Pixels]

    @classmethod
    def of(cls, folder: Path, code: str = "") -> Small:
        """Write one into a folder, with its images decoded; `code`: its hooks.py."""
        config = write_competition(folder)
        if code:
            config.with_name("hooks.py").write_text(code, encoding="utf-8")
        settings = read_settings(config)
        index, how = build_index(settings), DecodeSettings.of(settings)
        sizes, cache = settings.cached_sizes(), folder / "cache"
        pixels = cache_pixels(index, settings.data_folder, sizes, cache, how=how)
        environment = set_up(threads=1, device="cpu", packages=settings.code.packages)
        return cls(folder, config, environment, with_pixels(index, pixels), pixels)

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
            train_member(
                member, settings, self.index, self.pixels, self.environment, self.folder / name
            )
        return self.folder / name

    def interrupted(
        self,
        name: str,
        place: Place,
        *changes: str,
        by: Callable[[Learner], None] = killed,
        callbacks: Sequence[Callback] = (),
        member: str = "a",
    ) -> str:
        """Train until a place at which the training ends; give what it said."""
        breaks = (WithinStep if by is asked else AfterEngine)(place, by)
        with pytest.raises(Stopped if by is asked else Killed) as stop:
            self.train(name, *changes, callbacks=[*callbacks, breaks], member=member)
        assert not (self.folder / name / "member.json").exists()
        return str(stop.value)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small.of(tmp_path_factory.mktemp("small"))


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


def places(quick: set[Place]) -> pytest.MarkDecorator:
    """Every place; those that are not quick only when the slow tests are asked for."""
    return pytest.mark.parametrize(
        "place",
        [
            pytest.param(
                place,
                marks=[] if place in quick else pytest.mark.slow,
                id="-".join(map(str, place)),
            )
            for place in PLACES
        ],
    )


@places({Place(1, "validation", 1), Place(3, "step", 2)})
def test_killed_anywhere_and_resumed(small: Small, unbroken: Path, name: str, place: Place) -> None:
    small.interrupted(name, place, OFTEN)
    assert checkpoints(small.folder / name)[-1] == complete(place)
    assert differing(unbroken, small.train(name)) == []
    assert not (small.folder / name / "checkpoint").exists()
    assert resumed(unbroken) == []
    assert resumed(small.folder / name) == [list(complete(place))]


def resumed(folder: Path) -> list[list[int]]:
    """Where a training resumed, as its record says."""
    record = read_record(folder)
    assert record is not None
    places: list[list[int]] = record["beside"]["resumed"]
    return places


@places({Place(2, "validation", BATCHES)})
def test_asked_to_stop_anywhere_and_resumed(
    small: Small, unbroken: Path, name: str, place: Place
) -> None:
    said = small.interrupted(name, place, by=asked)
    assert said == f"stopped a {words(place)}; its checkpoint is written"
    # That is the last checkpoint, and it is needed: there is no other in the epoch.
    assert checkpoints(small.folder / name)[-1] == complete(place)
    assert differing(unbroken, small.train(name)) == []


@pytest.mark.parametrize(
    ("place", "met"),
    [
        pytest.param(Place(2, "end"), Place(3, "step", 1), marks=pytest.mark.slow),
        (Place(4, "end"), Place(4, "end")),
    ],
)
def test_asked_to_stop_between_two_epochs(
    small: Small, unbroken: Path, name: str, place: Place, met: Place
) -> None:
    with pytest.raises(Stopped, match=re.escape(words(met))):
        small.train(name, callbacks=[AfterEngine(place, asked)])
    assert differing(unbroken, small.train(name)) == []


@pytest.mark.parametrize(
    ("place", "kept"),
    [
        pytest.param(Place(3, "step", 1), (2, 0), id="within", marks=pytest.mark.slow),
        pytest.param(Place(4, "end"), (4, 0), id="before-predicting"),
    ],
)
def test_a_library_told_to_compute_otherwise_ends_the_training_and_spoils_no_checkpoint(
    small: Small, unbroken: Path, name: str, place: Place, kept: tuple[int, int]
) -> None:
    def without_onednn(learner: Learner) -> None:
        torch.backends.mkldnn.enabled = False  # type: ignore[assignment]

    try:
        with pytest.raises(InputError, match="not as it was at the start") as refused:
            small.train(name, callbacks=[AfterEngine(place, without_onednn)])
    finally:
        torch.backends.mkldnn.enabled = True  # type: ignore[assignment]
    assert [line.partition(",")[0] for line in refused.value.details] == ["mkldnn"]
    folder = small.folder / name
    assert checkpoints(folder)[-1] == kept
    assert not {"member.json", "weights.safetensors"} & {each.name for each in folder.iterdir()}
    # Without the culprit it goes on from before the change.
    assert differing(unbroken, small.train(name)) == []


def complete(place: Place) -> tuple[int, int]:
    """The epochs, and the steps of the next one, that are complete at a place."""
    if place.part == "end":
        return place.epoch, 0
    return place.epoch - 1, place.number if place.part == "step" else STEPS


def words(place: Place) -> str:
    """How a place is told to the user."""
    epoch, step = complete(place)
    if place.part == "end":
        return f"after epoch {epoch} of {ALL_EPOCHS}"
    return f"in epoch {epoch + 1} of {ALL_EPOCHS}, after step {step} of {STEPS}"


@pytest.mark.slow
def test_killed_after_each_single_step(small: Small, unbroken: Path, name: str) -> None:
    for place in PLACES:
        small.interrupted(name, place, OFTEN)
    assert differing(unbroken, small.train(name)) == []


@pytest.mark.slow
def test_killed_twice_and_before_it_got_any_further(
    small: Small, unbroken: Path, name: str
) -> None:
    small.interrupted(name, Place(1, "step", 3), OFTEN)
    # The second time without a checkpoint of its own, and the third time beyond the phase.
    small.interrupted(name, Place(1, "validation", 1))
    small.interrupted(name, Place(3, "step", 1), OFTEN)
    assert differing(unbroken, small.train(name)) == []


@pytest.mark.slow
def test_what_goes_on_is_told(
    small: Small, unbroken: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    small.interrupted(name, Place(3, "step", 2), OFTEN)
    assert "resumes" not in capsys.readouterr().out
    small.interrupted(name, Place(3, "end"))
    told = "a resumes from its checkpoint: in epoch 3 of 4, after step 2 of 4"
    assert told in capsys.readouterr().out
    small.train(name)
    assert "a resumes from its checkpoint: after epoch 3 of 4" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(0, 2), (2, 0)])
def test_resumed_with_another_number_of_workers(
    small: Small, unbroken: Path, name: str, before: int, after: int
) -> None:
    small.interrupted(name, Place(2, "step", 2), OFTEN, f"run.workers={before}")
    resumed = small.train(name, f"run.workers={after}")
    assert differing(unbroken, resumed) == []


@pytest.mark.slow
@pytest.mark.parametrize("level", ["epoch", "tensor"])
def test_resumed_at_another_level_of_the_ledger(
    small: Small, unbroken: Path, name: str, level: str
) -> None:
    change = f"run.ledger='{level}'"
    whole = small.train(f"whole-{level}", change)
    small.interrupted(name, Place(3, "step", 2), OFTEN, change)
    assert differing(whole, small.train(name, change)) == []
    # The level is no part of what is trained.
    assert differing(unbroken, whole) == ["ledger"]


def damage(folder: Path) -> None:
    """Flip one bit of the member's last checkpoint."""
    path = max((folder / "checkpoint").glob("epoch-*.safetensors"))
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)


def test_a_damaged_checkpoint_is_passed_over(
    small: Small, unbroken: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    small.interrupted(name, Place(4, "step", 3), OFTEN)
    folder = small.folder / name
    damage(folder)
    # Killed again at once: the damaged one is still there, and seems to be the last.
    small.interrupted(name, Place(4, "step", 3))
    said = capsys.readouterr().out
    assert "is damaged: taking the one before it" in said
    assert "in epoch 4 of 4, after step 2 of 4" in said
    assert differing(unbroken, small.train(name)) == []


@pytest.mark.slow
def test_when_both_checkpoints_are_damaged_it_starts_over(
    small: Small, unbroken: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    small.interrupted(name, Place(1, "step", 3), OFTEN)
    folder = small.folder / name
    for path in (folder / "checkpoint").iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    small.interrupted(name, Place(1, "step", 2), OFTEN)
    assert "is damaged: starting over" in capsys.readouterr().out
    assert checkpoints(folder) == [(0, 1), (0, 2)]
    assert differing(unbroken, small.train(name)) == []


# What a checkpoint holds, left away: a comparison that did not see it would prove nothing.


def without_optimizer(checkpoint: Checkpoint) -> Checkpoint:
    kept = {k: v for k, v in checkpoint.tensors.items() if not k.startswith("optimizer/")}
    return replace(checkpoint, tensors=kept)


def without_steps_of_optimizer(checkpoint: Checkpoint) -> Checkpoint:
    facts = {**checkpoint.facts, "optimizer": {}}
    tensors = {k: v for k, v in checkpoint.tensors.items() if not k.startswith("optimizer/")}
    return replace(checkpoint, facts=facts, tensors=tensors)


def with_a_bit_of_a_weight_flipped(checkpoint: Checkpoint) -> Checkpoint:
    weight = checkpoint.tensors["weight/1.8.weight"].clone()
    weight.view(torch.int32)[0, 0] ^= 1
    return replace(checkpoint, tensors={**checkpoint.tensors, "weight/1.8.weight": weight})


def with_a_buffer_changed(checkpoint: Checkpoint) -> Checkpoint:
    buffer = next(name for name in checkpoint.tensors if name.endswith("running_mean"))
    changed = checkpoint.tensors[buffer] + 1e-3
    return replace(checkpoint, tensors={**checkpoint.tensors, buffer: changed})


def one_step_back(checkpoint: Checkpoint) -> Checkpoint:
    return replace(checkpoint, step=checkpoint.step - 1)


def another_place_in_the_schedule(checkpoint: Checkpoint) -> Checkpoint:
    schedule = {**checkpoint.facts["schedule"], "pct_train": 0.0}
    return replace(checkpoint, facts={**checkpoint.facts, "schedule": schedule})


def another_smooth_loss(checkpoint: Checkpoint) -> Checkpoint:
    smooth = checkpoint.tensors["smooth_loss"] + 1
    return replace(checkpoint, tensors={**checkpoint.tensors, "smooth_loss": smooth})


def another_count_of_smoothed_losses(checkpoint: Checkpoint) -> Checkpoint:
    return replace(checkpoint, facts={**checkpoint.facts, "smooth_count": 0})


def history_without_an_epoch(checkpoint: Checkpoint) -> Checkpoint:
    facts = {**checkpoint.facts, "history": checkpoint.facts["history"][1:]}
    return replace(checkpoint, facts=facts)


def ledger_without_a_row(checkpoint: Checkpoint) -> Checkpoint:
    rows = Ledger.from_bytes(checkpoint.tensors["ledger"].numpy().tobytes())
    rows._written = rows.rows().slice(1)
    content = torch.frombuffer(bytearray(rows.to_bytes()), dtype=torch.uint8)
    return replace(checkpoint, tensors={**checkpoint.tensors, "ledger": content})


RESULTS = list(RESULT_FILES)


@pytest.mark.parametrize(
    ("lack", "expected"),
    [
        pytest.param(
            without_optimizer, [*RESULTS, "ledger", "history", "record"], marks=pytest.mark.slow
        ),
        pytest.param(
            without_steps_of_optimizer,
            [*RESULTS, "ledger", "history", "record"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            with_a_bit_of_a_weight_flipped,
            [*RESULTS, "ledger", "history", "record"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            with_a_buffer_changed, [*RESULTS, "ledger", "history", "record"], marks=pytest.mark.slow
        ),
        (one_step_back, [*RESULTS, "ledger", "history", "record"]),
        pytest.param(
            another_place_in_the_schedule,
            [*RESULTS, "ledger", "history", "record"],
            marks=pytest.mark.slow,
        ),
        (another_smooth_loss, ["history", "record"]),
        pytest.param(
            another_count_of_smoothed_losses, ["history", "record"], marks=pytest.mark.slow
        ),
        pytest.param(history_without_an_epoch, ["history"], marks=pytest.mark.slow),
        pytest.param(ledger_without_a_row, ["ledger"], marks=pytest.mark.slow),
    ],
)
def test_a_checkpoint_that_lacks_something_gives_a_difference(
    small: Small,
    unbroken: Path,
    killed_in_mid_epoch: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    lack: Callable[[Checkpoint], Checkpoint],
    expected: list[str],
) -> None:
    shutil.copytree(killed_in_mid_epoch, small.folder / name)
    latest = Checkpoints.latest

    def lacking(checkpoints: Checkpoints) -> Checkpoint:
        checkpoint = latest(checkpoints)
        assert checkpoint is not None
        return lack(checkpoint)

    monkeypatch.setattr(Checkpoints, "latest", lacking)
    assert differing(unbroken, small.train(name)) == expected


def test_a_training_killed_after_its_last_epoch_resumes_in_a_folder_with_only_its_checkpoint(
    small: Small, unbroken: Path, name: str
) -> None:
    """As on a different node: what is kept up to date from epoch to epoch is not there."""
    small.interrupted(name, Place(ALL_EPOCHS, "end"))
    for file in PROGRESS_FILES:
        (small.folder / name / file).unlink()
    assert differing(unbroken, small.train(name)) == []


@pytest.fixture(scope="module")
def killed_in_mid_epoch(small: Small) -> Path:
    """A training that was killed in the last epoch but one, of the second phase."""
    small.interrupted("killed", Place(3, "step", 2), OFTEN)
    return small.folder / "killed"


@pytest.mark.slow
def test_with_nothing_left_away_there_is_no_difference(
    small: Small, unbroken: Path, killed_in_mid_epoch: Path, name: str
) -> None:
    shutil.copytree(killed_in_mid_epoch, small.folder / name)
    assert differing(unbroken, small.train(name)) == []


# A user's own callbacks.


class Noise(Callback):
    """Draws from all three generators in every event that comes before a step."""

    order = 5

    def before_fit(self) -> None:
        self.levels = [torch.rand(1)]

    def before_epoch(self) -> None:
        self.levels[1:] = [torch.rand(1) + random.random()]

    def before_train(self) -> None:
        self.levels[2:] = [torch.rand(1) + float(np.random.rand())]

    def before_batch(self) -> None:
        noise = torch.rand_like(self.x) + random.random() + float(np.random.rand())
        self.learn.xb = (self.x + 0.01 * sum(self.levels) * noise,)

    def after_train(self) -> None:
        self.levels.append(torch.rand(1))

    def before_validate(self) -> None:
        self.levels.append(torch.rand(1))


class Counts(Callback):
    """Has numbers of its own, and what it does depends on them."""

    def __init__(self) -> None:
        self.steps = self.fits = self.epochs = 0
        self.said = ""

    def before_fit(self) -> None:
        self.fits += 1
        self.in_fit = 0.0

    def before_epoch(self) -> None:
        self.epochs += 1

    def before_train(self) -> None:
        self.in_fit += 0.5

    def before_batch(self) -> None:
        self.steps += 1
        self.said += "."
        count = self.steps + self.fits + self.epochs + self.in_fit + len(self.said)
        self.learn.xb = (self.x * (1 + 0.001 * count),)

    def after_epoch(self) -> None:
        self.epochs += 1


class Ema(Callback):
    """Keeps a mean of the weights, each step's losses and what it has seen; all of it counts."""

    def __init__(self) -> None:
        self.mean: dict[str, torch.Tensor] = {}
        self.losses: list[Any] = []
        self.seen: dict[str, Any] = {"images": np.zeros(3, np.int64), "last": (None, -0.0)}

    def before_fit(self) -> None:
        self.copy = copy.deepcopy(self.learn.model)

    def after_batch(self) -> None:
        if not self.training:
            return
        for name, weight in self.learn.model.named_parameters():
            now = weight.detach()
            self.mean[name] = torch.lerp(self.mean.get(name, now), now, 0.2)
        self.losses.append(self.loss.detach())
        for mean, now in zip(self.copy.parameters(), self.learn.model.parameters(), strict=True):
            mean.data.lerp_(now.data, 0.3)
        self.seen["images"][int(self.yb[0][0])] += len(self.x)
        self.seen["last"] = (float(self.loss.detach()), -0.0)

    def after_epoch(self) -> None:
        """The weights are half of this epoch's means."""
        share = 0.01 * float(torch.stack(self.losses[-6:]).mean()) + 1e-6 * self.seen["images"][0]
        copies = self.copy.parameters()
        with torch.no_grad():
            named = self.learn.model.named_parameters()
            for (name, weight), other in zip(named, copies, strict=True):
                weight.lerp_(self.mean[name], share).lerp_(other, share)


class BestLoss(TrackerCallback):
    """Of fastai's own: it looks at the rows of epochs, which a resumed fit passes through."""

    def after_epoch(self) -> None:
        super().after_epoch()
        with torch.no_grad():
            self.learn.model[1][-1].weight.mul_(1 - 0.001 * float(self.best) - 0.1 * self.new_best)


class Accumulate8(GradientAccumulation):
    """Two steps to an update."""

    def __init__(self) -> None:
        super().__init__(8)


class Accumulate12(GradientAccumulation):
    """Three steps to an update: the last one's of an epoch begins in the epoch before."""

    def __init__(self) -> None:
        super().__init__(12)


@pytest.fixture(scope="module")
def unbroken_with(small: Small) -> Callable[[type[Callback]], Path]:
    """An undisturbed training with a callback, once per callback."""

    trained: dict[str, Path] = {}

    def train(callback: type[Callback]) -> Path:
        name = f"unbroken with {callback.__name__}"
        if name not in trained:
            trained[name] = small.train(name, callbacks=[callback()])
        return trained[name]

    return train


# Where it is interrupted; by default test_own_training.py tries one place with all of them.
USERS_OWN: list[tuple[type[Callback], Place]] = [
    (Noise, Place(3, "step", 2)),
    (Noise, Place(2, "end")),
    (Noise, Place(4, "step", 4)),
    (Noise, Place(4, "validation", 1)),
    (Counts, Place(1, "end")),
    (Counts, Place(2, "end")),
    (Counts, Place(3, "step", 2)),
    (Counts, Place(3, "end")),
    (Counts, Place(4, "step", 4)),
    (Ema, Place(3, "step", 3)),
    (Ema, Place(1, "end")),
    (Ema, Place(2, "end")),
    (BestLoss, Place(3, "end")),
    (BestLoss, Place(4, "step", 1)),
    (Accumulate8, Place(3, "step", 3)),
    (Accumulate8, Place(3, "step", 2)),
    (Accumulate12, Place(1, "end")),
    (Accumulate12, Place(2, "step", 1)),
    (Accumulate12, Place(2, "end")),
    (Accumulate12, Place(4, "step", 4)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("callback", "place"), USERS_OWN)
def test_with_a_callback_of_the_users_own(
    small: Small,
    unbroken: Path,
    unbroken_with: Callable[[type[Callback]], Path],
    name: str,
    callback: type[Callback],
    place: Place,
) -> None:
    whole = unbroken_with(callback)
    assert "weights.safetensors" in differing(unbroken, whole)
    small.interrupted(name, place, OFTEN, callbacks=[callback()])
    assert differing(whole, small.train(name, callbacks=[callback()])) == []


@pytest.mark.slow
@pytest.mark.parametrize("lack", ["numbers", "gradients"])
def test_what_a_users_callback_keeps_matters(
    small: Small,
    unbroken_with: Callable[[type[Callback]], Path],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    lack: str,
) -> None:
    small.interrupted(name, Place(3, "step", 3), OFTEN, callbacks=[Accumulate8()])
    if lack == "numbers":
        monkeypatch.setattr(users_restored, "_restore_values", lambda *_: None)
    else:
        monkeypatch.setattr(resume, "_GRADIENT", "nowhere/")
    resumed = small.train(name, callbacks=[Accumulate8()])
    assert "weights.safetensors" in differing(unbroken_with(Accumulate8), resumed)


class Refused(Callback):
    """Keeps what no checkpoint can hold."""

    def __init__(self, kept: Any) -> None:
        self.kept = {"inside": [1, kept]}


def own_generator() -> Any:
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (own_generator, "a generator of its own (numpy.random"),
        (lambda: {1, 2}, "a set, which has no order"),
        (object, "of the class object"),
        (Path(os.devnull).open, "of the class _io.TextIOWrapper"),
    ],
)
def test_a_callback_whose_state_cannot_be_kept_is_refused_before_training(
    small: Small, name: str, made: Callable[[], Any], said: str
) -> None:
    with closing_if_file(made()) as value, pytest.raises(InputError) as refused:
        small.train(name, callbacks=[Refused(value)])
    assert refused.value.what.startswith("callback Refused (train/test_resume.py, line ")
    assert ": kept['inside'][1] cannot be kept in a checkpoint" in refused.value.what
    assert said in refused.value.details[0]
    assert "state_dict() and load_state_dict" in refused.value.fix
    assert not any((small.folder / name).glob("*"))


@contextmanager
def closing_if_file(value: Any) -> Iterator[Any]:
    yield value
    if hasattr(value, "close"):
        value.close()


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (EarlyStoppingCallback, "the recipe's epochs say how long"),
        (SaveModelCallback, "its file lies outside the run"),
        (ReduceLROnPlateau, "sets the learning rate at each step"),
    ],
)
def test_a_callback_of_fastais_that_is_of_no_use_is_refused(
    small: Small, name: str, made: type[Callback], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        small.train(name, callbacks=[made()])
    assert not any((small.folder / name).glob("*"))


class Exchanges(Callback):
    """Rules by a function, which is another one later."""

    def __init__(self) -> None:
        self.rule: Callable[..., Any] = np.less

    def after_batch(self) -> None:
        if self.training and self.iter == 2:
            self.rule = np.greater


def test_a_function_that_is_exchanged_is_found_at_the_next_checkpoint(
    small: Small, name: str
) -> None:
    with pytest.raises(InputError, match="rule was <ufunc 'less'> when the training began and is"):
        small.train(name, callbacks=[Exchanges()])


class SaysItself(Callback):
    """Has what is not plain, and says what it is."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def before_batch(self) -> None:
        self.seen.add(int(self.learn.iter) + 10 * len(self.seen))
        self.learn.xb = (self.x * (1 + 0.001 * sum(self.seen)),)

    def state_dict(self) -> dict[str, Any]:
        return {"seen": sorted(self.seen)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = set(state["seen"])


@pytest.mark.slow
def test_a_callback_may_say_itself_what_its_state_is(small: Small, name: str) -> None:
    whole = small.train(f"{name}-whole", callbacks=[SaysItself()])
    small.interrupted(name, Place(3, "step", 2), OFTEN, callbacks=[SaysItself()])
    assert differing(whole, small.train(name, callbacks=[SaysItself()])) == []


class LooksIn(Callback):
    """Validates, predicts and augments at the end of each epoch."""

    def __init__(self, order: int) -> None:
        self.order, self.busy = order, False
        self.seen: list[Any] = []

    def after_epoch(self) -> None:
        if self.busy:  # hears of the epochs that it makes itself
            return
        self.busy = True
        epoch = self.learn.epoch
        self.seen.append(self.learn.validate())
        self.learn.get_preds()
        self.learn.get_preds(dl=self.dls.train.new(shuffle=False, drop_last=False))
        self.learn.epoch = epoch
        self.busy = False


# Before fastai's recorder, between it and the engine's history, after everything.
@pytest.mark.parametrize(
    "order", [55, *(pytest.param(order, marks=pytest.mark.slow) for order in (5, 65, 4000))]
)
def test_a_callback_that_validates_and_predicts_changes_nothing(
    small: Small, unbroken: Path, name: str, order: int
) -> None:
    look = LooksIn(order)
    assert differing(unbroken, small.train(name, callbacks=[look])) == []
    assert len(look.seen) == ALL_EPOCHS
    assert len(history(unbroken)) == 1 + ALL_EPOCHS
    # What it sees is what the history says.
    assert [float(row[3]) for row in history(unbroken)[1:]] == pytest.approx(
        [loss for loss, *_ in look.seen]
    )


@pytest.mark.slow
def test_a_callback_that_validates_and_an_interruption(
    small: Small, unbroken: Path, name: str
) -> None:
    small.interrupted(name, Place(3, "step", 2), OFTEN, callbacks=[LooksIn(55)])
    assert differing(unbroken, small.train(name, callbacks=[LooksIn(55)])) == []


@pytest.fixture
def with_lr_find(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[str], list[list[float]]]:
    """Let a user look for a learning rate before or between the phases; give the losses seen."""
    # fastai keeps the weights in a file meanwhile.
    monkeypatch.chdir(tmp_path)

    def patch(when: str) -> list[list[float]]:
        found: list[list[float]] = []
        name = {"before": "fit", "between": "unfreeze"}[when]
        owner: Any = {"before": members, "between": Learner}[when]
        proper = getattr(owner, name)

        def looks_first(learner: Learner, *arguments: Any, **options: Any) -> Any:
            if when == "between":
                proper(learner)
            with learner.no_bar(), learner.no_logging():
                learner.lr_find(num_it=6, show_plot=False, suggest_funcs=None)
            found.append([float(loss) for loss in learner.recorder.losses])
            return proper(learner, *arguments, **options)

        monkeypatch.setattr(owner, name, looks_first)
        return found

    return patch


# fastai's own way to read back what it has just written.
reads_pickles = pytest.mark.filterwarnings("ignore:numpy.core:DeprecationWarning")


@reads_pickles
@pytest.mark.parametrize("when", ["between", pytest.param("before", marks=pytest.mark.slow)])
def test_lr_find_changes_no_bit(
    small: Small,
    unbroken: Path,
    name: str,
    with_lr_find: Callable[[str], list[list[float]]],
    when: str,
) -> None:
    found = with_lr_find(when)
    assert differing(unbroken, small.train(name)) == []
    # It did train.
    assert len(found[0]) >= 5
    assert len(set(found[0])) > 1


@reads_pickles
@pytest.mark.slow
@pytest.mark.parametrize("place", [Place(2, "end"), Place(3, "step", 2)])
def test_lr_find_between_the_phases_and_an_interruption(
    small: Small,
    unbroken: Path,
    name: str,
    with_lr_find: Callable[[str], list[list[float]]],
    place: Place,
) -> None:
    small.interrupted(name, place, OFTEN)
    with_lr_find("between")
    assert differing(unbroken, small.train(name)) == []


# The engine's own, and a user's of fastai's: images are floats when they reach batch transforms.
@pytest.mark.parametrize(
    ("items", "batches"),
    [(None, None), ([Resize(32)], aug_transforms(max_lighting=0.5, p_lighting=1.0))],
    ids=["engine's", "user's"],
)
def test_augmentation_at_test_time_is_keyed(small: Small, items: Any, batches: Any) -> None:
    settings = read_settings(small.config, changes=CHANGES)
    workshop = set_up_training("a", settings, small.index, small.pixels, small.environment)
    learner = workshop.learner

    def passes(count: int) -> torch.Tensor:
        """The mean over the augmented passes."""
        with learner.no_bar(), learner.no_logging():
            augmented, _ = learner.tta(n=count, item_tfms=items, batch_tfms=batches, beta=None)[0]
        mean: torch.Tensor = augmented
        return mean

    once, twice, again = passes(1), passes(2), passes(2)
    assert torch.equal(twice, again)
    # The mean of two passes: were they equal, it would be either of them.
    assert not torch.equal(once, twice)
    random.seed(5)
    torch.manual_seed(5)
    assert torch.equal(passes(1), once)


# Ctrl-C and SIGTERM.

both_signals = pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)


def raises(*numbers: signal.Signals) -> Callable[[Learner], None]:
    def deed(learner: Learner) -> None:
        for number in numbers:
            signal.raise_signal(number)

    return deed


@both_signals
def test_a_signal_within_a_step_lets_the_step_end(
    small: Small, name: str, number: signal.Signals
) -> None:
    stop = WithinStep(Place(3, "step", 2), raises(number))
    with pytest.raises(Stopped) as stopped:
        small.train(name, callbacks=[stop])
    assert str(stopped.value) == (
        "stopped a in epoch 3 of 4, after step 2 of 4; its checkpoint is written"
    )
    folder = small.folder / name
    assert checkpoints(folder) == [(2, 0), (2, 2)]
    rows = ledger(folder)
    # All stages of the step are there, and nothing of the next.
    assert (rows["epoch"][-1], rows["step"][-1], rows["stage"][-1]) == (3, 2, "update")
    assert signal.getsignal(number) is signal.default_int_handler


@both_signals
def test_a_second_signal_acts_at_once(
    small: Small, unbroken: Path, name: str, number: signal.Signals
) -> None:
    stop = WithinStep(Place(3, "step", 2), raises(number, number))
    with pytest.raises(KeyboardInterrupt) as stopped:
        small.train(name, OFTEN, callbacks=[stop])
    assert not isinstance(stopped.value, Stopped)
    assert checkpoints(small.folder / name) == [(2, 0), (2, 1)]
    assert differing(unbroken, small.train(name)) == []


@pytest.mark.slow
def test_a_signal_while_a_checkpoint_is_written(
    small: Small, unbroken: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, saved = Checkpoints.save, list[tuple[int, int]]()

    def interrupted(checkpoints: Checkpoints, checkpoint: Checkpoint) -> None:
        place = (checkpoint.epoch, checkpoint.step)
        saved.append(place)
        # Once: a second one acts at once, and would end pytest itself.
        if place == (1, 2) and saved.count(place) == 1:
            signal.raise_signal(signal.SIGINT)
        save(checkpoints, checkpoint)

    monkeypatch.setattr(Checkpoints, "save", interrupted)
    with pytest.raises(Stopped, match="in epoch 2 of 4, after step 2 of 4"):
        small.train(name, OFTEN)
    assert differing(unbroken, small.train(name)) == []


@pytest.mark.slow
def test_an_ignored_signal_stays_ignored(small: Small, unbroken: Path, name: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    passed = WithinStep(Place(2, "step", 2), raises(signal.SIGINT, signal.SIGINT))
    assert differing(unbroken, small.train(name, callbacks=[passed])) == []
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.slow
def test_a_training_outside_of_the_main_thread(small: Small, unbroken: Path, name: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        folder = pool.submit(small.train, name).result()
    assert differing(unbroken, folder) == []


def a_schedulers_sigterm(learner: Learner) -> None:
    """Somebody ends the loader's processes too, and torch hears of it within the step."""
    processes = [str(worker.pid) for worker in multiprocessing.active_children()]
    assert processes
    subprocess.run(["kill", "-TERM", str(os.getpid()), *processes], check=True)
    for _ in range(20):
        time.sleep(0.01)


def a_terminals_ctrl_c(learner: Learner) -> None:
    for worker in multiprocessing.active_children():
        os.kill(worker.pid or 0, signal.SIGINT)
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("place", [Place(1, "step", 2), Place(2, "validation", 1)])
@pytest.mark.slow
@pytest.mark.parametrize("deed", [a_schedulers_sigterm, a_terminals_ctrl_c])
def test_a_signal_that_the_loaders_processes_hear_too(
    small: Small, unbroken: Path, name: str, place: Place, deed: Callable[[Learner], None]
) -> None:
    # A step that has lost its loader does not come to its end.
    lost = deed is a_schedulers_sigterm and place.part == "step"
    said = "within a step; it resumes from its last checkpoint" if lost else re.escape(words(place))
    with pytest.raises(Stopped, match=said):
        small.train(name, "run.workers=2", callbacks=[WithinStep(place, deed)])
    assert differing(unbroken, small.train(name)) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("epoch", "steps", "told"),
    [
        (1, 2, "in epoch 1 of 4, after step 2 of 4"),
        (1, 0, "after epoch 0 of 4"),
        (3, 0, "after epoch 2 of 4"),
    ],
)
def test_a_lost_worker_between_two_steps_after_ctrl_c(
    small: Small,
    unbroken: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    epoch: int,
    steps: int,
    told: str,
) -> None:
    iterate = KeyedLoader.__iter__

    def loses_a_worker(loader: KeyedLoader) -> Iterator[Any]:
        for number, batch in enumerate(iterate(loader)):
            if loader.shuffle and (loader.epoch + 1, number) == (epoch, steps):
                # The batch has arrived, and the ledger has noted it already.
                signal.raise_signal(signal.SIGINT)
                raise RuntimeError("DataLoader worker (pid 4711) exited unexpectedly")
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(KeyedLoader, "__iter__", loses_a_worker)
        with pytest.raises(Stopped, match=f"stopped a {told}; its checkpoint is written"):
            small.train(name)
    assert checkpoints(small.folder / name)[-1] == (epoch - 1, steps)
    assert differing(unbroken, small.train(name)) == []


@pytest.mark.parametrize("place", [Place(3, "step", 2), pytest.param(Place(2, "end"), marks=SLOW)])
def test_a_lost_worker_before_the_state_is_put_back_leaves_the_checkpoint(
    small: Small, unbroken: Path, name: str, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    """Ctrl-C while a resumed training waits for its first batch: nothing of it is kept."""

    def loses_a_worker(loader: KeyedLoader) -> Iterator[Any]:
        signal.raise_signal(signal.SIGINT)
        raise RuntimeError("DataLoader worker (pid 4711) exited unexpectedly")

    small.interrupted(name, place, OFTEN)
    kept = {path.name: path.read_bytes() for path in (small.folder / name).rglob("epoch-*")}
    with monkeypatch.context() as patch:
        patch.setattr(KeyedLoader, "__iter__", loses_a_worker)
        with pytest.raises(Stopped, match="it resumes from its last checkpoint"):
            small.train(name)
    found = {path.name: path.read_bytes() for path in (small.folder / name).rglob("epoch-*")}
    assert found == kept
    assert differing(unbroken, small.train(name)) == []


# How often.


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(epoch, step) of each checkpoint that is written."""
    save, places = Checkpoints.save, list[tuple[int, int]]()

    def noting(checkpoints: Checkpoints, checkpoint: Checkpoint) -> None:
        save(checkpoints, checkpoint)
        places.append((checkpoint.epoch, checkpoint.step))

    monkeypatch.setattr(Checkpoints, "save", noting)
    return places


EPOCH_ENDS = [(epoch, 0) for epoch in range(1, ALL_EPOCHS + 1)]


@pytest.mark.slow
def test_by_default_a_checkpoint_is_written_at_each_epoch(
    small: Small, unbroken: Path, name: str, saved: list[tuple[int, int]]
) -> None:
    folder = small.train(name, SELDOM)
    assert saved == EPOCH_ENDS
    assert sorted(path.name for path in folder.iterdir()) == [
        "history.csv",
        "ledger.parquet",
        "member.json",
        "test.csv",
        "valid.csv",
        "weights.safetensors",
    ]


@pytest.mark.slow
def test_a_checkpoint_after_each_step_changes_no_bit(
    small: Small, unbroken: Path, name: str, saved: list[tuple[int, int]]
) -> None:
    assert differing(unbroken, small.train(name, OFTEN)) == []
    steps = [(epoch, step) for epoch in range(ALL_EPOCHS) for step in range(1, STEPS + 1)]
    assert saved == sorted(EPOCH_ENDS + steps)


@pytest.mark.slow
def test_the_seconds_between_two_checkpoints_are_kept(
    small: Small, name: str, saved: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A clock that is asked once after each step, and once after each checkpoint.
    ticks = itertools.count()
    monkeypatch.setattr(resume, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    small.train(name, "run.checkpoint_seconds=3.0")
    # The last two kept are enough, also when the last was made at the end of an epoch.
    assert saved == sorted([*EPOCH_ENDS, *((epoch, 3) for epoch in range(ALL_EPOCHS))])


# Whose callbacks a checkpoint keeps.


def test_a_checkpoint_keeps_the_state_of_the_users_callbacks_alone(small: Small, name: str) -> None:
    """The engine's and fastai's are set up anew in each fit; their modules are known by name."""
    learners = list[Learner]()

    class Own(Callback):
        """As a user's, whose module's name begins like the engine's."""

        def before_fit(self) -> None:
            learners.append(self.learn)
            found = {type(each).__module__ for each in self.learn.cbs}
            assert {"twinrun.train.callbacks", "twinrun.train.saving"} <= found
            kept = {type(each).__name__ for each in owners.users_callbacks(self.learn)}
            assert kept == {"Own"}

    Own.__module__ = "twinrun_hooks"
    small.train(name, "recipe.mixup=0.4", callbacks=[Own()])
    assert len(learners) == 2
    for module in owners.NOT_USERS:
        assert importlib.import_module(module.removesuffix("."))
