"""The contract of imports is able to fail: on a copy of the engine with one file more."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    # The folder itself is looked in first, so that it is the copy that is read.
    code = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command"
    return subprocess.run(
        [sys.executable, "-c", f"{code}; lint_imports_command(['--no-cache'])"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engine")
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copytree(
        ROOT / "twinrun", folder / "twinrun", ignore=shutil.ignore_patterns("__pycache__")
    )
    return folder


def test_the_engine_as_it_is_keeps_the_contracts(engine: Path) -> None:
    linted = lint(engine)
    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert "0 broken" in linted.stdout


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("unlisted.py", '"""A room that no layer lists."""\n', ["unlisted"]),
        ("data/more.py", "import twinrun.train.fit\n", ["twinrun.data", "twinrun.train"]),
        (
            "cli/more.py",
            "from twinrun.cluster import runs\n",
            ["twinrun.cli.more", "twinrun.cluster"],
        ),
        (
            "cli/more.py",
            "from twinrun.distributed.collectives import TorchGroup\n",
            ["twinrun.cli.more", "twinrun.distributed"],
        ),
    ],
)
def test_a_file_that_breaks_a_contract_is_named(
    engine: Path, file: str, content: str, said: list[str]
) -> None:
    path = engine / "twinrun" / file
    path.write_text(content, encoding="utf-8")
    try:
        linted = lint(engine)
    finally:
        path.unlink()
    assert linted.returncode == 1, linted.stdout + linted.stderr
    for part in said:
        assert part in linted.stdout
