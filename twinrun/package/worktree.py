"""The engine's source as git knows it: which files, of which commit, changed since or not."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from twinrun.errors import shorten
from twinrun.repro.source import code_digest, git

# Without git, the engine and these of its neighbours.
_BESIDE = (
    "competition/competition.toml",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "requirements.lock",
)


@dataclass(frozen=True)
class WorkTree:
    """A project's folder.

    Attributes:
        root: The folder.
        files: Relative to it, with slashes, sorted: those that git tracks, and new ones that it
            does not ignore; without git, the engine and what it needs. No links.
        commit: The one that is checked out; None without git.
        faults: A line for each reason why the files are not what the commit holds.
    """

    root: Path
    files: tuple[str, ...]
    commit: str | None
    faults: tuple[str, ...]

    def code_digest(self) -> str:
        """Of the engine that these files hold."""
        engine = "twinrun/"
        names = (name.removeprefix(engine) for name in self.files if name.startswith(engine))
        return code_digest(self.root / engine, names)


def read_work_tree(root: Path) -> WorkTree:
    """What git reports of a project's folder.

    Args:
        root: The folder that holds competition/ and twinrun/.
    """
    try:
        commit = git(root, "rev-parse", "HEAD").strip()
        listed = git(root, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
        tracked = git(root, "ls-files", "-z", "--", "twinrun/__init__.py")
        status = git(root, "status", "--porcelain", "-z", "--no-renames", "--", ".")
    except (OSError, subprocess.CalledProcessError) as error:
        message = getattr(error, "stderr", "") or str(error)
        return _withoutgit(root, f"git knows nothing of {root}: {_first_line(message)}")
    if not tracked:
        return _withoutgit(root, f"{root} is not under git's control: no commit holds its files")
    changed = [entry[3:] for entry in status.split("\0") if entry]
    lines = [f"{name}: not as the commit {commit[:8]} has it" for name in changed]
    return WorkTree(
        root, _plain_files(root, listed.split("\0")), commit, tuple(shorten(lines, most=20))
    )


def _withoutgit(root: Path, why: str) -> WorkTree:
    engine = (path.relative_to(root).as_posix() for path in (root / "twinrun").rglob("*"))
    files = [name for name in engine if "__pycache__" not in name.split("/")]
    return WorkTree(root, _plain_files(root, [*files, *_BESIDE]), None, (why,))


def _plain_files(root: Path, names: list[str]) -> tuple[str, ...]:
    """Those of the names that are files and no links, sorted."""
    found = {
        name
        for name in names
        if name and (root / name).is_file() and not (root / name).is_symlink()
    }
    return tuple(sorted(found))


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
