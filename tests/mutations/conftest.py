"""The bench on which twins are trained: one set of unmutated runs for all tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import FIXTURE, SMALL
from tests.mutations.harness import Bench


@pytest.fixture(scope="session")
def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("bench")
    config = folder / "small.toml"
    config.write_text(SMALL.format(folder=FIXTURE.as_posix()), encoding="utf-8")
    yield Bench(config, folder / "unused", folder / "store")
    shutil.rmtree(folder)


@pytest.fixture
def bench(shared_bench: Bench, tmp_path: Path) -> Iterator[Bench]:
    """A bench with a folder of its own; a run takes 45 MB, so nothing is kept."""
    yield replace(shared_bench, folder=tmp_path / "twins")
    shutil.rmtree(tmp_path / "twins", ignore_errors=True)
