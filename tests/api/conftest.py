"""A project with a complete run, for all tests of the Python API. Not to be written to."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.conftest import FIXTURE, SMALL
from twinrun import prepare, submit, train_run
from twinrun.api.project import Project

PROFILE = """
[profiles.fixture.recipe]
epochs = { frozen = 1, unfrozen = 0 }

[profiles.fixture.members.a]
validation = { folds = 2 }
"""


def new_project(folder: Path) -> Project:
    """A project of two small members on the fixture, one of them with folds."""
    toml = folder / "competition" / "competition.toml"
    toml.parent.mkdir(parents=True)
    toml.write_text(SMALL.format(folder=FIXTURE.as_posix()) + PROFILE, encoding="utf-8")
    return Project(folder, profile="fixture")


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """With a complete run called `fixture`."""
    found = new_project(tmp_path_factory.mktemp("project"))
    started = time.perf_counter()
    prepared = prepare.prepare(found.settings, found.folder / "runs" / "fixture")
    train_run.train(prepared, [], started)
    output = prepared.folder / "submission.csv"
    submit.blend_run(prepared.folder, found.settings, prepared.sample_path, output)
    prepare.keep_record(prepared, started)
    return found
