"""Commands in processes of their own: their output, their errors, and how they are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

import twinrun
from tests.api.conftest import new_project
from tests.in_time import in_time
from twinrun.api.command import CommandFailed, run_command
from twinrun.api.project import Project


def test_its_mistakes_and_verdicts_are_raised(
    project: Project, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(twinrun.InputError, match=r"no such file: .*none\.csv"):
        run_command(["validate", "none.csv"], project.folder)
    wrong = tmp_path / "wrong.csv"
    text = (project.folder / "runs" / "fixture" / "submission.csv").read_text()
    wrong.write_text("\n".join(text.splitlines()[:-1]) + "\n")
    with pytest.raises(twinrun.NegativeVerdict, match="not a valid submission") as caught:
        run_command(["validate", str(wrong)], project.folder)
    assert len(caught.value.lines) > 1
    run_command(["validate", "runs/fixture/submission.csv"], project.folder)
    assert "valid" in capfd.readouterr().out


def test_one_that_is_killed_is_reported(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = subprocess.Popen

    def killed(*arguments: Any, **options: Any) -> subprocess.Popen[str]:
        process = begin(*arguments, **options)
        process.kill()
        return process

    monkeypatch.setattr(subprocess, "Popen", killed)
    with pytest.raises(CommandFailed, match="ended by signal 9"):
        run_command(["audit"], project.folder)


@pytest.mark.slow
@pytest.mark.parametrize("ended", ["interrupted", "killed"])
def test_a_training_stops_with_what_started_it_and_resumes(
    project: Project, tmp_path: Path, ended: str
) -> None:
    """As a cell that is stopped, and a kernel that is restarted."""
    mine = new_project(tmp_path)
    checkpoints = mine.folder / "runs" / "fixture" / "members"
    code = (
        "from pathlib import Path; from twinrun.api.project import Project; "
        f"Project(Path({str(tmp_path)!r}), profile='fixture').run()"
    )
    kernel = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    with in_time(120):
        while not any(checkpoints.rglob("ledger.parquet")):
            time.sleep(0.05)
    children = psutil.Process(kernel.pid).children(recursive=True)
    assert children
    if ended == "killed":
        kernel.kill()
    else:
        os.kill(kernel.pid, signal.SIGINT)
    said = kernel.communicate(timeout=60)[1]
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    if ended == "interrupted":
        assert "Stopped" in said
    run = mine.run()
    assert twinrun.diff_runs(project.folder / "runs" / "fixture", run.folder).same


def test_a_child_whose_parent_is_gone_already_ends_at_once(project: Project) -> None:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "twinrun.notebook_child", "1", "audit"],
        cwd=project.folder,
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0
    assert time.monotonic() - begun < 30
