"""What is complete of a run's trainings, what is left, and a member's folds put together."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinrun.blend.out_of_fold import write_out_of_fold
from twinrun.config.trainings import Training
from twinrun.console import Line, clock, say
from twinrun.deadline.deadline import Deadline
from twinrun.errors import InputError
from twinrun.locks import LOCK, lock_next_training, lock_record, lock_trainings
from twinrun.metrics import METRICS
from twinrun.prepare import Prepared
from twinrun.repro.group import current_group
from twinrun.repro.ranks import current_rank
from twinrun.run_folder.paths import TrainingFolder


@dataclass(frozen=True)
class Work:
    """The trainings that were asked for, and what is complete of their members.

    Attributes:
        run: The run.
        trainings: In the settings' order.
        records: The content of member.json by name: of the members that are complete, and of the
            complete folds of the others.
    """

    run: Prepared
    trainings: list[Training]
    records: dict[str, dict[str, Any]]

    @property
    def members(self) -> list[str]:
        """The members of the trainings, in their order."""
        return list(dict.fromkeys(each.member for each in self.trainings))

    @property
    def left(self) -> list[Training]:
        """The trainings that are not complete."""
        return [
            each
            for each in self.trainings
            if each.member not in self.records and each.name not in self.records
        ]

    def label(self, training: Training) -> Line:
        """How it is named in print: its title, and its member's place among those asked for."""
        return (training.title, "bold"), f" {self._place(training)}"

    def print_complete(self) -> None:
        """Print of each member, or of its folds, that they are complete already."""
        for member in self.members:
            own = [each for each in self.trainings if each.member == member]
            if member in self.records:
                self._say_complete(own[0], member)
                continue
            for each in own:
                if each.name in self.records:
                    self._say_complete(each, each.name)

    def _say_complete(self, training: Training, name: str) -> None:
        title = self.label(training)
        if name == training.member:
            title = (name, "bold"), f" {self._place(training)}"
        say(*title, f" is complete already, {format_scores(self.records[name])}")

    def train_left(
        self, train: Callable[[Training], dict[str, Any]], deadline: Deadline | None = None
    ) -> None:
        """Complete what is left: always the next free one, which is held while it is trained.

        What other processes hold is left to them, and waited for when nothing else is left: they
        may be ended before its end. Several ranks train each together, and the first of them holds.

        Args:
            train: Trains one; gives the content of its member.json.
            deadline: Says what may be begun, and when the wait is over; None: everything, never.

        Raises:
            InputError: A folder cannot be written, or holds something else now; as `train` raises.
            OutOfTime: Other processes hold what could have been begun; or as `train` raises.
        """
        group = current_group()
        if current_rank().rank:
            group.wait_for_all()
            while name := group.broadcast(""):
                training = self.run.settings.training(name)
                self.keep(training, train(training))
                group.wait_for_all()
            return
        left = {self.run.member_folder(each.name): each for each in self.left}
        until = math.inf if deadline is None else deadline.at - deadline.reserve
        while folders := self._next(left, deadline):
            with lock_next_training(folders, until) as folder:
                if folder not in self._next(left, deadline):
                    continue  # while it was waited for, its time has gone
                training = left.pop(folder)
                record = self.run.complete(training.name)
                if record is not None:
                    self.records[training.name] = record
                    self._say_complete(training, training.name)
                    self.join(training)
                    continue
                group.wait_for_all()
                group.broadcast(training.name)
                self.keep(training, train(training))
        group.wait_for_all()
        group.broadcast("")

    def _next(self, left: dict[Path, Training], deadline: Deadline | None) -> list[Path]:
        """The folders of what may be begun now, in their order."""
        if deadline is None:
            return list(left)
        return [self.run.member_folder(each.name) for each in deadline.choose([*left.values()])]

    @contextmanager
    def hold_left(self) -> Iterator[None]:
        """Hold all that is left for this process, which has others train it.

        Raises:
            InputError: A different process holds one of them.
        """
        with lock_trainings([self.run.member_folder(each.name) for each in self.left]):
            # A different process may have completed some since.
            self.records.update(find_complete(self.run, self.left))
            yield

    def keep(self, training: Training, record: dict[str, Any]) -> None:
        """Take a training as complete, print that, and put its member's folds together.

        That is done by whoever completes the last of them: processes may share a member.

        Args:
            training: One of those that were left.
            record: The content of its member.json.

        Raises:
            InputError: Its folds do not fit together, or the folder cannot be written.
        """
        self.records[training.name] = record
        network = self.run.settings.members[training.member].network
        scores, took = format_scores(record), clock(record["seconds"])
        say(*self.label(training), f" {network}, {scores}, {took}")
        self.join(training)

    def join(self, training: Training) -> None:
        """Put the folds of a training's member together, if it has any and all are complete."""
        run, member = self.run, training.member
        if member in self.records or current_rank().rank:
            return
        folder = run.member_folder(member)
        with lock_record(folder):
            # Another process may have completed its fold at the same moment, and been first.
            record = run.complete(member) or self._join_folds(training)
        if record is None:
            return
        self.records[member] = record
        place, scores = self._place(training), format_scores(self.records[member])
        say((member, "bold"), f" {place} out of fold: {scores}")

    def _join_folds(self, training: Training) -> dict[str, Any] | None:
        """The record of a training's member, whose folds are put together; None: one is missing."""
        run, member = self.run, training.member
        folds = {}
        for each in run.settings.trainings(member):
            record = self.records.get(each.name) or run.complete(each.name)
            if record is None:
                return None
            folds[each.folder] = record
        return write_out_of_fold(
            run.member_folder(member),
            run.identity(member),
            folds,
            run.train["id"].tolist(),
            run.settings.competition.metric,
        )

    def _place(self, training: Training) -> str:
        members = self.members
        return f"({members.index(training.member) + 1}/{len(members)})"


def format_scores(record: dict[str, Any]) -> str:
    """The scores, but for the losses and rates that say the same in other words."""
    scores = record["scores"]
    others = [
        f"{METRICS.get(name).words} {value:.3f}"
        for name, value in scores.items()
        if name in METRICS
    ]
    return ", ".join([f"valid loss {scores['valid_loss']:.4f}", *others])


def find_complete(run: Prepared, trainings: Sequence[Training]) -> dict[str, dict[str, Any]]:
    """The records of the members that are complete, and of the folds of the others that are."""
    records: dict[str, dict[str, Any]] = {}
    for each in trainings:
        for name in dict.fromkeys((each.member, each.name)):
            folder = run.member_folder(name)
            # A member's record holds the digests of its folds' files too.
            if each.member not in records and name not in records:
                record = run.complete(name)
                if record is not None:
                    records[name] = record
            if name in records or each.member in records:
                _tidy(folder)
    return records


def _tidy(folder: Path) -> None:
    """Remove what a kill left of a complete training, or of putting a member's folds together."""
    shutil.rmtree(TrainingFolder(folder).checkpoint, ignore_errors=True)
    if (folder / LOCK).exists() or any(folder.glob(".*.part")):
        with suppress(InputError), lock_trainings([folder]):  # unless it is held
            pass
