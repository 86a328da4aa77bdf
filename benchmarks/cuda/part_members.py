"""Members one after the other in one process, against side by side, each in its own, on one GPU."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.cuda.work import Answer, Plan, photos

ROOT = Path(__file__).parents[2]
# Of a GPU's memory, for a member of the largest network in float32, with its process.
_GB_OF_A_MEMBER = 11.0

_SETTINGS = """
[competition]
name = "members"
classes = ["a", "b"]
[data]
folder = {folder!r}
[run]
seed = 0
threads = 1
device = {device!r}
cache = {cache!r}
[recipe]
network = {network!r}
image_size = {size}
batch_size = {batch}
pretrained = false
validation = {{ share = 0.5 }}
epochs = {{ frozen = 0, unfrozen = 1 }}
"""


def measure(plan: Plan, answer: Answer, until: float) -> None:
    """Seconds of both ways, from the moment at which all is read, and each member's weights."""
    count = plan.members
    if not plan.rehearsed:
        memory = torch.cuda.get_device_properties().total_memory / 1e9
        count = max(2, min(count, int(memory // _GB_OF_A_MEMBER)))
    names = [f"m{number}" for number in range(count)]
    folder = photos(plan)
    text = _SETTINGS.format(
        folder=str(folder),
        cache=str(folder / "cache"),
        device=plan.device,
        network=plan.network,
        size=plan.size,
        batch=plan.batch,
    )
    config = Path(plan.folder) / "members.toml"
    config.write_text(text + "".join(f"[members.{name}]\n" for name in names), encoding="utf-8")
    alone = _trained([names], config, Path(plan.folder) / "alone", until)
    seconds = alone[0]["seconds"]
    answer.row(f"{count} members of {plan.network}, one after the other", f"{seconds:.1f} s")
    beside = _trained([[name] for name in names], config, Path(plan.folder) / "beside", until)
    together = max(each["seconds"] for each in beside)
    words = f"{together:.1f} s: {seconds / together:.2f} times as fast"
    words += " (rehearsed)" if plan.rehearsed else ""
    answer.row(f"{count} members of {plan.network}, side by side", words)
    weights = {name: digest for each in beside for name, digest in each["digests"].items()}
    same = sum(weights[name] == digest for name, digest in alone[0]["digests"].items())
    answer.row(
        "weights of both ways",
        f"{same} of {count} the same bits",
        asked="same bits",
        kept=same == count,
    )
    different = len(set(weights.values()))
    answer.row(
        "weights of different members",
        f"{different} of {count} different",
        asked="different bits",
        kept=different == count,
    )


def _trained(
    groups: Sequence[Sequence[str]], config: Path, folder: Path, until: float
) -> list[dict[str, Any]]:
    """A process for each group of members; all begin at one moment.

    Raises:
        RuntimeError: One of them failed, or the time is over.
    """
    folder.mkdir()
    go, processes = folder / "go", []
    for number, names in enumerate(groups):
        files = [folder / f"{number}.ready", go, folder / f"{number}.json"]
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.cuda.member", str(config)]
        command += [",".join(names), *map(str, files)]
        processes.append(subprocess.Popen(command, cwd=ROOT))
    while len(list(folder.glob("*.ready"))) < len(groups):
        _refuse(processes, until)
        time.sleep(0.01)
    go.touch()
    while any(process.poll() is None for process in processes):
        _refuse(processes, until)
        time.sleep(0.01)
    _refuse(processes, until)
    return [json.loads((folder / f"{number}.json").read_text()) for number in range(len(groups))]


def _refuse(processes: Sequence[subprocess.Popen[bytes]], until: float) -> None:
    failed = any(process.poll() for process in processes)
    if failed or time.monotonic() > until:
        for process in processes:
            process.kill()
            process.wait()
        raise RuntimeError("a member's process failed" if failed else "the time was over")
