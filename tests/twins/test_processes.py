"""What is seen of a training that is killed on the way, and of one that fails by itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from twinrun.errors import InputError
from twinrun.twins import processes
from twinrun.twins.processes import TwinProcess, train_all

# In place of Python: prints what loader workers print when the process above them is gone.
KILLED = """#!/bin/sh
test -e resumed && { echo "said after it" >&2; exit 0; }
touch resumed
echo "Traceback (most recent call last):" >&2
touch middle
exec sleep 60
"""
FAILS = """#!/bin/sh
echo "error: the reason" >&2
exit 2
"""


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TwinProcess:
    """One that is to be killed as soon as there is a file `middle`; `python` is what it runs."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(processes, "_in_mid_epoch", lambda each: (tmp_path / "middle").exists())
    return TwinProcess(tmp_path / "run", [], working_folder=tmp_path, kill=tmp_path / "members")


def write(script: str, tmp_path: Path) -> None:
    path = tmp_path / "python"
    path.write_text(script)
    path.chmod(0o755)


def test_a_killed_training_prints_no_traceback_and_the_resumed_one_what_it_has_to_say(
    training: TwinProcess, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(KILLED, tmp_path)
    assert train_all([training], side_by_side=1)
    printed = capfd.readouterr()
    assert "Traceback" not in printed.out + printed.err
    assert "said after it" in printed.err
    assert "killed mid-epoch (SIGKILL), resumes" in printed.out


def test_a_training_that_fails_before_it_is_killed_says_why(
    training: TwinProcess, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(FAILS, tmp_path)
    with pytest.raises(InputError, match="ended with exit code 2"):
        train_all([training], side_by_side=1)
    assert "error: the reason" in capfd.readouterr().err
