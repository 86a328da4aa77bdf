"""The driver: hands a run's trainings to Ray, and takes what comes back.

Ray decides when and where each of them runs. Here is decided what an end means: a result, a process
or node that was lost, after which the training resumes from its last checkpoint, or a failure.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.live import Live

from twinrun.cluster.nodes import Needs, nodes_for
from twinrun.cluster.progress import Key, Progress, ProgressBoard, progress_table
from twinrun.cluster.storage import Storage, fetch_files
from twinrun.cluster.tasks import Outcome, train_on_node
from twinrun.config.trainings import Training
from twinrun.console import Line, console, say
from twinrun.errors import InputError, Stopped
from twinrun.files import write_text
from twinrun.masks import mask
from twinrun.prepare import Prepared
from twinrun.run_folder.documents import refuse_changed_files
from twinrun.run_folder.paths import TRAINING_FILES, RunFolder, TrainingFolder
from twinrun.run_folder.records import read_record, recorded_files
from twinrun.work import Work

# A training whose process is lost so often, without a new checkpoint in between, has failed.
_ATTEMPTS = 3
# Between two looks at the board, in seconds.
_PERIOD = 0.5
# For checkpoints, after the driver was asked to stop; seconds.
_LEAVE = 120.0
# What may go wrong with a process or node under a training, by Ray's names for it.
_LOST = (
    "WorkerCrashedError",
    "NodeDiedError",
    "OutOfMemoryError",
    "OwnerDiedError",
    "OutOfDiskError",
    "ObjectLostError",
    "RaySystemError",
    "RpcError",
    "TaskCancelledError",
)


@dataclass(frozen=True)
class Failure:
    """A training that has failed for good: why, and where what it printed is."""

    run: str
    title: str
    problem: str
    log: Path

    def lines(self) -> list[str]:
        """What is printed of it."""
        first, *more = self.problem.splitlines()
        return [
            f"{self.run}, {self.title}: {first}",
            *(f"  {line}" for line in more),
            f"  {self.log}",
        ]


@dataclass
class _Job:
    """A training under way.

    Attributes:
        lost: How often its process was lost since its last checkpoint.
        reached: The name of the last checkpoint when it was started.
    """

    work: Work
    training: Training
    order: Any
    lost: int = 0
    reached: str = ""

    @property
    def key(self) -> Key:
        return self.work.run.folder.name, self.training.name


def fetch_complete(run: Prepared, trainings: Sequence[Training], storage: Storage) -> None:
    """Have in the run's folder what is complete in the storage, from a driver that was lost.

    Raises:
        InputError: The storage cannot be read.
    """
    if _is_here(run, storage):
        return
    there = set(storage.names(RunFolder(Path(run.folder.name)).members.as_posix()))
    for each in trainings:
        folder = run.member_folder(each.name)
        if read_record(folder) is None and _stored(run, each).record.as_posix() in there:
            _fetch(run, each, storage)


def train_on_cluster(
    works: Sequence[Work], orders: Sequence[bytes], needs: Needs, storage: Storage
) -> list[Failure]:
    """Train what is left of some runs on the cluster, all at once as far as there are nodes for it.

    Args:
        works: Of one run each, begun.
        orders: From `Order.to_bytes`, for each of them.
        needs: Of a training.
        storage: Where results come back.

    Returns:
        The trainings that have failed for good. All others are complete.

    Raises:
        InputError: The cluster has ended, or results cannot be had or written.
        Stopped: Ctrl-C or SIGTERM came.
    """
    return _Driver(needs, storage).train(works, orders)


class _Driver:
    def __init__(self, needs: Needs, storage: Storage) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self.needs, self.storage = needs, storage
        self.jobs: dict[Any, _Job] = {}
        self.failures: list[Failure] = []
        self.progress: dict[Key, Progress] = {}
        self.done = 0
        self._reported: set[tuple[float, Line]] = set()
        self._idle = time.monotonic()
        # On this node, which lives as long as the driver does.
        here = ray.get_runtime_context().get_node_id()
        pinned = NodeAffinitySchedulingStrategy(here, soft=False)
        self.board: Any = (
            ray.remote(ProgressBoard).options(num_cpus=0, scheduling_strategy=pinned).remote()
        )
        self.task = ray.remote(train_on_node).options(
            **needs.options(), scheduling_strategy="SPREAD"
        )

    def train(self, works: Sequence[Work], orders: Sequence[bytes]) -> list[Failure]:
        import ray

        for work, order in zip(works, orders, strict=True):
            sent = ray.put(order)
            for training in work.left:
                self._start(_Job(work, training, sent))
        shown = Live(
            get_renderable=self._table,
            console=console,
            transient=True,
            auto_refresh=False,
        )
        # A table that is redrawn is for a terminal only.
        live = shown if console.is_terminal and not console.quiet else None
        try:
            if live:
                live.start()
            while self.jobs:
                ready, _ = ray.wait(list(self.jobs), timeout=_PERIOD)
                for reference in ready:
                    self._finish(self.jobs.pop(reference), reference)
                self._poll()
                if live:
                    live.refresh()
        except KeyboardInterrupt:
            self._leave()
            raise Stopped(
                f"stopped with {len(self.jobs)} trainings left; their checkpoints are written"
            ) from None
        finally:
            if live:
                live.stop()
        return self.failures

    def _start(self, job: _Job) -> None:
        job.reached = self._last_checkpoint(job)
        self.jobs[self.task.remote(job.order, job.training.name, self.board)] = job

    def _last_checkpoint(self, job: _Job) -> str:
        names = self.storage.names(_stored(job.work.run, job.training).checkpoint.as_posix())
        return max(names, default="")

    def _finish(self, job: _Job, reference: Any) -> None:
        import ray

        title = job.training.title
        self.progress.pop(job.key, None)
        try:
            outcome: Outcome = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            outcome = Outcome(None, f"{type(error.cause).__name__}: {error.cause}", str(error))
        except ray.exceptions.LocalRayletDiedError as error:
            raise InputError(
                "Ray has ended on this machine", fix="Rerun the command: it resumes."
            ) from error
        except ray.exceptions.RayError as error:
            outcome = Outcome(None, _in_short(error), str(error))
            if isinstance(error, tuple(getattr(ray.exceptions, name) for name in _LOST)):
                job.lost = 0 if self._last_checkpoint(job) > job.reached else job.lost + 1
                self.board.forget.remote(job.key)
                if job.lost < _ATTEMPTS:
                    say((title, "yellow"), f" lost its process, and resumes: {_in_short(error)}")
                    self._start(job)
                    return
                outcome = Outcome(
                    None,
                    f"its process was lost {_ATTEMPTS} times without a new checkpoint, perhaps for "
                    f"want of memory: {_in_short(error)}",
                    str(error),
                )
        if outcome.record is None:
            self._fail(job, outcome)
            return
        run = job.work.run
        if not _is_here(run, self.storage):
            _fetch(run, job.training, self.storage)
        folder = TrainingFolder(run.member_folder(job.training.name))
        shutil.rmtree(folder.checkpoint, ignore_errors=True)
        _tell_trackers(run, job.training)
        self.done += 1
        job.work.keep(job.training, outcome.record)

    def _fail(self, job: _Job, outcome: Outcome) -> None:
        run, title = job.work.run, job.training.title
        path = TrainingFolder(run.member_folder(job.training.name)).log
        write_text(path, mask(f"{outcome.log}\n{outcome.problem}\n".lstrip()))
        self.done += 1
        self.failures.append(Failure(run.folder.name, title, outcome.problem, path))
        first = outcome.problem.splitlines()[0]
        say((f"{title} has failed", "red"), f", the others continue: {first}")

    def _poll(self) -> None:
        """Ask the board, and print what has begun."""
        import ray

        with suppress(ray.exceptions.GetTimeoutError):
            reports = ray.get(self.board.reports.remote(), timeout=_PERIOD)
            keys = {job.key: job for job in self.jobs.values()}
            self.progress = {key: each for key, each in reports.items() if key in keys}
            for key, at in self.progress.items():
                label = keys[key].work.label(keys[key].training)
                self._report_once(at, (*label, f" on {at.node}, process {at.process}"))
                if at.resumed:
                    batches = f"{at.resumed:,.0f} of {at.total:,.0f} batches"
                    self._report_once(at, (*label, f" resumes from its checkpoint, {batches}"))
        if self.progress or nodes_for(self.needs):
            self._idle = time.monotonic()
        elif time.monotonic() - self._idle > _LEAVE / 4:
            self._idle = time.monotonic()
            say(("waiting", "yellow"), f"   for a node with {self.needs}: there is none any more")

    def _report_once(self, progress: Progress, line: Line) -> None:
        report = (progress.since, line)
        if report not in self._reported:
            self._reported.add(report)
            say(*line)

    def _table(self) -> Any:
        titles = {job.key: job.training.title for job in self.jobs.values()}
        return progress_table(titles, self.progress, self.done)

    def _leave(self) -> None:
        """Let every training write a checkpoint, and end."""
        import ray

        say("stopping: each training writes a checkpoint; Ctrl-C once more ends them at once")
        references = list(self.jobs)
        for reference in references:
            ray.cancel(reference, force=False)
        with suppress(KeyboardInterrupt):
            ray.wait(references, num_returns=len(references), timeout=_LEAVE)


def _stored(run: Prepared, training: Training) -> TrainingFolder:
    """Where a training's files are in the storage, relative to it."""
    return RunFolder(Path(run.folder.name)).training(training.name)


def _is_here(run: Prepared, storage: Storage) -> bool:
    """Whether the storage is the folder of runs itself."""
    return storage.local is not None and storage.local.resolve() == run.folder.parent.resolve()


def _fetch(run: Prepared, training: Training, storage: Storage) -> None:
    stored, folder = _stored(run, training).path.as_posix(), run.member_folder(training.name)
    fetch_files(storage, TRAINING_FILES, folder, stored)
    record = read_record(folder)
    assert record is not None
    try:
        refuse_changed_files(
            folder,
            recorded_files(record),
            fix=f"Remove {stored} from {storage.address}, and rerun the command.",
        )
    except InputError:
        # With its record it would be a complete training.
        TrainingFolder(folder).record.unlink()
        raise


def _tell_trackers(run: Prepared, training: Training) -> None:
    """On this machine, where they write: of the whole training at once."""
    if not run.settings.run.tracking:
        return  # without importing fastai, which takes seconds
    from twinrun.train.tracking import track_afterwards, tracking_of

    tracking = tracking_of(run.settings, training.name, RunFolder(run.folder).tracking)
    assert tracking is not None
    track_afterwards(tracking, TrainingFolder(run.member_folder(training.name)).history)


def _in_short(error: Exception) -> str:
    """The sentence of Ray's page that says what happened."""
    text = " ".join(str(error).split())
    return text if len(text) < 200 else f"{text[:200]}..."
