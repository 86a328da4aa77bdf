"""A run's trainings: what is complete, the rest trained, the folds of a member put together."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from twinrun.blend.out_of_fold import write_out_of_fold
from twinrun.config.trainings import Training
from twinrun.console import Line, clock, say
from twinrun.data.folds import check_folds
from twinrun.locks import LOCK, lock_record, lock_trainings
from twinrun.metrics import METRICS
from twinrun.networks.table import weights_of
from twinrun.prepare import Prepared, keep_record
from twinrun.process import without_collector
from twinrun.repro.group import current_group
from twinrun.repro.ranks import current_rank, refuse_uneven
from twinrun.run_folder.audit import write_audit
from twinrun.run_folder.manifest import read_taken_blend
from twinrun.run_folder.paths import RunFolder, TrainingFolder
from twinrun.run_folder.records import find_complete_member, read_record, refuse_other_kind
from twinrun.run_folder.tables import write_index


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
                scores = format_scores(self.records[member])
                say((member, "bold"), f" {self._place(own[0])} is complete already, {scores}")
                continue
            for each in own:
                if each.name in self.records:
                    scores = format_scores(self.records[each.name])
                    say(*self.label(each), f" is complete already, {scores}")

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
        self._join(training)

    def _join(self, training: Training) -> None:
        """Put the folds of a training's member together, if it has any and all are complete."""
        run, member = self.run, training.member
        if member in self.records or current_rank().rank:
            return
        folder = run.member_folder(member)
        with lock_record(folder):
            # Another process may have completed its fold at the same moment, and been first.
            record = _completed(run, member) or self._join_folds(training)
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
            record = self.records.get(each.name) or _completed(run, each.name)
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


@contextmanager
def begin_trainings(run: Prepared, trainings: Sequence[Training], started: float) -> Iterator[Work]:
    """Hold the folders of trainings, see what is complete, and keep the run's record.

    Args:
        run: The run.
        trainings: Of its members.
        started: time.perf_counter() at the command's start.

    Raises:
        InputError: Pretrained weights that cannot be had, a folder that cannot be written, that
            another process is training in, or that holds something else; images that cannot be
            dealt out to folds; checked for all before the first is trained.
    """
    settings, group = run.settings, current_group()
    members = list(dict.fromkeys(each.member for each in trainings))
    refuse_uneven({name: settings.members[name].batch_size for name in members}, current_rank())
    group.wait_for_all()
    code = {"code": run.environment["beside"]["code"]}
    group.refuse_different("beginning", {each: run.identity(each) for each in members} | code)
    if current_rank().rank:
        # The first rank holds the folders, looks at them and says what is complete.
        group.wait_for_all()
        yield Work(run, list(trainings), group.broadcast(dict[str, dict[str, Any]]()))
        return
    check_folds(settings, run.train, members)
    for name in members:
        # Before folders of folds are made in a folder that has none.
        _completed(run, name)
        refuse_other_kind(run.member_folder(name), folds=bool(settings.trainings(name)[0].fold))
    # What the run's record is made from: damaged files are named before anything is written.
    for name in settings.members:
        read_record(run.member_folder(name))
    read_taken_blend(run.folder)
    with lock_trainings([run.member_folder(each.name) for each in trainings]):
        work = Work(run, list(trainings), _complete(run, trainings))
        with lock_record(run.folder):
            write_index(run.folder, run.index)
            write_audit(run.folder, run.audit.content())
        recipes = [settings.members[each.member] for each in work.left]
        if recipes:
            # fastai takes seconds to import; a run that has nothing to train does without.
            with without_collector():
                from twinrun.train.tracking import refuse_missing_trackers

            refuse_missing_trackers(settings.run.tracking)
            for network in sorted({recipe.network for recipe in recipes if recipe.pretrained}):
                weights_of(network).fetch(network)
        # Also before the end: what an interrupted run was made from can be asked for.
        keep_record(run, started)
        for each in trainings:
            # A kill may have come between a member's last fold and putting them together.
            if each.name in work.records:
                work._join(each)
        group.wait_for_all()
        group.broadcast(work.records)
        yield work
        keep_record(run, started)


def train(run: Prepared, names: Sequence[str], started: float) -> dict[str, dict[str, Any]]:
    """Train what is not complete, one after the other, and keep the run's record.

    Args:
        run: The run.
        names: Of members, or of trainings.
        started: time.perf_counter() at the command's start.

    Returns:
        The content of member.json by name, of the members that are complete.

    Raises:
        InputError: As `begin_trainings`.
        Stopped: Ctrl-C or SIGTERM came.
    """
    with begin_trainings(run, run.settings.select_trainings(names), started) as work:
        work.print_complete()
        for training in work.left:
            with without_collector():
                from twinrun.train.members import train_member
            record = train_member(
                training.name,
                run.settings,
                run.index,
                run.pixels,
                run.environment,
                run.member_folder(training.name),
                tracking=RunFolder(run.folder).tracking,
            )
            work.keep(training, record)
    return {name: work.records[name] for name in work.members if name in work.records}


def format_scores(record: dict[str, Any]) -> str:
    """The scores, but for the losses and rates that say the same in other words."""
    scores = record["scores"]
    others = [
        f"{METRICS.get(name).words} {value:.3f}"
        for name, value in scores.items()
        if name in METRICS
    ]
    return ", ".join([f"valid loss {scores['valid_loss']:.4f}", *others])


def _complete(run: Prepared, trainings: Sequence[Training]) -> dict[str, dict[str, Any]]:
    """The records of the members that are complete, and of the folds of the others that are."""
    records: dict[str, dict[str, Any]] = {}
    for each in trainings:
        for name in dict.fromkeys((each.member, each.name)):
            folder = run.member_folder(name)
            # A member's record holds the digests of its folds' files too.
            if each.member not in records and name not in records:
                record = _completed(run, name)
                if record is not None:
                    records[name] = record
            if name in records or each.member in records:
                # What a kill left between the record and their removal.
                shutil.rmtree(TrainingFolder(folder).checkpoint, ignore_errors=True)
        folder = run.member_folder(each.member)
        if each.fold and each.member in records and (folder / LOCK).exists():
            with lock_record(folder):
                pass  # likewise the lock under which its folds were put together
    return records


def _completed(run: Prepared, name: str) -> dict[str, Any] | None:
    return find_complete_member(run.member_folder(name), run.identity(name), mixed=run.mixed)
