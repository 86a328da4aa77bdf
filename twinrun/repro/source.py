"""The engine's source: its digest, and what git knows of a folder."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from twinrun.files import sha256_file, sha256_json

ENGINE = Path(__file__).parents[1]


def code_digest(engine: Path = ENGINE, names: Iterable[str] | None = None) -> str:
    """SHA-256 over the names and digests of an engine's Python files.

    Args:
        engine: The folder twinrun/; this process's own by default.
        names: Its files, relative to it, with slashes, those that are no Python files too; all
            that lie there by default.
    """
    if names is None:
        names = (path.relative_to(engine).as_posix() for path in engine.rglob("*.py"))
    files = sorted((name for name in names if name.endswith(".py")), key=PurePosixPath)
    return sha256_json([[name, sha256_file(engine / name)] for name in files])


def git(folder: Path, *arguments: str) -> str:
    """What a git command prints about the repository of a folder; it takes no locks.

    Raises:
        OSError: There is no git.
        subprocess.CalledProcessError: It refuses; its `stderr` says why.
    """
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        check=True,
        encoding="utf-8",
        errors="surrogateescape",
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
    ).stdout


def read_commit(folder: Path = ENGINE) -> str | None:
    """The commit of a work tree, with "+changes" when it is not clean; None outside git."""
    try:
        commit = git(folder, "rev-parse", "HEAD").strip()
        return commit + ("+changes" if git(folder, "status", "--porcelain").strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return None
