"""Trains members twice in fresh processes and compares the bits; another seed is the control."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from competition.errors import InputError
from competition.files import write_json
from competition.proof.comparing import Comparison, compare_members
from competition.settings import Settings
from competition.terminal import say


@dataclass(frozen=True)
class Verdict:
    """What the twins showed.

    Attributes:
        comparisons: The two twins, per member and file.
        control: The first twin's first member against the same member with another seed.
    """

    comparisons: list[Comparison]
    control: list[Comparison]

    @property
    def same(self) -> bool:
        """Whether each file of the twins has the same bytes."""
        return all(comparison.same for comparison in self.comparisons)

    @property
    def control_differs(self) -> bool:
        """Whether another seed gave other bytes in each file: the check is able to see."""
        return not any(comparison.same for comparison in self.control)


def one_member_of_each_network(settings: Settings) -> list[str]:
    """The first member of each network, in the order of the settings."""
    first: dict[str, str] = {}
    for name, member in settings.members.items():
        first.setdefault(member.network, name)
    return list(first.values())


def run_twins(
    settings: Settings, names: Sequence[str], options: Sequence[str], folder: Path
) -> Verdict:
    """Train the members in two processes, with other hash seeds and working folders, and compare.

    A third process trains the first member with another seed. The processes run side by side where
    each has its threads' cores to itself; only the first one's progress is shown.

    Args:
        settings: As the options give them.
        names: Members of the settings.
        options: The command-line options, with absolute paths, that give the settings.
        folder: Where the runs are kept: first/, second/ and other-seed/, and twins.json with the
            verdict. What an earlier check left there is removed.

    Raises:
        InputError: A process did not come to its end; it has said why.
    """
    seed = settings.run.seed
    first, second, other = (folder / name for name in ("first", "second", "other-seed"))
    for run in (first, second, other):
        shutil.rmtree(run, ignore_errors=True)
    (folder / "twins.json").unlink(missing_ok=True)
    other_seed = ["--set", f"run.seed={seed + 1}"]
    _train_all(
        [
            Training(first, 1, [*names, *options]),
            Training(second, 2, [*names, *options, "--quiet"]),
            Training(other, 3, [names[0], *options, *other_seed, "--quiet"]),
        ],
        side_by_side=_side_by_side(settings),
    )
    verdict = Verdict(
        comparisons=compare_members(first, second, list(names)),
        control=compare_members(first, other, list(names[:1])),
    )
    write_json(
        folder / "twins.json",
        {
            "same": verdict.same,
            "control_differs": verdict.control_differs,
            "comparisons": [asdict(comparison) for comparison in verdict.comparisons],
            "control": [asdict(comparison) for comparison in verdict.control],
        },
    )
    return verdict


@dataclass(frozen=True)
class Training:
    """One `competition train` in a process and a working folder of its own."""

    run: Path
    hash_seed: int
    arguments: list[str]


def _side_by_side(settings: Settings) -> int:
    """How many trainings fit on this machine at once: by cores, and one on a GPU."""
    if settings.run.device != "cpu":
        import torch

        if torch.cuda.is_available():
            return 1
    return max(1, (os.cpu_count() or 1) // settings.run.threads)


def _train_all(trainings: Sequence[Training], *, side_by_side: int) -> None:
    """Run the trainings, at most so many at once, and end them all when one fails."""
    with ExitStack() as stack:
        running: list[tuple[Training, subprocess.Popen[bytes]]] = []
        for training in trainings:
            if len(running) == side_by_side:
                _wait(*running.pop(0))
            working_folder = stack.enter_context(TemporaryDirectory(prefix="twin-"))
            process = _start(training, working_folder)
            stack.callback(_end, process)
            running.append((training, process))
        for training, process in running:
            _wait(training, process)


def _start(training: Training, working_folder: str) -> subprocess.Popen[bytes]:
    say(f"[bold]{training.run.name}[/] starts, PYTHONHASHSEED={training.hash_seed}")
    sys.stdout.flush()
    package = str(Path(__file__).parents[2])
    environment = {
        **os.environ,
        "PYTHONHASHSEED": str(training.hash_seed),
        # The twin must be this engine, also where it was started without being installed.
        "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")])),
    }
    command = [sys.executable, "-m", "competition", "train", *training.arguments]
    command += ["--out", str(training.run.parent), "--run", training.run.name]
    return subprocess.Popen(command, cwd=working_folder, env=environment)


def _wait(training: Training, process: subprocess.Popen[bytes]) -> None:
    code = process.wait()
    if code:
        raise InputError(
            f"the training {training.run.name!r} ended with exit code {code} before there was "
            "anything to compare",
            mend="Mend what it says above.",
        )
    say(f"[bold]{training.run.name}[/] is done")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        process.wait()
