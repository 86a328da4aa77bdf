"""What a node does: says what it would train in, and trains.

Ray imports this module into a process before a task of it may prepare that process, so it imports
neither torch nor what imports it; for the same reason an order comes as bytes.
"""

from __future__ import annotations

import os
import pickle
import shutil
import socket
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinrun.config.trainings import member_of
from twinrun.errors import InputError, TwinrunError
from twinrun.files import read_text
from twinrun.hooks.mistakes import own_mistake
from twinrun.memory import is_short_of_memory
from twinrun.process import prepare_worker
from twinrun.repro.environment import set_up
from twinrun.run_folder.paths import RunFolder
from twinrun.streams import open_lasting

if TYPE_CHECKING:
    from twinrun.cluster.share import SharedImages
    from twinrun.cluster.storage import Storage
    from twinrun.config.settings import Settings

# Letters of Ray's name for a node that tell it from all others.
NUMBER = 6
# Attempts younger than this, in seconds, may be about to take their lock.
_YOUNG = 60.0


@dataclass(frozen=True)
class Order:
    """What a node needs for any training of a run.

    Attributes:
        settings: Of the run.
        run: Its folder's name, also in the storage.
        storage: Where results go.
        index: The index's name there.
        images: The decoded images.
        environment: From `set_up`: what the training is to have.
        mixed: It may have others.
        own: The competitor's own code, as `own_code.carry` gives it.
    """

    settings: Settings
    run: str
    storage: Storage
    index: str
    images: SharedImages
    environment: dict[str, Any]
    mixed: bool
    own: Mapping[str, bytes] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """For `train_on_node`."""
        return pickle.dumps(self)


@dataclass(frozen=True)
class Answer:
    """What a node says of itself: its name, and what `set_up` gives or why it cannot train."""

    node: str
    environment: dict[str, Any] = field(default_factory=dict)
    problem: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """A training's end: member.json, or why it has failed for good, and what was printed."""

    record: dict[str, Any] | None
    problem: str = ""
    log: str = ""


def describe(
    threads: int, device: str, packages: Sequence[str], storage: Storage, token: str
) -> Answer:
    """What this node would train in.

    Args:
        threads: As the setting.
        device: As the setting.
        packages: That the competitor's code imports.
        storage: Must be seen here.
        token: A file in it.
    """
    prepare_worker()
    name = node_name()
    try:
        environment = set_up(threads=threads, device=device, packages=packages)
        with tempfile.TemporaryDirectory() as folder:
            storage.fetch(token, Path(folder) / "seen")
    except FileNotFoundError:
        return Answer(name, problem=(f"it sees a different folder as {storage.address}",))
    except TwinrunError as error:
        return Answer(name, problem=tuple(error.lines))
    return Answer(name, environment)


def train_on_node(order_bytes: bytes, training: str, board: Any) -> Outcome:
    """Train on this node, from the last checkpoint in the storage on, and leave the files there.

    Args:
        order_bytes: From `Order.to_bytes`.
        training: Its name.
        board: A Ray actor of the class `ProgressBoard`.

    Raises:
        KeyboardInterrupt: The driver has cancelled the task; a checkpoint was left.
    """
    prepare_worker()
    order: Order = pickle.loads(order_bytes)  # noqa: S301  (from the driver, by Ray)
    from twinrun.cluster.progress import RemoteBars

    key = (order.run, training)
    board.start.remote(key, node_name(), os.getpid())
    scratch = Path(tempfile.gettempdir()) / f"twinrun-{os.getuid()}"
    with _attempt(scratch) as folder, _redirect_output(folder / "log.txt") as log:
        try:
            record = _train(order, training, scratch, folder, RemoteBars(board, key))
            return Outcome(record, log=log())
        except TwinrunError as error:
            problem = str(error)
        except Exception as error:
            if mistake := own_mistake(error):
                return Outcome(None, str(mistake), log())
            traceback.print_exc(file=sys.stdout)
            problem = f"{type(error).__name__}: {error}"
            if is_short_of_memory(error):
                problem = f"out of memory: {error}"
        return Outcome(None, problem, log())


def node_name() -> str:
    """Of the node that this process runs on: its host and its number, as it is printed."""
    return f"{socket.gethostname()}-{node_number()}"


def node_number() -> str:
    """Of the node that this process runs on: the beginning of Ray's name for it, without its host.

    Records hold it, which are handed on.
    """
    import ray

    number: str = ray.get_runtime_context().get_node_id()[:NUMBER]
    return number


def _train(order: Order, training: str, scratch: Path, attempt: Path, bars: Any) -> dict[str, Any]:
    from twinrun.cluster.nodes import environment_gaps
    from twinrun.cluster.own_code import settle_here
    from twinrun.cluster.publish import Publisher
    from twinrun.cluster.share import index_here
    from twinrun.cluster.storage import SHARED
    from twinrun.console import ignore_known_warnings
    from twinrun.networks.beginning import first_file
    from twinrun.train.members import RemoteRun, train_member

    ignore_known_warnings()
    settings = settle_here(order.settings, order.own, scratch)
    own = settings.run
    environment = set_up(
        threads=own.threads,
        device=own.device,
        workers=own.workers,
        packages=settings.code.packages,
    )
    others = environment_gaps(node_name(), order.environment, environment)
    if others and not order.mixed:
        raise InputError(
            "this node differs in what decides bits:",
            details=others,
            fix="Make it equal to the others, take it out of the cluster, or use --allow-mixed.",
        )
    index = index_here(order.storage, order.index, scratch)
    pixels = order.images.here(scratch)
    member = settings.members[member_of(training)]
    file = first_file(member.network, member.begin.sha256, pretrained=member.pretrained)
    if file is not None and not file.exists():
        order.storage.fetch(f"{SHARED}/weights/{file.name}", file)
    folder = RunFolder(attempt / order.run).training(training).path
    publisher = Publisher(order.storage, folder.relative_to(attempt).as_posix(), folder)
    publisher.fetch_checkpoints()
    publisher.seconds = own.checkpoint_seconds
    remote = RemoteRun(node_number(), publisher.saved, bars)
    try:
        record = train_member(
            training,
            settings,
            index,
            pixels,
            environment,
            folder,
            remote=remote,
        )
    except KeyboardInterrupt:
        publisher.save()
        raise
    publisher.complete()
    return record


@contextmanager
def _attempt(scratch: Path) -> Iterator[Path]:
    """A folder of this attempt's own; those that killed ones have left are removed."""
    from twinrun.locks import try_lock

    parent = scratch / "attempts"
    for other in parent.glob("*"):
        with suppress(InputError, OSError):
            if time.time() - other.stat().st_mtime > _YOUNG:
                with try_lock(other, "used"):
                    shutil.rmtree(other, ignore_errors=True)
    folder = parent / uuid.uuid4().hex
    with try_lock(folder, "used"):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _redirect_output(path: Path) -> Iterator[Any]:
    """Send what is printed here into a file; gives a function that reads it."""
    from twinrun.console import console

    with open_lasting(path) as file:
        before, console.file = console.file, file
        out, sys.stdout = sys.stdout, file

        def read() -> str:
            file.flush()
            return read_text(path)

        try:
            yield read
        finally:
            console.file, sys.stdout = before, out
