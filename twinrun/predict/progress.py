"""How far a prediction is: a bar on a terminal, a line now and then in a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from twinrun.console import clock, console, progress_bars, say

# Between two lines where there is no bar.
_SECONDS = 30.0


class Progress:
    """Images that were predicted, and how many in a second.

    Args:
        total: Images.
        parts: How many trainings see each of them.
    """

    def __init__(self, total: int, parts: int) -> None:
        self.total, self.parts, self.done = total, parts, 0.0
        self.began = self.told = time.perf_counter()
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
        now = time.perf_counter()
        if not console.is_terminal and now - self.told >= _SECONDS:
            self.told = now
            left = clock((self.total - self.done) / max(self.rate, 1e-9))
            say(
                f"predicting  {int(self.done):,} of {self.total:,} images, "
                f"{self.rate:,.1f} images/s, {left} left"
            )


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
