"""How far all trainings are: reported by the nodes, shown in one table."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import TaskID

# A training: the name of its run's folder, and its own.
Key = tuple[str, str]
# Between two reports of a training, in seconds.
_PERIOD = 1.0
# Rows of the table; those beyond are counted.
_ROWS = 24


@dataclass(frozen=True)
class Progress:
    """Where a training is.

    Attributes:
        node: Its name.
        process: On that node.
        since: time.time() there at this attempt's start.
        done: Batches, of training and validation.
        total: Batches of the whole training; 0 before it is known.
        note: The last epoch's validation loss.
        resumed: Batches that its checkpoint held when this attempt began; None before it is known.
    """

    node: str
    process: int
    since: float
    done: float = 0.0
    total: float = 0.0
    note: str = ""
    resumed: float | None = None


class ProgressBoard:
    """A Ray actor on the driver's node that keeps what the trainings report."""

    def __init__(self) -> None:
        self.latest: dict[Key, Progress] = {}

    def start(self, key: Key, node: str, process: int) -> None:
        """An attempt has begun."""
        self.latest[key] = Progress(node, process, time.time())

    def forget(self, key: Key) -> None:
        """Its attempt was lost."""
        self.latest.pop(key, None)

    def update(self, key: Key, done: float, total: float, note: str) -> None:
        """It is so far."""
        if last := self.latest.get(key):
            # The first report is made before the first batch.
            resumed = done if last.resumed is None else last.resumed
            self.latest[key] = replace(last, done=done, total=total, note=note, resumed=resumed)

    def reports(self) -> dict[Key, Progress]:
        """Where every training was last."""
        return self.latest


class RemoteBars:
    """The progress bars of a training on a node: report to the board, once a second.

    Args:
        board: The actor.
        key: The training.
    """

    def __init__(self, board: Any, key: Key) -> None:
        self.board, self.key = board, key
        self.done, self.total, self.note = 0.0, 0.0, ""
        self._reported = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self._report(at_once=True)

    def add_task(
        self,
        description: str,  # noqa: ARG002
        *,
        total: float,
        completed: int,
        note: str,  # noqa: ARG002
    ) -> TaskID:
        """The training, of so many batches."""
        from rich.progress import TaskID

        self.total, self.done = total, completed
        self._report(at_once=True)
        return TaskID(0)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:  # noqa: ARG002
        """So many batches more."""
        self.done += advance
        self._report()

    def update(self, task_id: TaskID, *, note: str) -> None:  # noqa: ARG002
        """An epoch is complete."""
        self.note = note
        self._report(at_once=True)

    def _report(self, *, at_once: bool = False) -> None:
        if at_once or time.monotonic() - self._reported >= _PERIOD:
            self.board.update.remote(self.key, self.done, self.total, self.note)
            self._reported = time.monotonic()


def progress_table(
    titles: Mapping[Key, str], progress: Mapping[Key, Progress], done: int
) -> RenderableType:
    """How many trainings are done and wait, and a row for each that is under way.

    Args:
        titles: Of the trainings that are neither complete nor failed, by key.
        progress: Of those of them that have started.
        done: How many are not among them any more.
    """
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    from twinrun.console import clock

    running = [key for key in titles if key in progress]
    counts = (
        f"{done} of {done + len(titles)} trainings done, {len(running)} under way, "
        f"{len(titles) - len(running)} waiting"
    )
    table = Table(box=None, show_header=False, pad_edge=False)
    for column in ("training", "node", "bar", "time", "note"):
        # On a narrow terminal the bar gives way, and no name.
        table.add_column(max_width=24 if column == "bar" else None, no_wrap=column != "bar")
    for key in running[:_ROWS]:
        at = progress[key]
        table.add_row(
            titles[key],
            at.node,
            ProgressBar(at.total or None, at.done),
            clock(max(0.0, time.time() - at.since)),
            at.note,
        )
    if len(running) > _ROWS:
        table.add_row(f"and {len(running) - _ROWS} more")
    return Group(counts, table)
