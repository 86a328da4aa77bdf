"""What the ledger costs: a step with it against the same step without, alternating.

`python -m benchmarks.ledger` prints the medians and their ratio.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
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
from competition.training.recording import Recorder

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
    """Seconds of each step: from the batch's arrival to the step's end, all callbacks included."""

    order = 9000

    def __init__(self, seconds: list[float], first_epoch: int, start: int) -> None:
        super().__init__(first_epoch, start)
        self.seconds = seconds

    def before_train(self) -> None:
        self.started = time.perf_counter()

    def after_batch(self) -> None:
        if self.training:
            now = time.perf_counter()
            self.seconds.append(now - self.started)
            self.started = now


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
        for _ in range(given.rounds):
            for level, measured in seconds.items():
                _round(settings, environment, level, measured)
    console.quiet = False
    without, with_it = (statistics.median(seconds[level]) for level in ("epoch", "step"))
    pairs = [b / a for a, b in zip(seconds["epoch"], seconds["step"], strict=True)]
    console.print(
        f"{given.network}, {given.size} px, batch {given.batch}, {environment['decides']['device']}"
        f", {given.threads} threads, {len(pairs)} steps of each kind, in turns"
    )
    console.print(f"a step without rows of the ledger  {without * 1000:8.1f} ms (median)")
    console.print(f"a step with them                   {with_it * 1000:8.1f} ms (median)")
    console.print(f"ratio of the medians {with_it / without:.4f}")
    console.print(f"median of the ratios step by step {statistics.median(pairs):.4f}")


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
