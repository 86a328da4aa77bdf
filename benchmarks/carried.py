"""What a project carries: its engine's wheels in git, and its environments on disk."""

from __future__ import annotations

import io
import runpy
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

from benchmarks.table import Figure
from twinrun.wheel.engine_wheel import NAME, RESOURCES

ROOT = Path(__file__).parents[1]
# As many versions as a project may take in its life.
VERSIONS = 10
# What the present writer needs beside an old engine; the old tree lacks some of it.
_PRESENT = (*RESOURCES, "template", f"{NAME}/wheel")


def updates(told: Callable[[str], None], versions: int = VERSIONS) -> list[Figure]:
    """What git keeps of a project that takes one version of the engine after another.

    The versions are the last commits of this repository that changed the engine, each written as
    a wheel; wheel and lock are committed, and packed by `git gc` as a push packs them.

    Raises:
        SystemExit: There is no history here, as in a zip of the repository.
    """
    commits = last_commits(versions)
    with tempfile.TemporaryDirectory() as temporary:
        project = Path(temporary) / "project"
        project.mkdir()
        _git(project, "init", "-q")
        sizes = []
        for number, commit in enumerate(commits):
            wheel = _take(project, commit, Path(temporary) / f"engine-{number}")
            sizes.append(_packed(project))
            told(f"{number + 1} of {versions}: {commit[:7]} {wheel.name}, git {_kb(sizes[-1])} kB")
        photos = photos_of(wheel)
        size = wheel.stat().st_size
    rest = sizes[-1] - photos
    return [
        Figure(
            what=f"git of a project after {versions} versions of the engine",
            against="the drawn photos not counted",
            value=rest / 1000,
            bound=500,
            at_least=False,
            unit=" kB",
            seen=f"a wheel of {_kb(size)} kB; git {_kb(sizes[0])} kB after one version, "
            f"{_kb(sizes[-1])} kB after {versions}, of them {_kb(photos)} kB photos",
        )
    ]


def last_commits(count: int) -> list[str]:
    """The last commits of this repository that changed the engine, the oldest first.

    Raises:
        SystemExit: There are fewer.
    """
    done = subprocess.run(
        ["git", "-C", str(ROOT), "log", f"-{count}", "--format=%H", "--", NAME],
        capture_output=True,
        text=True,
        check=False,
    )
    commits = done.stdout.split()
    if len(commits) < count:
        raise SystemExit(f"updates: needs a clone with {count} commits of {NAME}/ in its history")
    return commits[::-1]


def photos_of(wheel: Path) -> int:
    """The bytes of a wheel's drawn photos when all of it is deflated, as git does it."""
    with zipfile.ZipFile(wheel) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    others = [content for name, content in members.items() if not is_photo(name)]
    return _deflated(members.values()) - _deflated(others)


def is_photo(name: str) -> bool:
    """Whether a member of the wheel is one of the fixture's photos."""
    return "/tests/fixture/" in name and not name.endswith(".csv")


def _deflated(contents: Iterable[bytes]) -> int:
    return len(zlib.compress(b"".join(contents)))


def environments(told: Callable[[str], None]) -> list[Figure]:
    """What the packages of a run take on the disk, and those of development with them.

    Raises:
        SystemExit: There is no uv, or a package could not be fetched.
    """
    uv = shutil.which("uv", path=Path(sys.executable).parent) or shutil.which("uv")
    if uv is None:
        raise SystemExit("environments: needs uv, which requirements-dev.lock holds")
    sizes = {}
    with tempfile.TemporaryDirectory() as temporary:
        for locks in (("requirements.lock",), ("requirements.lock", "requirements-dev.lock")):
            folder = Path(temporary) / str(len(locks))
            _run(uv, "venv", "-q", "--python", sys.executable, str(folder))
            options = [part for lock in locks for part in ("-r", str(ROOT / lock))]
            install = (uv, "pip", "install", "-q", "--require-hashes", *options)
            _run(*install, "--python", str(folder))
            sizes[locks] = size_of(folder)
            told(f"{' and '.join(locks)}: {sizes[locks] / 1e9:.2f} GB")
            (site,) = folder.glob("lib/*/site-packages")
            for name, size in largest_packages(site, 10):
                told(f"    {size / 1e6:7,.0f} MB  {name}")
    alone, both = sizes.values()
    return [
        Figure(
            what="environment of requirements.lock alone",
            against="with requirements-dev.lock",
            value=alone / 1e9,
            bound=round(both / 1e9, 2),
            at_least=False,
            unit=" GB",
            seen=f"{alone / 1e9:.2f} GB and {both / 1e9:.2f} GB",
        )
    ]


def size_of(folder: Path) -> int:
    """The bytes of a folder's files, each counted once that has several names."""
    found = (path.lstat() for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return sum({(about.st_dev, about.st_ino): about.st_size for about in found}.values())


def largest_packages(site: Path, count: int) -> list[tuple[str, int]]:
    """The packages of a site-packages folder that take the most bytes, the largest first."""
    sizes = {
        each.name: sum(
            Path(str(path.locate())).lstat().st_size
            for path in each.files or []
            if Path(str(path.locate())).is_file()
        )
        for each in metadata.distributions(path=[str(site)])
    }
    return sorted(sizes.items(), key=lambda item: -item[1])[:count]


def _take(project: Path, commit: str, tree: Path) -> Path:
    """Commit the engine of a commit as a project carries it; its wheel."""
    parts = (NAME, "pyproject.toml")
    packed = _run("git", "-C", str(ROOT), "archive", commit, "--", *parts)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(tree, filter="data")
    for part in _PRESENT:
        source, target = ROOT / part, tree / part
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    # As git fills it in for a zip of the repository.
    (tree / "template" / "commit.txt").write_text(commit + "\n")
    shutil.rmtree(project / "vendor", ignore_errors=True)
    writer = runpy.run_path(str(tree / NAME / "wheel" / "engine_wheel.py"))
    wheel: Path = writer["write_wheel"](project / "vendor")
    # The module of that tree, which is no longer there.
    generation = runpy.run_path(str(ROOT / "template" / "generation.py"))
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    (project / "requirements.lock").write_text(generation["with_wheel"](lock, wheel))
    shutil.rmtree(tree)
    _git(project, "add", "-A")
    _git(project, "-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-qm", commit)
    return wheel


def _packed(project: Path) -> int:
    """The bytes of git's one pack."""
    _git(project, "gc", "-q", "--prune=now")
    (pack,) = (project / ".git" / "objects" / "pack").glob("*.pack")
    return pack.stat().st_size


def _git(folder: Path, *arguments: str) -> None:
    _run("git", "-C", str(folder), *arguments)


def _run(*command: str) -> bytes:
    return subprocess.run(command, capture_output=True, check=True).stdout


def _kb(size: float) -> str:
    return f"{size / 1000:,.0f}"
