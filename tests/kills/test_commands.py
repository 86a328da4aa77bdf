"""`twinrun train` as a user types it: stopped by a signal, started twice, typed again."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest

from tests.kills.conftest import Runs, Unbroken
from tests.kills.sameness import differing_files, differing_runs, left_over
from tests.kills.small import CHANGES, OFTEN

COMMAND = [sys.executable, "-m", "twinrun"]
STOPPED = re.compile(
    r"error: stopped a (after epoch [1-4] of 4|in epoch [1-4] of 4, after step [1-4] of 4"
    r"|(within a step)); (its checkpoint is written|it resumes from its last checkpoint)\n"
    r"What is complete stays, nothing is half written. To resume, rerun the same command:\n"
    r"twinrun (train .*)\n"
)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals to send")


def command(
    runs: Runs, name: str, *changes: str, words: Sequence[str] = ("train", "a")
) -> list[str]:
    """The arguments that train member a of a run, or begin with other words."""
    options = [part for change in (*CHANGES, OFTEN, *changes) for part in ("--set", change)]
    return [*words, "--config", str(runs.config), "--run", name, *options]


def start(runs: Runs, arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=runs.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def again(runs: Runs, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=runs.folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("number", "group", "workers"),
    [
        pytest.param(signal.SIGTERM, False, 0, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, False, 0, marks=pytest.mark.slow),
        # A terminal's Ctrl-C goes to the loader's processes too, and so may a scheduler's SIGTERM.
        pytest.param(signal.SIGINT, True, 2, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, True, 2, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, False, 2, marks=pytest.mark.slow),
    ],
)
def test_stopped_by_a_signal_and_typed_again(
    runs: Runs, unbroken: Unbroken, number: signal.Signals, group: bool, workers: int
) -> None:
    name = f"{number.name}-{group}-{workers}"
    arguments = command(runs, name, f"run.workers={workers}")
    run = runs.folder / "runs" / name
    with start(runs, arguments) as first:
        try:
            while not list(run.glob("members/a/checkpoint/epoch-*-step-*-*.safetensors")):
                assert first.poll() is None, first.communicate()
                time.sleep(0.002)
            if group:
                os.killpg(first.pid, number)
            else:
                first.send_signal(number)
            stdout, stderr = first.communicate(timeout=120)
        finally:
            first.kill()
    assert first.returncode == 2, (stdout, stderr)
    told = STOPPED.fullmatch(stderr)
    assert told, stderr
    # Only where the step has lost its loader does it not come to its end.
    assert (told[2] is None) == told[3].endswith("written")
    assert not told[2] or (group and workers)
    assert shlex.split(told[4]) == arguments
    assert not list(run.rglob(".*"))
    assert not (run / "members" / "a" / "member.json").exists()

    done = again(runs, shlex.split(told[4]))
    assert done.returncode == 0, done
    assert done.stderr == ""
    assert "a resumes from its checkpoint: " in done.stdout
    assert differing_runs(unbroken("a"), run, "a") == []
    assert left_over(run) == []


@pytest.mark.slow
def test_started_a_second_time_it_waits_and_goes_on_where_the_first_was_stopped(
    runs: Runs, unbroken: Unbroken
) -> None:
    arguments = command(runs, "twice")
    run = runs.folder / "runs" / "twice"
    with start(runs, arguments) as first:
        try:
            while not list(run.glob("members/a/checkpoint/epoch-*-step-*-*.safetensors")):
                assert first.poll() is None, first.communicate()
                time.sleep(0.002)
            # Hold it there for as long as another process takes to start.
            first.send_signal(signal.SIGSTOP)
            with start(runs, arguments) as second:
                try:
                    assert second.stdout is not None
                    told = next((line for line in second.stdout if "waiting" in line), "")
                    assert f"being trained by process {first.pid} on " in told
                    first.send_signal(signal.SIGTERM)
                    first.send_signal(signal.SIGCONT)
                    _, stopped = first.communicate(timeout=120)
                    rest, wrong = second.communicate(timeout=300)
                finally:
                    second.kill()
        finally:
            first.kill()
    assert (first.returncode, second.returncode) == (2, 0), (stopped, wrong)
    assert STOPPED.fullmatch(stopped), stopped
    assert wrong == ""
    assert "a resumes from its checkpoint: " in rest
    assert differing_runs(unbroken("a"), run, "a") == []
    assert left_over(run) == []


@pytest.mark.slow
def test_a_run_that_is_stopped_leaves_a_submission_and_the_same_command_the_bits_of_an_unbroken_one(
    runs: Runs,
) -> None:
    arguments = command(runs, "stopped", words=["run"])
    run = runs.folder / "runs" / "stopped"
    with start(runs, arguments) as first:
        try:
            while not list(run.glob("members/b/checkpoint/epoch-*-step-*-*.safetensors")):
                assert first.poll() is None, first.communicate()
                time.sleep(0.002)
            first.send_signal(signal.SIGTERM)
            stdout, stderr = first.communicate(timeout=120)
        finally:
            first.kill()
    assert first.returncode == 2, (stdout, stderr)
    assert "; its checkpoint is written; a submission of 1 member is left, without b\n" in stderr
    assert "submission.csv, PARTIAL, checked against the sample: valid" in stdout
    checked = again(runs, ["validate", str(run / "submission.csv"), "--config", str(runs.config)])
    assert checked.returncode == 0, checked
    assert not (run / "members" / "b" / "member.json").exists()
    partial = (run / "submission.csv").read_bytes()

    done = again(runs, arguments)
    assert done.returncode == 0, done
    assert "b resumes from its checkpoint: " in done.stdout
    unbroken = again(runs, command(runs, "never-stopped", words=["run"]))
    assert unbroken.returncode == 0, unbroken
    assert differing_files(runs.folder / "runs" / "never-stopped", run) == []
    assert left_over(run) == []
    assert (run / "submission.csv").read_bytes() != partial
