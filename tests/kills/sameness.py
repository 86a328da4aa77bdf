"""What must be the same after an interruption, compared without any tolerance."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twinrun.repro.ledger import Ledger
from twinrun.run_folder.paths import RESULT_FILES


def differing(first: Path, second: Path) -> list[str]:
    """What differs between two folders of a complete member."""
    found = [
        name for name in RESULT_FILES if (first / name).read_bytes() != (second / name).read_bytes()
    ]
    for name, read in (("ledger", ledger), ("history", history), ("record", record)):
        if read(first) != read(second):
            found.append(name)
    return found


def differing_runs(first: Path, second: Path, members: Sequence[str]) -> list[str]:
    """What differs between two folders of a run, in these members and in its own files."""
    found = [
        f"{member}/{what}"
        for member in members
        for what in differing(first / "members" / member, second / "members" / member)
    ]
    if (first / "index.parquet").read_bytes() != (second / "index.parquet").read_bytes():
        found.append("index")
    if manifest(first, members) != manifest(second, members):
        found.append("manifest")
    return found


def left_over(run: Path) -> list[str]:
    """What must not be there when a run is complete."""
    return [
        str(path.relative_to(run))
        for path in sorted(run.rglob("*"))
        if path.name == "checkpoint" or path.name.endswith(".part") or path.name.startswith(".")
    ]


def ledger(folder: Path) -> dict[str, list[Any]]:
    """All rows of a member's ledger, column by column."""
    rows: dict[str, list[Any]] = Ledger.read(folder / "ledger.parquet").rows().to_pydict()
    return rows


def history(folder: Path) -> list[list[str]]:
    """history.csv as text, without the column of times."""
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    time = header.index("seconds")
    return [[value for place, value in enumerate(row) if place != time] for row in (header, *rows)]


def record(folder: Path) -> dict[str, Any]:
    """member.json without time and place."""
    content: dict[str, Any] = json.loads((folder / "member.json").read_bytes())
    del content["seconds"]
    for beside in ("beside", "node"):
        content.pop(beside, None)
    return content


def manifest(run: Path, members: Sequence[str]) -> dict[str, Any]:
    """The compared part of manifest.json: of these members, and not of the engine's own code."""
    content: dict[str, Any] = json.loads((run / "manifest.json").read_bytes())["content"]
    return {
        **content,
        "code": None,
        "members": {name: content["members"][name] for name in members},
    }
