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
    few_images(folder / "data")
    config = folder / "small.toml"
    # Four steps an epoch, as on the whole fixture, in half the time.
    text = SMALL.replace("batch_size = 16", "batch_size = 8")
    text = text.replace("[run]\n", '[run]\ncache = "cache"\n')
    config.write_text(text.format(folder=(folder / "data").as_posix()), encoding="utf-8")
    yield Bench(config, folder / "unused", folder / "store")
    shutil.rmtree(folder)


@pytest.fixture
def bench(shared_bench: Bench, tmp_path: Path) -> Iterator[Bench]:
    """A bench with a folder of its own; a run takes 45 MB, so nothing is kept."""
    yield replace(shared_bench, folder=tmp_path / "twins")
    shutil.rmtree(tmp_path / "twins", ignore_errors=True)


def few_images(folder: Path) -> None:
    """Copy a part of the fixture: 16 training images of each class, 8 test images."""
    for images in (*(FIXTURE / "train").iterdir(), FIXTURE / "test"):
        part = folder / images.relative_to(FIXTURE)
        part.mkdir(parents=True)
        for path in sorted(images.iterdir())[: 8 if part.name == "test" else 16]:
            shutil.copyfile(path, part / path.name)
    kept = {path.stem for path in (folder / "test").iterdir()}
    header, *rows = (FIXTURE / "sample_submission.csv").read_text().splitlines()
    lines = [header, *(row for row in rows if row.partition(",")[0] in kept)]
    (folder / "sample_submission.csv").write_text("\n".join(lines) + "\n")
