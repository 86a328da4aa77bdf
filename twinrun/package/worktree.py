"""A project's files as git knows them: which, of which commit, changed since or not."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from twinrun.config.local import LOCAL
from twinrun.config.project import SETTINGS
from twinrun.errors import shorten
from twinrun.package.engine import FOLDER, ProjectEngine, find_engine
from twinrun.package.paths import DEVELOPMENT_LOCK_NAME, LOCK_NAME
from twinrun.repro.source import git

# Without git, the engine, what is the competition's, and these of their neighbours.
_BESIDE = (
    "LICENSE",
    "README.md",
    "noxfile.py",
    "pyproject.toml",
    LOCK_NAME,
    DEVELOPMENT_LOCK_NAME,
)
# It names a folder of this machine, which no host needs, and decides no bit.
_LOCAL = SETTINGS.with_name(LOCAL).as_posix()


@dataclass(frozen=True)
class WorkTree:
    """A project's folder.

    Attributes:
        root: The folder.
        files: Relative to it, with slashes, sorted: those that git tracks, and new ones that it
            does not ignore; without git, competition/, the engine and what they need. No links, no
            local.toml.
        commit: The one that is checked out; None without git.
        faults: A line for each reason why the files are not what the commit holds.
    """

    root: Path
    files: tuple[str, ...]
    commit: str | None
    faults: tuple[str, ...]

    def engine(self) -> ProjectEngine:
        """The engine that these files hold.

        Raises:
            InputError: As `find_engine`.
        """
        return find_engine(self.root, self.files)


def read_work_tree(root: Path) -> WorkTree:
    """What git reports of a project's folder.

    Args:
        root: The folder that holds competition/.
    """
    try:
        commit = git(root, "rev-parse", "HEAD").strip()
        listed = git(root, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
        tracked = git(root, "ls-files", "-z", "--", SETTINGS.as_posix())
        status = git(root, "status", "--porcelain", "-z", "--no-renames", "--", ".")
    except (OSError, subprocess.CalledProcessError) as error:
        message = getattr(error, "stderr", "") or str(error)
        return _withoutgit(root, f"git knows nothing of {root}: {_first_line(message)}")
    if not tracked:
        return _withoutgit(root, f"{root} is not under git's control: no commit holds its files")
    changed = [entry[3:] for entry in status.split("\0") if entry and entry[3:] != _LOCAL]
    lines = [f"{name}: not as the commit {commit[:8]} has it" for name in changed]
    return WorkTree(
        root, _plain_files(root, listed.split("\0")), commit, tuple(shorten(lines, most=20))
    )


def _withoutgit(root: Path, why: str) -> WorkTree:
    folders = (FOLDER, SETTINGS.parent.as_posix(), "vendor")
    paths = (path for folder in folders for path in (root / folder).rglob("*"))
    names = {path.relative_to(root).as_posix() for path in paths}
    files = [name for name in names if "__pycache__" not in name.split("/")]
    return WorkTree(root, _plain_files(root, [*files, *_BESIDE]), None, (why,))


def _plain_files(root: Path, names: list[str]) -> tuple[str, ...]:
    """Those of the names that are files and no links, sorted."""
    found = {
        name
        for name in names
        if name not in ("", _LOCAL) and (root / name).is_file() and not (root / name).is_symlink()
    }
    return tuple(sorted(found))


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
