"""manifest.json: what a run was made from, on what, and what came out."""

from __future__ import annotations

import datetime
import os
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd

from competition.data.index import data_digest
from competition.files import sha256_file, sha256_json
from competition.settings import Settings

_CODE = Path(__file__).parents[1]


def manifest(
    settings: Settings,
    index: pd.DataFrame,
    environment: dict[str, Any],
    members: dict[str, dict[str, Any]],
    *,
    submission: Path | None,
    seconds: float,
) -> dict[str, Any]:
    """The content of manifest.json, as JSON values in two tables.

    `content` is the same in every run with the same bits: settings, digests of data, code and
    results, and the part of the environment that decides bits. `beside` is not compared: clock,
    durations in seconds, paths, host.

    Args:
        settings: Of the run.
        index: From `build_index`.
        environment: From `set_up`.
        members: The content of member.json by name.
        submission: The submission, None when there is none yet.
        seconds: Wall time of the command that writes the manifest.
    """
    return {
        "content": {
            "settings": settings.model_dump(
                mode="json", exclude={"run": {"workers", "device"}, "data": {"folder"}}
            ),
            "data": data_digest(index),
            "code": code_digest(),
            "environment": environment["decides"],
            "members": {
                name: {"files": record["files"], "scores": record["scores"]}
                for name, record in members.items()
            },
            "submission": sha256_file(submission) if submission else None,
        },
        "beside": {
            "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "seconds": {
                "command": round(seconds, 3),
                "members": {name: record["seconds"] for name, record in members.items()},
            },
            "data_folder": str(settings.data_folder),
            "config": str(settings.config),
            "commit": _commit(),
            "environment": environment["beside"],
        },
    }


def code_digest() -> str:
    """SHA-256 over the names and digests of the engine's Python files."""
    files = sorted(_CODE.rglob("*.py"))
    return sha256_json([[path.relative_to(_CODE).as_posix(), sha256_file(path)] for path in files])


def _commit() -> str | None:
    """The commit of the work tree, with "+changes" when it is not clean; None outside git."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(_CODE), *arguments],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
