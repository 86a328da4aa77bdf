"""What must be the same after an interruption, compared without any tolerance."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twinrun.repro.ledger import Ledger
from twinrun.run_folder.documents import SEAL
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


def differing_files(first: Path, second: Path) -> list[str]:
    """What differs between two folders of a complete run, file by file, its clocks apart.

    A file that no line here knows is compared byte by byte, so that none is forgotten.
    """
    names = [
        {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
        for run in (first, second)
    ]
    found = [f"{name}: in one of them only" for name in sorted(names[0] ^ names[1])]
    members = sorted(path.name for path in (first / "members").iterdir())
    read: dict[str, Callable[[Path], Any]] = {
        "ledger.parquet": lambda path: ledger(path.parent),
        "history.csv": lambda path: history(path.parent),
        "member.json": lambda path: record(path.parent),
        "manifest.json": lambda path: manifest(path.parent, members),
        # It says where this one lies.
        "local.json": lambda path: path.is_file(),
        # It shows the durations; what else it shows is read from the other files.
        "report.html": lambda path: path.is_file(),
    }
    for name in sorted(names[0] & names[1]):
        look = read.get(Path(name).name, Path.read_bytes)
        if look(first / name) != look(second / name):
            found.append(name)
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
    """member.json without time and place, and without the digests that cover these."""
    content: dict[str, Any] = json.loads((folder / "member.json").read_bytes())
    del content["seconds"], content["guards"], content[SEAL]
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
