"""The template as somebody else sees it: a repository of its own, a HOME of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.conftest import ROOT

GIT = """
[user]
    name = Somebody
    email = somebody@example.org
[init]
    defaultBranch = main
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Make = Callable[..., Path]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a user without any configuration; only the package cache is shared."""
    home = tmp_path_factory.mktemp("home")
    (home / "gitconfig").write_text(GIT)
    cache = subprocess.run(
        ["uv", "cache", "dir"], capture_output=True, text=True, check=True
    ).stdout.strip()
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XDG_", "GIT_", "NOX", "COOKIECUTTER", "PYTEST", "VIRTUAL_ENV"))
    }
    return {
        **kept,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_DATA_HOME": str(home / "data"),
        "GIT_CONFIG_GLOBAL": str(home / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "UV_CACHE_DIR": cache,
        "COLUMNS": "120",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


@pytest.fixture
def run(environment: Mapping[str, str]) -> Run:
    """Run a command as that user; its output is in stdout and stderr.

    `more` are variables of this command alone; `code` None takes any exit status.
    """

    def runs(
        *command: object,
        cwd: Path,
        code: int | None = 0,
        more: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env={**environment, **(more or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done

    return runs


@pytest.fixture(scope="session")
def published(environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This working tree, committed in a repository of its own as its author would publish it."""
    folder = tmp_path_factory.mktemp("published") / "twinrun"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "Version 1"]):
        subprocess.run(["git", *command], cwd=folder, env=dict(environment), check=True)
    return folder


@pytest.fixture
def make(run: Run, published: Path, tmp_path: Path) -> Make:
    """Make a project in the temporary folder with `cookiecutter`; answers are keyword arguments."""

    def makes(template: object = published, **answers: str) -> Path:
        options = [f"{key}={value}" for key, value in answers.items()]
        before = set(tmp_path.iterdir())
        run(
            "cookiecutter",
            template,
            "--directory",
            "template",
            "--no-input",
            *options,
            cwd=tmp_path,
        )
        (made,) = set(tmp_path.iterdir()) - before
        return made

    return makes


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of each file of a project, by its relative path; git's own folder is left out."""
    return {
        name: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not (name := path.relative_to(folder).as_posix()).startswith(".git/")
    }
