"""What the promises cost: determinism, the ledger, a resume."""

from __future__ import annotations

import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from benchmarks.contestants import Ours, not_deterministic
from benchmarks.speed import task_of
from benchmarks.startup import first_step
from benchmarks.table import Figure, alternated, ratio
from twinrun.train.recorder import RecordBatch, RecordStep

if TYPE_CHECKING:
    from benchmarks.__main__ import Given


def determinism(given: Given, told: Callable[[str], None]) -> list[Figure]:
    """A step with torch's deterministic algorithms and without."""
    ours = Ours(task_of(given, "resnet18", "1300 px"), given.environment)

    def without() -> float:
        with not_deterministic():
            return ours.speed("bf16")

    pairs = {"deterministic": lambda: ours.speed("bf16"), "not": without}
    found = alternated(given.rounds, pairs, told)
    times = {name: [1 / speed for speed in speeds] for name, speeds in found.items()}
    bound = 1.10 if given.device == "cuda" else 1.02
    value = ratio(times["deterministic"], times["not"])
    return [Figure("step time, deterministic", "not", value, bound, False, "", _seen(found))]


def ledger(given: Given, told: Callable[[str], None]) -> list[Figure]:
    """A step with rows of the ledger and without.

    On a CPU the time spent on the ledger is measured within the very steps that it is compared
    with, which what else resumes in a machine cannot change. On a GPU work resumes while the host
    is ahead of it, so that only whole steps of either kind can be compared, in turns.
    """
    ours = Ours(task_of(given, "resnet18", "1300 px"), given.environment)
    pairs = {
        "with": lambda: ours.speed("bf16"),
        "without": lambda: ours.speed("bf16", ledger="epoch"),
    }
    found = alternated(given.rounds, pairs, told)
    times = {name: [1 / speed for speed in speeds] for name, speeds in found.items()}
    value, seen = ratio(times["with"], times["without"]), _seen(found)
    if given.device == "cpu":
        shares = [_ledgers_share(ours) for _ in range(given.rounds)]
        seen = f"measured within the steps; in turns {value:.3f}: {seen}"
        value = 1 + statistics.median(shares)
    return [Figure("step time, ledger", "without", value, 1.03, False, "", seen)]


def _ledgers_share(ours: Ours) -> float:
    """Seconds in the callbacks that write the ledger, as a part of all others of the steps."""
    spent = [0.0]
    running = [False]

    def around(owner: Any, method: str) -> Any:
        plain = getattr(owner, method)

        def timed(*arguments: Any) -> Any:
            if running[0]:
                return plain(*arguments)
            running[0], started = True, time.perf_counter()
            try:
                return plain(*arguments)
            finally:
                running[0] = False
                spent[0] += time.perf_counter() - started

        return patch.object(owner, method, timed)

    with (
        around(RecordBatch, "__call__"),
        around(RecordBatch, "_arrived"),
        around(RecordStep, "__call__"),
    ):
        total = sum(ours.seconds("bf16"))
    return spent[0] / (total - spent[0])


def resume(given: Given, told: Callable[[str], None]) -> list[Figure]:
    """A run that is killed in its middle and started again, against one that is not.

    What it may take longer: the start of a process, and what was done since the last checkpoint.
    """
    task = task_of(given, "resnet18", "1300 px")
    Ours(task, given.environment).workshop("bf16")  # writes the settings
    seconds = task.steps / 2
    start_up = first_step(
        _command(task.folder, "start", "--set", "run.checkpoint_seconds=0.001"),
        task.folder / "runs" / "start" / "members",
    )
    told(f"start-up, to the end of the first step: {start_up:.1f} s")

    def timed(run: str, *, kill: bool) -> float:
        return _timed(task.folder, run, seconds, kill=kill)

    pairs = {
        "killed": lambda: timed("killed", kill=True),
        "whole": lambda: timed("whole", kill=False),
    }
    found = alternated(given.rounds, pairs, told)
    extra = statistics.median(
        killed - whole for killed, whole in zip(found["killed"], found["whole"], strict=True)
    )
    medians = {name: statistics.median(times) for name, times in found.items()}
    seen = f"{medians['killed']:.1f} s against {medians['whole']:.1f} s; start-up {start_up:.1f} s"
    bound = round(start_up + seconds, 1)
    against = "start-up + one checkpoint interval"
    return [Figure("resumed run's extra time", against, extra, bound, False, " s", seen)]


def _timed(folder: Path, run: str, seconds: float, *, kill: bool) -> float:
    """Seconds of a whole run; `kill` ends it by SIGKILL after its first checkpoint, and resumes."""
    rmtree(folder / "runs" / run, ignore_errors=True)
    started = time.perf_counter()
    extra = ("--set", f"run.checkpoint_seconds={seconds}")
    process = _started(folder, run, *extra)
    if kill:
        _wait_for_checkpoint(process, folder / "runs" / run)
        time.sleep(seconds / 2)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = _started(folder, run, *extra)
    process.wait()
    return time.perf_counter() - started


def _wait_for_checkpoint(process: subprocess.Popen[bytes], run: Path) -> None:
    checkpoints = run / "members" / "m" / "checkpoint"
    while process.poll() is None and not list(checkpoints.glob("epoch-*-*.safetensors")):
        time.sleep(0.01)


def _started(folder: Path, run: str, *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(_command(folder, run, *options), stdout=subprocess.DEVNULL)


def _command(folder: Path, run: str, *options: str) -> list[str]:
    command = [sys.executable, "-m", "twinrun", "train", "--quiet", "--run", run, *options]
    return [*command, "--config", str(folder / "bf16.toml"), "--out", str(folder / "runs")]


def _seen(speeds: dict[str, list[float]]) -> str:
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    return ", ".join(f"{name} {median:.1f} images/s" for name, median in medians.items())
