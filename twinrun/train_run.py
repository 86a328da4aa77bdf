"""A run's trainings: checked before the first of them, trained, and recorded."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from twinrun.config.settings import write_out_content
from twinrun.config.trainings import Training
from twinrun.console import say
from twinrun.data.folds import check_folds
from twinrun.deadline.deadline import Deadline
from twinrun.errors import InputError, OutOfTime, differences
from twinrun.hooks.in_use import use
from twinrun.locks import is_held, lock_record
from twinrun.networks.beginning import keep
from twinrun.networks.table import weights_of
from twinrun.prepare import Prepared, keep_record
from twinrun.process import without_collector
from twinrun.repro.group import current_group
from twinrun.repro.ranks import current_rank, refuse_uneven
from twinrun.run_folder.audit import write_audit
from twinrun.run_folder.manifest import (
    read_manifest_if_there,
    read_run_settings,
    read_taken_blend,
)
from twinrun.run_folder.paths import RunFolder
from twinrun.run_folder.records import read_record, refuse_other_kind
from twinrun.run_folder.tables import write_index
from twinrun.work import Work, find_complete


@contextmanager
def begin_trainings(run: Prepared, trainings: Sequence[Training], started: float) -> Iterator[Work]:
    """See what is complete of some trainings, and keep the run's record before and after the rest.

    Args:
        run: The run.
        trainings: Of its members.
        started: time.perf_counter() at the command's start.

    Raises:
        InputError: Pretrained weights that cannot be had, a folder that cannot be written, or that
            holds something else, or in which another process trains from something else; images
            that cannot be dealt out to folds; checked for all before the first is trained.
    """
    settings, group = run.settings, current_group()
    members = list(dict.fromkeys(each.member for each in trainings))
    refuse_uneven({name: settings.members[name].batch_size for name in members}, current_rank())
    group.wait_for_all()
    code = {"code": run.environment["beside"]["code"]}
    group.refuse_different("beginning", {each: run.identity(each) for each in members} | code)
    if current_rank().rank:
        # The first rank looks at the folders and says what is complete.
        group.wait_for_all()
        yield Work(run, list(trainings), group.broadcast(dict[str, dict[str, Any]]()))
        return
    check_folds(settings, run.train, members)
    for name in members:
        # Before folders of folds are made in a folder that has none.
        run.complete(name)
        refuse_other_kind(run.member_folder(name), folds=bool(settings.trainings(name)[0].fold))
    # What the run's record is made from: damaged files are named before anything is written.
    for name in settings.members:
        read_record(run.member_folder(name))
    read_taken_blend(run.folder)
    _refuse_another_origin(run, trainings)
    work = Work(run, list(trainings), find_complete(run, trainings))
    with lock_record(run.folder):
        write_index(run.folder, run.index)
        write_audit(run.folder, run.audit.content())
    recipes = [settings.members[each.member] for each in work.left]
    if recipes:
        # fastai takes seconds to import; a run that has nothing to train does without.
        with without_collector():
            from twinrun.train.tracking import refuse_missing_trackers

        refuse_missing_trackers(settings.run.tracking)
        for network in sorted({recipe.network for recipe in recipes if recipe.fetches_weights}):
            weights_of(network).fetch(network)
        for name in dict.fromkeys(each.member for each in work.left):
            if (sha256 := settings.members[name].begin.sha256) is not None:
                keep(sha256, settings.begin_file(name))
    # Also before the end: what an interrupted run was made from can be asked for.
    keep_record(run, started)
    for each in trainings:
        # A kill may have come between a member's last fold and putting them together.
        if each.name in work.records:
            work.join(each)
    group.wait_for_all()
    group.broadcast(work.records)
    yield work
    keep_record(run, started)


def train(
    run: Prepared, names: Sequence[str], started: float, deadline: Deadline | None = None
) -> dict[str, dict[str, Any]]:
    """Train what is not complete, one after the other, and keep the run's record.

    Args:
        run: The run.
        names: Of members, or of trainings.
        started: time.perf_counter() at the command's start.
        deadline: Says what may be begun, and when it is stopped; None: everything, never.

    Returns:
        The content of member.json by name, of the members that are complete.

    Raises:
        InputError: As `begin_trainings`.
        Stopped: Ctrl-C or SIGTERM came.
    """
    with begin_trainings(run, run.settings.select_trainings(names), started) as work:
        work.print_complete()
        try:
            work.train_left(lambda training: _train(run, training, deadline), deadline)
        except OutOfTime as over:
            say(("time is up", "bold yellow"), f": {over}")
    return {name: work.records[name] for name in work.members if name in work.records}


def _train(run: Prepared, training: Training, deadline: Deadline | None) -> dict[str, Any]:
    with without_collector():
        from twinrun.train.members import train_member

    begun = time.monotonic()
    record = train_member(
        training.name,
        run.settings,
        run.index,
        run.pixels,
        run.environment,
        run.member_folder(training.name),
        tracking=RunFolder(run.folder).tracking,
        limit=None if deadline is None else deadline.limit(training),
    )
    if deadline is not None:
        deadline.learn(training, time.monotonic() - begun)
    return record


def _refuse_another_origin(run: Prepared, trainings: Sequence[Training]) -> None:
    """Check that other processes that train the same are not about to make something else of it.

    What they train from stands in the run's manifest.

    Raises:
        InputError: One is, with each difference.
    """
    held = [each for each in trainings if is_held(run.member_folder(each.name))]
    manifest = read_manifest_if_there(run.folder)
    if not held or manifest is None:
        return
    then = read_run_settings(run.folder, run.settings.data_folder)
    # What was read is for a look; what is trained has its own code and table.
    use(run.settings.code, run.settings.hooks)
    content = manifest["content"]
    before = {"data": content["data"], "environment": content["environment"]}
    now = {"data": run.data, "environment": run.environment["decides"]}
    if run.mixed:
        now["environment"] = before["environment"]
    for each in held:
        recorded = each.member in then.members and then.training_content(each.member)
        own = run.settings.training_content(each.member)
        found = differences(
            before | {"settings": write_out_content(recorded or {})},
            now | {"settings": write_out_content(own)},
        )
        if found:
            raise InputError(
                f"{run.member_folder(each.name)} is being trained from something else:",
                details=found,
                fix="Wait for that process or end it, or start a new run with --run NAME.",
            )
