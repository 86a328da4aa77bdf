"""How a command ends: one message and an exit code, also for what nobody foresaw."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.conftest import Command
from twinrun.cli import endings
from twinrun.cli.app import app
from twinrun.data import cache_files

# Python itself runs this when it starts: a fault outside of every command.
BROKEN_APP = """
import sys

class Fault:
    def find_spec(self, name, path=None, target=None):
        if name == "twinrun.cli.app":
            raise ValueError("planted")

sys.meta_path.insert(0, Fault())
"""


@pytest.fixture
def faulty(
    small_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Run `twinrun cache` with a fault planted in it; files of details go into tmp_path/faults."""
    (tmp_path / "faults").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "faults"))
    monkeypatch.setattr("sys.argv", ["twinrun", "cache"])

    def run(error: BaseException, *options: str) -> Result:
        def fail(folder: Path) -> None:
            raise error

        monkeypatch.setattr(cache_files, "list_caches", fail)
        return CliRunner().invoke(app, ["cache", "--config", str(small_toml), *options])

    return run


def details(folder: Path) -> list[Path]:
    return list((folder / "faults").iterdir())


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("planted"),
        RuntimeError("planted\n[bold]in[/bold] three\r\nlines"),
        KeyError("planted"),
        RecursionError("planted"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "planted"),
        AssertionError("planted"),
    ],
    ids=repr,
)
def test_what_nobody_foresaw_is_one_line_and_a_file(
    faulty: Callable[..., Result], tmp_path: Path, error: Exception
) -> None:
    done = faulty(error)
    assert done.exit_code == endings.UNFORESEEN == 70
    (line,) = done.stderr.splitlines()
    kind = type(error).__name__
    assert line.startswith(f"error: a fault in Twinrun itself, {kind}: ")
    assert "planted" in line
    assert re.search(r"\(twinrun/cli/cache\.py, line \d+\)", line)
    (file,) = details(tmp_path)
    assert f"The details are in {file}: please report it with that file." in line
    text = file.read_text(encoding="utf-8")
    assert text.startswith("Twinrun ")
    assert "\n$ twinrun cache\n" in text
    assert "Traceback (most recent call last)" in text
    assert kind in text.splitlines()[-1] + text.splitlines()[-3]
    assert file.stat().st_mode & 0o077 == 0


def test_details_that_no_file_takes_are_printed(
    faulty: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    done = faulty(ZeroDivisionError("planted"))
    assert done.exit_code == 70
    assert "cannot be written to a file" in done.stderr
    assert "Traceback (most recent call last)" in done.stderr


def test_debug_lets_it_through(faulty: Callable[..., Result], tmp_path: Path) -> None:
    done = faulty(ZeroDivisionError("planted"), "--debug")
    assert isinstance(done.exception, ZeroDivisionError)
    assert details(tmp_path) == []


def test_of_several_ranks_one_reports_it(
    faulty: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def another_does() -> Iterator[bool]:
        yield False

    monkeypatch.setattr(endings, "report_once", another_does)
    done = faulty(ZeroDivisionError("planted"))
    assert (done.exit_code, done.output) == (70, "")
    assert details(tmp_path) == []


def test_what_the_system_refuses_is_a_message(
    faulty: Callable[..., Result], tmp_path: Path
) -> None:
    done = faulty(PermissionError(13, "Permission denied", "somewhere"))
    assert (done.exit_code, done.stderr) == (2, "error: somewhere: Permission denied\n")
    assert details(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [(MemoryError("Unable to allocate 8. EiB for an array"), "Unable"), (MemoryError(), "no more")],
)
def test_want_of_memory_names_what_to_lower_and_what_that_does_to_bits(
    faulty: Callable[..., Result], tmp_path: Path, error: Exception, reason: str
) -> None:
    done = faulty(error)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: out of memory: {reason}")
    assert "run.workers: the same bits" in done.stderr
    assert "image_size of members, and so the decoded images: a different recipe" in done.stderr
    assert details(tmp_path) == []


def test_a_fault_outside_of_every_command_is_one_line_too(twinrun: Command, tmp_path: Path) -> None:
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(BROKEN_APP, encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(tmp_path / "hook"), os.environ.get("PYTHONPATH")]))
    done = twinrun("cache", PYTHONPATH=path, TMPDIR=str(tmp_path))
    assert done.returncode == 70, done
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: a fault in Twinrun itself, ValueError: planted")
    (file,) = tmp_path.glob("twinrun-fault-*.txt")
    assert str(file) in line


def test_no_secret_is_printed_or_kept_for_a_report(
    faulty: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "hunter2Zq9"
    monkeypatch.setattr("sys.argv", ["twinrun", "run", "--ray", f"user:{secret}@host:6379"])
    # Cut after three hundred letters, it would have lost the host that says what it is.
    done = faulty(RuntimeError(f"{'x ' * 120}s3://KEY:{secret}{'y' * 300}@bucket"))
    (file,) = details(tmp_path)
    text = file.read_text(encoding="utf-8")
    assert secret not in done.stderr
    assert secret not in text
    assert "--ray 'user:***@host:6379'" in text
    stopped = faulty(KeyboardInterrupt())
    assert "twinrun run --ray user:***@host:6379" in stopped.stderr
    assert secret not in stopped.stderr


def test_details_that_are_to_be_sent_name_no_folder_of_whose_they_are(
    faulty: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "Żółw O'Brien"
    (home / "wheat").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home / "wheat")
    monkeypatch.setattr("sys.argv", ["twinrun", "cache", "--config", f"{home}/photos/x.toml"])
    faulty(RuntimeError(f"no such thing: {home}/wheat/runs/full"))
    (file,) = details(tmp_path)
    text = file.read_text(encoding="utf-8")
    assert "no such thing: this folder/runs/full" in text
    assert "the home folder/photos/x.toml" in text
    assert "the engine's folder/twinrun/cli/cache.py" in text
    assert "O'Brien" not in text
