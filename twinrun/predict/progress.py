"""How far a prediction is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from twinrun.console import progress_bars


class Progress:
    """Images that were predicted, and how many in a second.

    Args:
        total: Images.
        parts: How many trainings see each of them.
    """

    def __init__(self, total: int, parts: int) -> None:
        self.total, self.parts, self.done = total, parts, 0.0
        self.began = time.perf_counter()
        self.bars = progress_bars()
        self.bar = self.bars.add_task("predicting", total=total, note="")

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self.began

    @property
    def rate(self) -> float:
        """Images in a second, so far."""
        return self.done / max(self.seconds, 1e-9)

    def advance(self, images: float) -> None:
        """So many images more: of several trainings each counts for its part of them."""
        self.done += images
        self.bars.update(self.bar, completed=self.done, note=f"{self.rate:,.1f} images/s")


@contextmanager
def show_progress(total: int, parts: int) -> Iterator[Progress]:
    """Show it while the block runs.

    Args:
        total: Images.
        parts: How many trainings see each of them.
    """
    shown = Progress(total, parts)
    with shown.bars:
        yield shown
