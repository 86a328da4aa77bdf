"""Trainings as processes of their own: side by side, and one of them killed on the way."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO

from twinrun.console import relay, say
from twinrun.errors import InputError
from twinrun.process import engine_environment
from twinrun.run_folder.paths import RunFolder, checkpoint_place, checkpoints_in

_WATCH_SECONDS = 0.02


@dataclass(frozen=True)
class TwinProcess:
    """One `twinrun train` in a process of its own.

    Attributes:
        run: runs/<run>.
        arguments: Members and options.
        environment: Variables on top of this process's.
        working_folder: A temporary one when None.
        kill: The folder of the run's members, when the process is to be killed by SIGKILL in the
            middle of an epoch of one of them and started again.
    """

    run: Path
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    working_folder: Path | None = None
    kill: Path | None = None


@dataclass(frozen=True, eq=False)
class _Running:
    """A process under way; `errors` takes its stderr where it is to be killed.

    The loader workers of a killed process may print a traceback before they end too. That is no
    fault, and not shown.
    """

    training: TwinProcess
    process: subprocess.Popen[bytes]
    errors: IO[bytes] | None

    def show_errors(self) -> None:
        """Print what a process that was not killed had to say."""
        if self.errors is not None:
            self.errors.seek(0)
            relay(self.errors.read().decode(errors="replace").splitlines())

    def end(self) -> None:
        """End the process, if it is still under way."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
            self.show_errors()


def train_all(trainings: Sequence[TwinProcess], *, side_by_side: int) -> bool:
    """Run the trainings, at most so many at once; end them all when one fails.

    Returns:
        Whether a training was killed that was to be killed.

    Raises:
        InputError: A process failed; it has reported why.
    """
    waiting, running, killed = (
        list(trainings),
        list[_Running](),
        [],
    )
    with ExitStack() as stack:
        elsewhere = stack.enter_context(TemporaryDirectory(prefix="twin-"))

        def start(training: TwinProcess, *, again: bool = False) -> None:
            to_be_killed = training.kill is not None and not again
            errors = stack.enter_context(TemporaryFile()) if to_be_killed else None
            process = _start(training, elsewhere, errors, again=again)
            running.append(_Running(training, process, errors))
            stack.callback(running[-1].end)

        while waiting or running:
            while waiting and len(running) < side_by_side:
                start(waiting.pop(0))
            for each in list(running):
                if each.process.poll() is not None:
                    running.remove(each)
                    each.show_errors()
                    _refuse_failed(each.training, each.process.returncode)
                elif each.training not in killed and _in_mid_epoch(each.training):
                    each.process.kill()
                    each.process.wait()
                    running.remove(each)
                    killed.append(each.training)
                    start(each.training, again=True)
            time.sleep(_WATCH_SECONDS)
    return bool(killed)


def _start(
    training: TwinProcess, elsewhere: str, errors: IO[bytes] | None, *, again: bool
) -> subprocess.Popen[bytes]:
    name = training.run.name, "bold"
    if again:
        say(name, " killed mid-epoch (SIGKILL), resumes")
    else:
        variables = (f"{key}={value}" for key, value in training.environment.items())
        say(name, f" {', '.join(variables)}")
    sys.stdout.flush()
    command = [sys.executable, "-m", "twinrun", "train", *training.arguments]
    command += ["--out", str(training.run.parent), "--run", training.run.name]
    if training.kill and not again:
        # A checkpoint after every step, so that there is one in the middle of an epoch.
        command += ["--set", "run.checkpoint_seconds=0.001"]
    folder = training.working_folder or elsewhere
    environment = {**engine_environment(), **training.environment}
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=errors)


def _in_mid_epoch(training: TwinProcess) -> bool:
    """Whether the training is to be killed and has written a checkpoint within an epoch."""
    if training.kill is None:
        return False
    trainings = RunFolder(training.kill.parent).trainings()
    checkpoints = [path for each in trainings for path in checkpoints_in(each.checkpoint)]
    return any(checkpoint_place(path)[1] for path in checkpoints)


def _refuse_failed(training: TwinProcess, code: int) -> None:
    if code:
        raise InputError(
            f"the training {training.run.name!r} ended with exit code {code} before there was "
            "anything to compare",
            fix="Fix what it reports above.",
        )
    say((training.run.name, "bold"), " is done")
