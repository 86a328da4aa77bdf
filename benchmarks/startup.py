"""How long a user waits: from the command to the first step of a small training."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

from benchmarks.table import Figure, alternated, ratio

if TYPE_CHECKING:
    from benchmarks.__main__ import Given

_FIXTURE = Path(__file__).parents[1] / "tests" / "fixture"

# The smallest network on 96 small photos: nearly all of the time is the start itself.
SETTINGS = f"""
[competition]
name = "startup"
classes = ["leaf_rust", "stem_rust", "healthy_wheat"]

[data]
folder = {_FIXTURE.as_posix()!r}

[run]
seed = 0
threads = 1
device = "cpu"
checkpoint_seconds = 0.001

[recipe]
network = "resnet18"
image_size = 32
batch_size = 16
pretrained = false
validation = {{ share = 0.25 }}
epochs = {{ frozen = 1, unfrozen = 1 }}

[members.m]

[blend]
weights = {{ m = 1.0 }}
"""

_FASTAI = [sys.executable, "-W", "ignore", "-c", "import fastai.vision.all"]


def startup(given: Given, told: Callable[[str], None]) -> list[Figure]:
    """A command's time to its first step, against fastai's import and a different engine's command.

    All have warm files: a round that does not count comes first, decodes the images and compiles
    Python's files.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(given.folder / "startup" / "bytecode")
    contestants: dict[str, Callable[[], float]] = {
        "first step": _contestant([_own_command()], given.folder / "startup" / "own"),
        "fastai": lambda: _seconds(_FASTAI),
    }
    if given.against is not None:
        different = given.folder / "startup" / "different"
        contestants["different"] = _contestant([str(given.against)], different)
    for run_once in contestants.values():
        run_once()
    found = alternated(given.rounds, contestants, told)
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}

    def figure(name: str, against: str, bound: float) -> Figure:
        seen = f"{medians['first step']:.2f} s against {medians[name]:.2f} s"
        value = ratio(found["first step"], found[name])
        return Figure("command to first step", against, value, bound, False, "", seen)

    figures = [figure("fastai", "`import fastai.vision.all` in a new process", 1.0)]
    if "different" in found:
        figures.append(figure("different", str(given.against), 0.6))
    return figures


def first_step(command: Sequence[str], members: Path) -> float:
    """Seconds from the start of a training's process to the end of its first step; then kill it.

    The folder of checkpoints is made when the first of them is about to be written, after the first
    step where run.checkpoint_seconds is short. Looked for every millisecond.

    Args:
        command: Trains one member.
        members: The run's folder of members; its run is removed before.
    """
    rmtree(members.parent, ignore_errors=True)
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not any(members.glob("*/checkpoint")):
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(command)}: no first step, code {process.returncode}")
            time.sleep(0.001)
        seconds = time.perf_counter() - started
        process.kill()
    return seconds


def _contestant(command: list[str], folder: Path) -> Callable[[], float]:
    folder.mkdir(parents=True, exist_ok=True)
    settings, runs = folder / "startup.toml", folder / "runs"
    settings.write_text(SETTINGS, encoding="utf-8")
    options = ["train", "--quiet", "--config", str(settings), "--out", str(runs), "--run", "start"]
    return lambda: first_step([*command, *options], runs / "start" / "members")


def _own_command() -> str:
    return str(Path(sys.executable).with_name("twinrun"))


def _seconds(command: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - started
