"""Runs of a cluster held against serial ones; what tests wait for and look at."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster.driving import Talking
from tests.kills.sameness import differing, left_over

# Long enough to be interrupted: an epoch of eighteen images takes a twentieth of a second.
LONG = ("--set", "recipe.epochs.unfrozen=160", "--set", "run.checkpoint_seconds=1e9")
# Told of b when it resumes; of 161 epochs, each a batch to train on and one to validate on.
RESUMED = r"b \(2/2\) resumes from its checkpoint, \d+ of 322 batches"
FOLDS = ("--set", "members.a.validation.folds=2")


def trainings(run: Path) -> list[str]:
    """The folders of a run that hold weights."""
    members = run / "members"
    return sorted(
        str(path.parent.relative_to(members)) for path in members.rglob("weights.safetensors")
    )


def same(run: Path, other: Path) -> bool:
    """Whether two runs are the same in every bit of every file; what differs is printed."""
    names = trainings(run)
    found = [] if names and names == trainings(other) else ["members"]
    for name in names:
        found += [
            f"{name}/{what}" for what in differing(run / "members" / name, other / "members" / name)
        ]
    for file in ("submission.csv", "index.parquet", "audit.json", "blend.json"):
        if (run / file).read_bytes() != (other / file).read_bytes():
            found.append(file)
    if content(run) != content(other):
        found.append("manifest.json")
    found += left_over(other)
    print(found)
    return not found


def content(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "manifest.json").read_bytes())["content"]
    return found


def wait_for(process: Talking, member: Path) -> None:
    """Until the folder of a member has a checkpoint; the process must still run."""
    _until(lambda: any(member.glob("checkpoint/*.safetensors")), process)


def wait_in(process: Talking, address: str, place: str) -> None:
    """Until a storage holds something there; the process must still run."""
    from twinrun.cluster.storage import Storage

    storage = Storage(address)
    _until(lambda: bool(storage.names(place)), process)


def _until(there: Callable[[], bool], process: Talking) -> None:
    while not there():
        if process.process.poll() is not None:
            process.end()
            raise AssertionError(f"no checkpoint:\n{process.text}")
        time.sleep(0.1)


def listening_elsewhere() -> list[str]:
    """Addresses other than loopback on which a process of Ray listens."""
    import psutil

    found = []
    for process in psutil.process_iter(["cmdline", "name"]):
        words = " ".join(process.info["cmdline"] or [process.info["name"]])
        if "ray" not in words or "rayon" in words:
            continue
        for connection in process.net_connections("inet"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.laddr.ip not in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
                found.append(f"{words}: {connection.laddr}")
    return found
