"""What was not chosen, against what was: torch.compile, filled new tensors, memory given back."""

from __future__ import annotations

import copy
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils import deterministic

from benchmarks.contestants import Ours, Task, network_alone
from benchmarks.speed import task_of
from benchmarks.table import Figure, alternated, ratio

if TYPE_CHECKING:
    from benchmarks.__main__ import Given

# Steps of the network alone that are timed together.
_STEPS = 3
# What glibc does where nobody asks it for anything else; it does not adapt what is set.
_GIVEN_BACK = {
    "MALLOC_MMAP_MAX_": "65536",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}


def compiled(given: Given, told: Callable[[str], None]) -> list[Figure]:
    """A step of the network alone as it is, and compiled by inductor; one batch, there already.

    Compiling needs a C++ compiler.
    """
    figures = []
    for network in given.networks:
        task = task_of(given, network, "1300 px")
        ours = Ours(task, given.environment)
        for precision in ("fp32", "bf16"):
            figures.append(_compiled(task, ours, precision, given.rounds, told))
    return figures


def _compiled(
    task: Task, ours: Ours, precision: str, rounds: int, told: Callable[[str], None]
) -> Figure:
    plain = ours.workshop(precision).learner.model.train()
    # Else the two would draw dropout's places in different ways, and have other bits for that.
    for module in plain.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    other = copy.deepcopy(plain)
    as_it_is = network_alone(task, plain, plain)
    changed = network_alone(task, other, torch.compile(other))
    as_it_is(_STEPS)
    waited = changed(_STEPS)
    told(f"{task.network}, {precision}: the first {_STEPS} steps, with compiling, {waited:.0f} s")
    pairs = {
        "as it is": lambda: as_it_is(_STEPS) / _STEPS,
        "compiled": lambda: changed(_STEPS) / _STEPS,
    }
    found = alternated(rounds, pairs, told)
    same = all(map(torch.equal, plain.state_dict().values(), other.state_dict().values()))
    medians = {name: statistics.median(times) for name, times in found.items()}
    seen = (
        f"{medians['as it is']:.3f} s against {medians['compiled']:.3f} s a step after "
        f"{waited:.0f} s with compiling; {'the same' if same else 'other'} bits"
    )
    value = ratio(found["compiled"], found["as it is"])
    return Figure(f"{task.network}, {precision}, speed", "torch.compile", value, 1, True, "", seen)


def filled(given: Given, told: Callable[[str], None]) -> list[Figure]:
    """Training as it is, and with torch's filling of new tensors."""
    ours = Ours(task_of(given, "resnet18", "1300 px"), given.environment)

    def with_filling() -> float:
        deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
        try:
            return ours.speed("bf16")
        finally:
            deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

    pairs = {"as it is": lambda: ours.speed("bf16"), "filled": with_filling}
    found = alternated(given.rounds, pairs, told)
    return [_speeds("resnet18, bf16, images/s", "new tensors filled", found, "filled")]


def freed(given: Given, told: Callable[[str], None]) -> list[Figure]:
    """Training as it is, and with freed memory given back to the system, as glibc does."""
    task = task_of(given, "resnet18", "1300 px")
    figures = []
    for precision in ("fp32", "bf16"):

        def speed(variables: dict[str, str], precision: str = precision) -> float:
            numbers = (str(task.images), str(task.size), str(task.batch), str(task.threads))
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.alternatives"]
            answer = subprocess.run(
                [*command, str(task.folder), *numbers, precision],
                env={**os.environ, **variables},
                capture_output=True,
                text=True,
                check=True,
            )
            return float(answer.stdout.split()[-1])

        pairs = {"as it is": lambda: speed({}), "given back": lambda: speed(_GIVEN_BACK)}
        told(precision)
        found = alternated(given.rounds, pairs, told)
        what = f"resnet18, {precision}, images/s"
        figures.append(_speeds(what, "memory given back", found, "given back"))
    return figures


def _speeds(what: str, against: str, found: dict[str, list[float]], other: str) -> Figure:
    medians = {name: statistics.median(speeds) for name, speeds in found.items()}
    seen = f"{medians['as it is']:.1f} against {medians[other]:.1f}"
    return Figure(what, against, ratio(found["as it is"], found[other]), 1, True, "", seen)


def _one_speed(folder: str, images: str, size: str, batch: str, threads: str, kind: str) -> float:
    """Images a second of Twinrun in this process."""
    from twinrun.console import console
    from twinrun.repro.environment import set_up

    console.quiet = True
    environment = set_up(threads=int(threads))
    device = environment["decides"]["device"]
    numbers = (int(size), int(batch), int(threads))
    task = Task(Path(folder), int(images), "resnet18", *numbers, device)
    return Ours(task, environment).speed(kind)


if __name__ == "__main__":
    print(_one_speed(*sys.argv[1:]))  # noqa: T201
