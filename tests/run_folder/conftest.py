"""What the tests of damaged files share."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from tests.report.made_run import make_run, write_audit, write_blend, write_twins, write_verify
from tests.run_folder.documents import record_member, record_run
from twinrun.repro.ledger import Ledger
from twinrun.run_folder.manifest import read_manifest
from twinrun.run_folder.paths import RunFolder
from twinrun.run_folder.tables import read_index


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run that has every file."""
    folder = tmp_path_factory.mktemp("whole")
    run = RunFolder(make_run(folder))
    write_audit(run.path)
    write_blend(run.path, {"a": 0.5, "b": 0.5})
    manifest = read_manifest(run.path)
    for name in manifest["content"]["members"]:
        member = run.training(name)
        save_file({"x": np.zeros(1, np.float32)}, member.weights)
        settings = {"member": {"name": name}}
        about = {"level": "step", "settings": settings, "environment": {}, "code": "", "steps": 1}
        Ledger(about).write(member.ledger)
        record_member(member.path)
    record_run(run.path)
    write_verify(run.path)
    write_verify(run.path, "predictions.json")
    write_twins(run.path)
    index = read_index(run.path)
    sample = pd.DataFrame({"ID": index["id"], "leaf_rust": 0, "stem_rust": 0, "healthy_wheat": 0})
    sample.to_csv(folder / "data" / "sample_submission.csv", index=False)
    shutil.copytree(run.path, folder / "runs" / "other")
    (folder / "competition").mkdir()
    shutil.copy(folder / "competition.toml", folder / "competition")
    (folder / "twinrun").mkdir()
    (folder / "twinrun" / "__init__.py").touch()
    (folder / "requirements.lock").touch()
    return folder


@pytest.fixture
def project(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(whole, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"
