"""The examples of docs/hooks.md in a winner's package: verified by what the package holds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.conftest import SMALL, Command
from tests.hooks.test_page_examples import METRIC, READER
from tests.kills.small import CHANGES, write_competition
from tests.package.packing import commit, committed_source
from tests.train.test_hooks_page import WEIGHTS, examples
from twinrun import prepare, submit, train_run
from twinrun.config.reading import read_settings
from twinrun.package.hosts import HOSTS
from twinrun.package.package import make_package
from twinrun.verify.confine import find_way


@pytest.mark.slow
@pytest.mark.skipif(find_way() is None, reason="nothing confines a process here")
@pytest.mark.parametrize("heading", [*WEIGHTS, METRIC, READER])
def test_it_is_packaged_and_verified(tmp_path: Path, invoke: Command, heading: str) -> None:
    project = committed_source(tmp_path / "project")
    data = write_competition(tmp_path / "small").parent / "data"
    own = project / "competition"
    (own / "hooks.py").write_text(examples()[heading], encoding="utf-8")
    (own / "competition.toml").write_text(SMALL.format(folder="../data"), encoding="utf-8")
    (own / "local.toml").write_text(f"[data]\nfolder = {data.as_posix()!r}\n", encoding="utf-8")
    commit(project)
    changes = list(CHANGES)
    if heading == METRIC:
        changes.append("competition.metric=own")
    settings = read_settings(own / "competition.toml", changes=changes)
    started = time.perf_counter()
    run = prepare.prepare(settings, project / "runs" / "full")
    train_run.train(run, [], started)
    submit.blend_run(run.folder, settings, run.sample_path, run.folder / "submission.csv")
    prepare.keep_record(run, started)
    made = tmp_path / "own.zip"
    make_package(run.folder, HOSTS.get("kaggle"), made, force=False, project=project)
    options = ("--data", data, "--out", tmp_path / "out", "--this-environment", "--trust")
    done = invoke("verify", made, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("same bits: ")
