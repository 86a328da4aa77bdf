"""What comes back from a storage is compared with its record before it counts as complete."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.run_folder.documents import record_member
from twinrun.cluster.driver import _fetch
from twinrun.cluster.storage import Storage
from twinrun.config.trainings import Training
from twinrun.errors import InputError
from twinrun.run_folder.paths import TRAINING_FILES, RunFolder
from twinrun.run_folder.records import read_record


def test_files_that_were_damaged_on_the_way_make_no_complete_training(tmp_path: Path) -> None:
    there = RunFolder(tmp_path / "storage" / "full").training("a").path
    there.mkdir(parents=True)
    for file in TRAINING_FILES:
        (there / file).write_bytes(file.encode())
    (there / "member.json").unlink()
    record_member(there)
    run = RunFolder(tmp_path / "runs" / "full")
    prepared = SimpleNamespace(folder=run.path, member_folder=lambda name: run.training(name).path)
    storage = Storage(str(tmp_path / "storage"))
    _fetch(prepared, Training("a"), storage)  # type: ignore[arg-type]
    assert read_record(run.training("a").path) is not None

    (there / "test.csv").write_bytes(b"another")
    with pytest.raises(InputError, match=r"test\.csv is not the file that was written") as caught:
        _fetch(prepared, Training("a"), storage)  # type: ignore[arg-type]
    assert "full/members/a" in caught.value.fix
    assert read_record(run.training("a").path) is None
