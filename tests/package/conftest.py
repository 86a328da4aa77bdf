"""What the tests of packages share: a run that nobody trained, drawn once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import FIXTURE, SMALL
from tests.package.packing import drawn_run


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be written to."""
    folder = tmp_path_factory.mktemp("drawn")
    toml = folder / "small.toml"
    toml.write_text(SMALL.format(folder=FIXTURE.as_posix()), encoding="utf-8")
    return drawn_run(toml, folder / "runs" / "full")


@pytest.fixture
def run(drawn: Path, tmp_path: Path) -> Path:
    """A copy of it, to be tampered with."""
    return Path(shutil.copytree(drawn, tmp_path / "runs" / "full"))
