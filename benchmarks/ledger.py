"""What the ledger costs: the part of a step that is spent on it; and steps with and without it.

`python -m benchmarks.ledger` prints both. The first is the sharper figure on a CPU, because both
times are taken from one and the same step, and whatever else a machine does makes both longer. On a
GPU work goes on while the host is ahead of it, and only the second one counts: rounds of each kind
in turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image

from competition.data.index import build_index
from competition.determinism.environment import set_up
from competition.determinism.ledger import Ledger
from competition.settings import Settings
from competition.settings_file import read_settings
from competition.terminal import console, ignore_known_warnings
from competition.training.callbacks import OwnFit
from competition.training.fitting import Phase, fit_phases
from competition.training.members import open_workshop
from competition.training.recording import RecordBatch, Recorder, RecordStep

SETTINGS = """
[competition]
name = "benchmark"
classes = ["a", "b"]
[data]
folder = {folder!r}
[run]
seed = 0
threads = {threads}
[recipe]
network = {network!r}
image_size = {size}
batch_size = {batch}
pretrained = false
validation = {{ share = 0.01 }}
epochs = {{ frozen = 0, unfrozen = 1 }}
[members.m]
"""


class _Clock(OwnFit):
    """Seconds of each step, from the end of the one before, all callbacks included."""

    order = 9000

    def __init__(self, seconds: list[float], first_epoch: int, start: int) -> None:
        super().__init__(first_epoch, start)
        self.seconds = seconds

    def before_train(self) -> None:
        self.started = time.perf_counter()

    def after_batch(self) -> None:
        if self.training:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            now = time.perf_counter()
            self.seconds.append(now - self.started)
            self.started = now


class _Stopwatch:
    """Seconds that are spent in the callbacks that write the ledger."""

    def __init__(self) -> None:
        self.total = 0.0
        self.running = False

    def around(self, owner: Any, method: str) -> None:
        plain = getattr(owner, method)

        def timed(*arguments: Any) -> Any:
            if self.running:
                return plain(*arguments)
            self.running, started = True, time.perf_counter()
            try:
                return plain(*arguments)
            finally:
                self.running = False
                self.total += time.perf_counter() - started

        setattr(owner, method, timed)


def main() -> None:
    """Draw images, train epochs with and without the ledger in turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4, help="steps of a round")
    parser.add_argument("--rounds", type=int, default=6, help="of each kind")
    given = parser.parse_args()
    ignore_known_warnings()
    console.quiet = True
    with TemporaryDirectory(prefix="benchmark-") as temporary:
        folder = Path(temporary)
        _draw(folder, given.batch * given.steps + 8)
        text = SETTINGS.format(folder=str(folder), **vars(given))
        (folder / "benchmark.toml").write_text(text, encoding="utf-8")
        settings = read_settings(folder / "benchmark.toml")
        environment = set_up(threads=given.threads)
        seconds: dict[str, list[float]] = {"epoch": [], "step": []}
        _round(settings, environment, "step", [])  # warms up
        stopwatch = _Stopwatch()
        stopwatch.around(RecordBatch, "__call__")
        stopwatch.around(RecordBatch, "_arrived")
        stopwatch.around(RecordStep, "__call__")
        shares = []
        for _ in range(given.rounds):
            for level, measured in seconds.items():
                before, stopwatch.total = len(measured), 0.0
                _round(settings, environment, level, measured)
                if level == "step":
                    steps = sum(measured[before:])
                    shares.append(stopwatch.total / (steps - stopwatch.total))
    console.quiet = False
    without, with_it = (statistics.median(seconds[level]) for level in ("epoch", "step"))
    device = environment["decides"].get("gpu", "cpu")
    console.print(
        f"{given.network}, {given.size} px, batch {given.batch}, {device}, "
        f"{given.threads} threads, {len(seconds['step'])} steps of each kind"
    )
    console.print(
        f"the ledger's part of a step        {statistics.median(shares):8.2%} of the rest"
    )
    console.print(f"a step without rows of the ledger  {without * 1000:8.1f} ms (median)")
    console.print(f"a step with them                   {with_it * 1000:8.1f} ms (median)")
    console.print(f"ratio of the medians               {with_it / without:8.4f}")


def _round(
    settings: Settings, environment: dict[str, Any], level: str, seconds: list[float]
) -> None:
    """One epoch of a new member at a level of the ledger; level "epoch" has no rows for steps."""
    index = build_index(settings)
    workshop = open_workshop("m", settings, index, environment)
    recorder = Recorder(Ledger({}), level)

    def own(phase: Phase, start: int) -> list[OwnFit]:
        return [_Clock(seconds, phase.first_epoch, start)]

    fit_phases(workshop.learner, workshop.member, recorder, None, own)


def _draw(folder: Path, images: int) -> None:
    draws = np.random.default_rng(0)
    for number in range(images):
        part = folder / "train" / "ab"[number % 2]
        part.mkdir(parents=True, exist_ok=True)
        pixels = draws.integers(0, 256, (240, 240, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(part / f"{number:04d}.png")
    (folder / "test").mkdir()
    Image.fromarray(pixels).save(folder / "test" / "t.png")


if __name__ == "__main__":
    main()
