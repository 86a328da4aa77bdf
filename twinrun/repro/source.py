"""The engine's source: its digest, in a folder or in a wheel; its version and its commit."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from twinrun.files import sha256_file, sha256_json
from twinrun.plain_files import open_plain, read_bytes

ENGINE = Path(__file__).parents[1]

# Where a wheel holds the engine, as in a clone.
IN_WHEEL = "twinrun/"
# All of its files, unpacked; an engine has a hundredth.
_MOST_BYTES = 200 << 20

# In an installed wheel: {"commit": of the clone that it was written from, "repository": its
# address}, each null where it is not known.
_ORIGIN = "origin.json"


def code_digest(engine: Path = ENGINE, names: Iterable[str] | None = None) -> str:
    """SHA-256 over the names and digests of an engine's Python files.

    Args:
        engine: The folder twinrun/; this process's own by default.
        names: Its files, relative to it, with slashes, those that are no Python files too; all
            that lie there by default.
    """
    if names is None:
        names = (path.relative_to(engine).as_posix() for path in engine.rglob("*.py"))
    return _digest_of({name: sha256_file(engine / name) for name in names if name.endswith(".py")})


def wheel_code_digest(wheel: Path) -> str:
    """`code_digest` of the engine in a wheel, without unpacking it: that of the same files.

    Raises:
        OSError: The file cannot be read.
        zipfile.BadZipFile: It is no zip; or, as `twinrun.package.contents.BROKEN_ZIP`, damaged.
    """
    digests = {}
    with open_plain(wheel) as content, zipfile.ZipFile(content) as archive:
        entries = archive.infolist()
        names = {entry.filename for entry in entries}
        # A small file can be packed so that it takes days to read.
        if len(names) != len(entries) or sum(entry.file_size for entry in entries) > _MOST_BYTES:
            raise zipfile.BadZipFile("names that stand twice, or far more than an engine has")
        for name in names:
            if name.startswith(IN_WHEEL) and name.endswith(".py"):
                with archive.open(name) as file:
                    digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
                digests[name.removeprefix(IN_WHEEL)] = digest.hexdigest()
    return _digest_of(digests)


def _digest_of(digests: Mapping[str, str]) -> str:
    return sha256_json([[name, digests[name]] for name in sorted(digests, key=PurePosixPath)])


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


def read_commit(file: Path) -> str | None:
    """The commit of the work tree that a file belongs to, with "+changes" when it is not clean.

    Returns:
        None outside git, and for a file that git does not track: a commit says nothing of it.
    """
    try:
        git(file.parent, "ls-files", "--error-unmatch", "--", file.name)
        commit = git(file.parent, "rev-parse", "HEAD").strip()
        return commit + ("+changes" if git(file.parent, "status", "--porcelain").strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def read_engine(engine: Path = ENGINE) -> dict[str, str | None]:
    """Version and commit of an engine, as far as they are known.

    An installed wheel tells its commit itself: git would tell that of a project around it. Of a
    clone, and of an engine that a project unpacked and may have changed, git tells.

    Args:
        engine: The folder twinrun/; this process's own by default.
    """
    if any(engine.parent.glob("twinrun-*.dist-info")):
        commit = _origin_commit(engine / _ORIGIN)
    else:
        commit = read_commit(engine / "__init__.py")
    return {"version": _version(engine), "commit": commit}


def describe_engine(engine: Mapping[str, str | None]) -> str:
    """What `read_engine` found, in a few words: `0.2.0, commit e71ccc2a+changes`."""
    commit, changes = (engine["commit"] or "unknown").partition("+")[::2]
    short = commit[:8] + (f"+{changes}" if changes else "")
    return f"{engine['version'] or 'of no version'}, commit {short}"


def _origin_commit(path: Path) -> str | None:
    try:
        commit = json.loads(read_bytes(path))["commit"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return commit if isinstance(commit, str) else None


def _version(engine: Path) -> str | None:
    """As pyproject.toml says: within the engine, where a wheel has it, or beside it in a clone."""
    for folder in (engine, engine.parent):
        try:
            text = read_bytes(folder / "pyproject.toml").decode()
            project = tomllib.loads(text)["project"]
            if project["name"] == "twinrun":
                return str(project["version"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None
