"""Trains a learner in two phases, first the head, then all layers; from a checkpoint on."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastai.learner import Learner

from twinrun.config.recipe import Member
from twinrun.console import progress_bars, say
from twinrun.errors import InputError, Stopped
from twinrun.files import write_csv
from twinrun.hooks.calls import telling_mistakes
from twinrun.metrics import additional_metric
from twinrun.repro.group import current_group
from twinrun.run_folder.paths import TrainingFolder
from twinrun.train.best_epoch import EndEarly, KeepBest, is_over, take_best
from twinrun.train.callbacks import Bars, History, OwnFit, ShowProgress, history_table
from twinrun.train.checkpoints import Checkpoint, Checkpoints
from twinrun.train.recorder import RecordBatch, Recorder, RecordStep
from twinrun.train.resume import Progress, progress_of, restore_before_fit
from twinrun.train.resumed_fit import Resume
from twinrun.train.saving import SaveCheckpoints
from twinrun.train.schedules import fit_scheduled
from twinrun.train.signals import StopRequest, TimeLimit, defer_signals, describe_place
from twinrun.train.tracking import TrackEpochs, Tracking
from twinrun.train.useless_callbacks import RefuseEarlyEnd, refuse_useless
from twinrun.train.users_state import (
    NoteHeld,
    note_start,
    refuse_changed_code,
    refuse_unkept,
)


@dataclass(frozen=True)
class Trained:
    """What a training came to.

    Attributes:
        scores: Of the epoch whose weights are taken: train_loss, valid_loss (mean log loss, nats),
            accuracy, error_rate, and the metric where it is defined.
        epochs: That were trained; fewer than the recipe's where it was out of patience.
        taken: The epoch whose weights the learner has now, from 1.
    """

    scores: dict[str, float]
    epochs: int
    taken: int


@dataclass(frozen=True)
class Phase:
    """One of the two phases: its name, epochs, learning rates of first and last group."""

    name: str
    first_epoch: int
    epochs: int
    rates: list[float]


def fit(
    learner: Learner,
    member: Member,
    *,
    name: str,
    folder: Path | None,
    recorder: Recorder,
    checkpoints: Checkpoints,
    seconds: float,
    metric: str,
    unchanged: Callable[[], None],
    tracking: Tracking | None = None,
    bars: Bars | None = None,
    limit: TimeLimit | None = None,
) -> Trained:
    """Train a learner as its recipe says, or resume it from its last checkpoint.

    Args:
        learner: From `build_learner`.
        member: The recipe.
        name: The training's title, for the progress bar.
        folder: Of the training; history.csv and ledger.parquet are kept up to date there, and
            checkpoints written. None for ranks other than the first, which is sent the
            checkpoint that the first resumes from.
        recorder: Its ledger is replaced by the checkpoint's, where there is one, and it is told
            where the training resumed.
        checkpoints: Of the member.
        seconds: Between two checkpoints within an epoch.
        metric: The competition's, a name in METRICS.
        unchanged: Raises an error where what decides bits is not as it was; asked before each
            checkpoint is written.
        tracking: What else gets the rows of history.csv.
        bars: Where progress is shown; on the terminal when None.
        limit: The time that it has; None: all.

    Raises:
        Stopped: Ctrl-C or SIGTERM came; a checkpoint was written.
        OutOfTime: Likewise, at the end of the time.
        InputError: The folder cannot be written, its checkpoint is of something else, what decides
            bits was changed, or a loader's process was killed.
    """
    group = current_group()
    epochs, steps = member.epochs.frozen + member.epochs.unfrozen, len(learner.dls.train)
    checkpoint = group.broadcast(None if folder is None else checkpoints.latest())
    progress = Progress(0, 0, [], recorder.ledger)
    if checkpoint is not None:
        progress = progress_of(checkpoint)
        recorder.ledger, recorder.resumed = progress.ledger, progress.resumed
        place = describe_place(progress.epoch, progress.step, epochs, steps)
        say((name, "bold"), f" resumes from its checkpoint: {place}")
    stop = StopRequest(name, epochs, steps, limit)
    files = TrainingFolder(folder) if folder else None
    if files and progress.history:
        # The checkpoint may be all that a different machine was given, and no epoch be left.
        write_csv(files.history, history_table(progress.history, additional_metric(metric)))
    ledger = files.ledger if files else None
    # Of a training that resumes the state is put back with its first step, and is not whole before.
    stop.in_step = checkpoint is not None
    save = SaveCheckpoints(checkpoints, progress, stop, seconds, ledger, unchanged)
    batches = steps + len(learner.dls.valid)
    trackers = nullcontext() if tracking is None else tracking.open(progress.history)
    with defer_signals(stop), trackers as opened, bars or progress_bars() as shown:
        done = progress.epoch * batches + progress.step
        task = shown.add_task(name, total=epochs * batches, completed=done, note="")

        def own(phase: Phase, start: int) -> list[OwnFit]:
            at = (phase.first_epoch, start)
            history = History(
                files.history if files else None, phase.name, progress.history, metric, *at
            )
            track = [] if opened is None else [TrackEpochs(opened, progress.history, *at)]
            every = [history, *track, ShowProgress(shown, task, *at), save.within(*at)]
            if member.take.epoch == "best":
                every.append(KeepBest(member.take, progress.best, progress.history, *at))
                every.append(EndEarly(member, progress.history, *at))
            return every

        try:
            over = is_over(member, progress.history)
            fit_phases(learner, member, recorder, checkpoint, own, over=over)
        except RuntimeError as error:
            # A signal may have reached the loader's processes too, and torch says here that it has
            # lost one, wherever it is by then. Between two steps the learner's state is whole.
            if not stop.asked:
                if "deterministic implementation" in str(error):
                    raise InputError(
                        f"{name} has a step that torch does not do twice to the same bits: "
                        f"{str(error).splitlines()[-1].strip().partition(',')[0]}",
                        fix="Choose a different network, or train it on the CPU.",
                    ) from error
                if "DataLoader worker" not in str(error):
                    raise
                raise InputError(
                    f"{name} has lost a loader's process: {str(error).splitlines()[-1].strip()}",
                    fix="If memory was short, lower run.workers. Rerun the command: it resumes.",
                ) from error
            if stop.in_step:
                raise Stopped(
                    f"stopped {name} within a step; it resumes from its last checkpoint"
                ) from None
            save.end()
    if group.any_rank(stop.due_before_predictions)[0]:
        # After the last epoch's checkpoint: it is no longer this loop that would meet it.
        stop.raise_stopped(progress.epoch, progress.step)
    take_best(learner, progress.best)
    taken = progress.best.epoch or len(progress.history)
    return Trained(_scores(progress.history[taken - 1]), len(progress.history), taken)


def _scores(row: list[Any]) -> dict[str, float]:
    """What a row of the history holds of `Trained.scores`."""
    names = ("train_loss", "valid_loss", "accuracy", "error_rate")
    extra = {name: value for name, value in row[-1].items() if not math.isnan(value)}
    return dict(zip(names, row[2:6], strict=True)) | extra


def fit_phases(
    learner: Learner,
    member: Member,
    recorder: Recorder,
    checkpoint: Checkpoint | None,
    own: Callable[[Phase, int], list[OwnFit]],
    *,
    over: bool = False,
) -> None:
    """Live through the phases from a checkpoint on, or from the beginning.

    The one-cycle schedule is Smith's ("Super-convergence", 2018) as fastai has it: learning rates
    spread over the layer groups from the first to the second number of the recipe. The learner has
    the last epoch's weights then.

    Args:
        learner: From `build_learner`.
        member: The recipe.
        recorder: Where the stages of each step go.
        checkpoint: Of this member.
        own: More callbacks for a phase, given the first epoch that is lived through.
        over: The checkpoint is of the end of a training that was out of patience: none is.
    """
    refuse_useless(learner)
    refuse_unkept(learner)
    start = checkpoint.epoch if checkpoint else 0
    # `lr_find` and its like leave gradients of zero, also where the first phase is frozen; and
    # fastai's optimizer decays every weight that has a gradient.
    learner.model.zero_grad(set_to_none=True)
    begun, resumed = False, checkpoint is None
    for phase in _phases(member):
        first = phase.first_epoch
        if not phase.epochs:
            continue
        ends = first + phase.epochs
        if over and first < start <= ends:
            ends = start  # it is this phase that came to its end early
        if phase.name == "frozen":
            learner.freeze()
        else:
            learner.unfreeze()
        # The optimizer is there by now.
        later, begun = begun, True
        refuse_changed_code(learner) if later else note_start(learner)
        learner.keyed_steps.first_epoch = first
        callbacks: list[OwnFit] = [RefuseEarlyEnd(first, start), NoteHeld(first, start)]
        if checkpoint is not None and not resumed:
            # What a fit that is over began with is heard again, and its end if it was not.
            if later:
                restore_before_fit(learner, checkpoint)
            resume = Resume(checkpoint, first, ends - first)
            callbacks, resumed = [*callbacks, resume], resume.waiting
        if start < ends:
            batch = RecordBatch(recorder, first, start)
            step = RecordStep(recorder, batch, first, start)
            callbacks += [batch, step, *own(phase, start)]
        with learner.no_logging(), telling_mistakes():
            fit_scheduled(
                learner,
                member,
                phase.epochs,
                phase.rates,
                start_epoch=phase.epochs if start >= ends else max(0, start - first),
                callbacks=callbacks,
            )


def _phases(member: Member) -> list[Phase]:
    frozen, unfrozen = member.epochs.frozen, member.epochs.unfrozen
    return [
        Phase("frozen", 0, frozen, member.frozen_rates),
        Phase("unfrozen", frozen, unfrozen, member.unfrozen_rates),
    ]
