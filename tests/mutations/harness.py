"""Twins in one process: the second is trained under a mutation, and the twin check judges.

A process of its own costs ten seconds of imports, a training here two. The first twin and the
control with another seed are trained once and linked into each check.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.learner import Learner

from twinrun import prepare, train_run
from twinrun.compare import format as words
from twinrun.compare import replay as replays
from twinrun.compare.diagnosis import advise_training
from twinrun.compare.first_difference import Difference, LedgerComparison
from twinrun.compare.replay_step import replay
from twinrun.compare.runs import TrainingComparison, compare_runs
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.console import say
from twinrun.repro.stage import Advice
from twinrun.run_folder.paths import RESULT_FILES
from twinrun.train import members as members_module
from twinrun.train.checkpoints import Checkpoints
from twinrun.twins import twins as twins_module
from twinrun.twins.processes import TwinProcess, train_all
from twinrun.twins.twins import TwinsVerdict, run_twins

# What is changed in the engine, in one training; everything is put back after it.
Mutation = Callable[[pytest.MonkeyPatch], None]

MEMBER = "a"
# Every image, module and parameter has a row, so that it can be named.
FINEST = "run.ledger=tensor"


def nothing(patch: pytest.MonkeyPatch) -> None:
    """The mutation that changes nothing."""


@dataclass(frozen=True)
class Found:
    """What the twin check said of two runs that recorded everything.

    Attributes:
        verdict: Of `run_twins`.
        at_step_level: The second run against an unmutated one that recorded at the default level;
            where both have other settings, the verdict's own comparison.
        folder: Of the runs.
    """

    verdict: TwinsVerdict
    at_step_level: LedgerComparison
    folder: Path

    @property
    def runs(self) -> tuple[Path, Path]:
        return self.folder / "first", self.folder / "second"

    @property
    def report(self) -> TrainingComparison:
        (member,) = self.verdict.report.members
        return member

    @property
    def differing_files(self) -> list[str]:
        return [row.file for row in self.verdict.comparisons if not row.same]

    @property
    def advice(self) -> Advice:
        return advise_training(self.report, self.verdict.report)

    @property
    def cause(self) -> str:
        return self.advice.cause

    def after(self, again: replays.Replay) -> Advice:
        """What is said when the step has been made again."""
        return advise_training(self.report, self.verdict.report, again)

    def assert_same(self) -> None:
        """The twin check says yes, of every file and every digest, and was able to say no."""
        comparison = self.report.comparison
        assert self.verdict.same
        assert self.verdict.control_differs
        assert self.verdict.report.same
        assert self.differing_files == []
        assert [row.file for row in self.verdict.comparisons] == list(RESULT_FILES)
        assert comparison.first is None
        assert comparison.end is None
        assert comparison.agreed > 1000
        assert self.at_step_level.same

    def first(self) -> Difference:
        """The first difference; the twin check says no, and the default level agrees on where."""
        assert not self.verdict.same
        assert self.verdict.control_differs
        difference = self.report.comparison.first
        coarse = self.at_step_level.first
        assert difference is not None
        assert coarse is not None
        assert place(coarse) == place(difference)
        return difference

    def result(self) -> Difference:
        """The first difference in a stage after `environment`; the default level agrees."""
        assert not self.verdict.same
        difference, coarse = self.report.comparison.result, self.at_step_level.result
        assert difference is not None
        assert coarse is not None
        assert place(coarse) == place(difference)
        return difference


def place(difference: Difference) -> tuple[str, int, int]:
    return difference.stage, difference.epoch, difference.step


@dataclass
class Bench:
    """Trains twins of one small member.

    Attributes:
        config: competition.toml.
        folder: For one check.
        store: For what is trained once.
        stored: Folders there, by what they were trained with.
    """

    config: Path
    folder: Path
    store: Path
    stored: dict[tuple[object, ...], Path] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.config.parent / "data"

    def twins(
        self,
        mutation: Mutation = nothing,
        *,
        in_both: bool = False,
        changes: Sequence[str] = (),
        both: Sequence[str] = (),
        for_all: Mutation = nothing,
        from_run: Path | None = None,
    ) -> Found:
        """Let `run_twins` judge a training and one under a mutation.

        Args:
            mutation: For the second twin.
            in_both: For the first twin too: what draws without a key differs from itself.
            changes: Settings under the mutation, `key=value`.
            both: Settings of both twins and of the control.
            for_all: Another mutation, for both and the control.
            from_run: An interrupted training with which the second twin resumes.
        """

        def make(twin: TwinProcess) -> None:
            settings = read_settings(self.config, changes=[*changes_of(twin.arguments), *changes])
            if from_run is not None:
                linked(from_run, twin.run)
            with pytest.MonkeyPatch.context() as patch:
                for_all(patch)
                mutation(patch)
                train(settings, twin.run, checkpoints=from_run is not None)

        return self._judged(make, in_both=in_both, both=both, for_all=for_all)

    def twin_process(self, **variables: str) -> Found:
        """As `twins`; the second is trained in a process of its own with other variables."""

        def make(twin: TwinProcess) -> None:
            again = TwinProcess(twin.run, [*twin.arguments, "--quiet"], variables)
            train_all([again], side_by_side=1)

        return self._judged(make)

    def once(self, changes: Sequence[str], for_all: Mutation = nothing) -> Path:
        """The folder of a training that is made only once."""
        key = (*changes, for_all)
        if key not in self.stored:
            run = self.store / f"run-{len(self.stored)}"
            with pytest.MonkeyPatch.context() as patch:
                for_all(patch)
                train(read_settings(self.config, changes=changes), run)
            self.stored[key] = run
        return self.stored[key]

    def _judged(
        self,
        make: Callable[[TwinProcess], None],
        *,
        in_both: bool = False,
        both: Sequence[str] = (),
        for_all: Mutation = nothing,
    ) -> Found:
        def train_here(trainings: Sequence[TwinProcess], *, side_by_side: int) -> bool:
            for training in trainings:
                if training.run.name == "second" or (in_both and training.run.name == "first"):
                    make(training)
                else:
                    linked(self.once(changes_of(training.arguments), for_all), training.run)
            return False

        changes = [FINEST, *both]
        options = ["--config", str(self.config)]
        options += [part for change in changes for part in ("--set", change)]
        settings = read_settings(self.config, changes=changes)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(twins_module, "train_all", train_here)
            verdict = run_twins(settings, [MEMBER], options, self.folder, [])
        for line in words.format_comparison(verdict.report):
            say(*line)  # pytest shows it when the test fails
        if both:
            coarse = verdict.report
        else:
            coarse = compare_runs(self.once([]), verdict.report.second, [MEMBER])
            assert coarse.members[0].comparison.level == "step"
        return Found(verdict, coarse.members[0].comparison, self.folder)

    def replayed(self, found: Found, mutation: Mutation) -> replays.Replay:
        """As `twinrun diff --replay`, in this process: the second run under the mutation."""

        def replay_here(
            runs: Sequence[Path],
            name: str,
            difference: Difference,
            folders: Sequence[Path],
            data: Path | None,
            wanted: Sequence[str],
        ) -> None:
            moment = (difference.epoch, difference.step)
            for run, folder, change in zip(runs, folders, (nothing, mutation), strict=True):
                with pytest.MonkeyPatch.context() as patch:
                    change(patch)
                    replay(run, name, moment, difference.stage, folder, data=data, wanted=wanted)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(replays, "_replay_runs", replay_here)
            return replays.replay_both(found.runs, MEMBER, found.result(), None)


def changes_of(arguments: Sequence[str]) -> list[str]:
    """The settings that the arguments of `twinrun train` change.

    But for the place of the cache: all runs of a bench share one, as competition.toml says.
    """
    changes = [arguments[at + 1] for at, word in enumerate(arguments) if word == "--set"]
    return [change for change in changes if not change.startswith("run.cache=")]


def train(settings: Settings, run: Path, *, checkpoints: bool = False) -> None:
    """`twinrun train a`, in this process; without checkpoints in half the time."""
    started = time.perf_counter()
    with pytest.MonkeyPatch.context() as patch:
        if not checkpoints:
            patch.setattr(Checkpoints, "save", lambda *_: None)
        train_run.train(prepare.prepare(settings, run), [MEMBER], started)


def linked(run: Path, copy: Path) -> None:
    """A copy of a run that takes no space: its files are moved into place whole, never changed."""
    shutil.copytree(run, copy, copy_function=os.link)


def with_made(
    patch: pytest.MonkeyPatch, module: ModuleType, name: str, change: Callable[[Any], None]
) -> None:
    """Let what a function of a module makes be changed before it is given back."""
    make = getattr(module, name)

    def changed(*arguments: Any, **options: Any) -> Any:
        made = make(*arguments, **options)
        change(made)
        return made

    patch.setattr(module, name, changed)


def with_loaders(patch: pytest.MonkeyPatch, change: Callable[[DataLoaders], None]) -> None:
    """Let the loaders be changed when they are made."""
    with_made(patch, members_module, "member_loaders", change)


def with_learner(patch: pytest.MonkeyPatch, change: Callable[[Learner], None]) -> None:
    """Let the learner be changed when it is made."""
    with_made(patch, members_module, "build_learner", change)


def with_callback(patch: pytest.MonkeyPatch, callback: type[Callback]) -> None:
    """Give the learner one more callback."""
    with_learner(patch, lambda learner: learner.add_cb(callback()))


def moment(learner: Learner) -> tuple[int, int]:
    """(epoch, step), from 1, of a learner that is training; (0, 0) when it is not."""
    if not learner.training:
        return 0, 0
    return learner.keyed_steps.first_epoch + learner.epoch + 1, learner.iter + 1
