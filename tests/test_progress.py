"""How far long work has come: bars on a terminal, elsewhere a line each half minute."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from types import SimpleNamespace

import pytest

from twinrun import console as printing
from twinrun.predict import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still until `now` is moved, for all that tells how far it is."""
    at = SimpleNamespace(now=100.0)
    ticking = SimpleNamespace(monotonic=lambda: at.now, perf_counter=lambda: at.now)
    monkeypatch.setattr(printing, "time", ticking)
    monkeypatch.setattr(progress, "time", ticking)
    return at


def test_in_a_pipe_a_line_each_half_minute(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with printing.progress_bars() as bars:
        task = bars.add_task("first", total=480, note="")
        for batch in range(1, 21):
            clock.now += 5
            bars.advance(task, 6)
            if batch == 10:
                bars.update(task, note="valid loss 0.4032")
    assert capsys.readouterr().out.splitlines() == [
        "first: 36 of 480, 30 s, 6 min 10 s left",
        "first: 72 of 480, 1 min 00 s, 5 min 40 s left, valid loss 0.4032",
        "first: 108 of 480, 1 min 30 s, 5 min 10 s left, valid loss 0.4032",
    ]


def test_what_was_done_before_is_no_part_of_the_estimate(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with printing.progress_bars() as bars:
        task = bars.add_task("first", total=200, completed=100, note="")
        clock.now += 30
        bars.advance(task, 50)
    assert capsys.readouterr().out == "first: 150 of 200, 30 s, 30 s left\n"


def test_quiet_is_silence(clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    printing.console.quiet = True
    try:
        with printing.progress_bars() as bars:
            task = bars.add_task("first", total=200, note="")
            clock.now += 60
            bars.advance(task, 50)
    finally:
        printing.console.quiet = False
    assert capsys.readouterr().out == ""


def test_a_prediction_says_how_many_images_a_second(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress.show_progress(2000, 2) as shown:
        for _ in range(20):
            clock.now += 5
            shown.advance(100)
    assert capsys.readouterr().out.splitlines() == [
        "predicting: 600 of 2,000, 30 s, 1 min 10 s left, 20.0 images/s",
        "predicting: 1,200 of 2,000, 1 min 00 s, 40 s left, 20.0 images/s",
        "predicting: 1,800 of 2,000, 1 min 30 s, 10 s left, 20.0 images/s",
    ]


@pytest.mark.parametrize("notebook", [False, True])
def test_in_a_notebooks_cell_nothing_is_a_terminals(notebook: bool) -> None:
    """IPython gives `!command` what looks like a terminal, and asks for colour."""
    ours, its = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-color", "FORCE_COLOR": "1"}
    environment |= {"JPY_PARENT_PID": "1"} if notebook else {}
    code = "from twinrun.console import say; say(('bold', 'bold red'), ' and not')"
    subprocess.run([sys.executable, "-c", code], env=environment, stdout=its, check=True)
    os.close(its)
    said = os.read(ours, 1000)
    os.close(ours)
    assert (b"\x1b" in said) != notebook
    assert b"bold" in said
