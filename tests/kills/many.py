"""SIGKILL at many random moments of `twinrun run`, then the same command again: the same bits.

    python -m tests.kills.many --moments 300 --starts 100 --seed 0

A run has a member with two folds, both members are predicted with test-time augmentation, and the
cache of images is cold. It is begun again after each kill until it is complete, then compared file
by file with a run that nobody killed, and looked through for what is left over; then the next one
is begun. A kill comes after a time that is drawn evenly from none to what a whole run takes. So
many of the moments are of commands that are started as a user starts them; the others are forks of
a process that has imported everything, in which a kill meets the run itself more often.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

from tests.conftest import ROOT
from tests.kills.sameness import differing_files, left_over
from tests.kills.small import CHANGES, OFTEN, SELDOM, write_competition
from tests.kills.zygote import Ended, Zygote

RECIPE = (
    *CHANGES,
    "recipe.epochs={ frozen = 1, unfrozen = 1 }",
    "members.a.validation.folds=2",
    "members.a.test_time.method=flips",
    "members.b.test_time={ method = 'train', times = 2 }",
)
TRAININGS = ("a/fold-1", "a/fold-2", "b")
STARTED, FORKED = "started", "forked"
STARTING = "while it was starting"
# So many kills in a row that came then, and by how much more time is given after each more.
_EARLY, _BUSIER = 3, 1.2
# A loader's process looks for its parent every five seconds.
_PATIENCE = 20.0

Way = Callable[[list[str], Path, float | None], Ended]


@dataclass
class Findings:
    """What came of the kills, by the way in which the killed processes were begun.

    Attributes:
        moments: Kills.
        places: Kills by where in the run they came.
        runs: Runs that were killed at least once and completed.
        most: The most kills of one run.
        resumed: Processes that went on from a checkpoint.
        faults: What was not as it must be, a line each.
    """

    moments: Counter[str] = field(default_factory=Counter)
    places: Counter[tuple[str, str]] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    most: int = 0
    resumed: int = 0
    faults: list[str] = field(default_factory=list)

    def table(self) -> str:
        """All of it, for a reader."""
        lines = [f"{'':44} {STARTED:>8} {FORKED:>8}"]
        rows = [("kills", self.moments), ("runs that were killed and completed", self.runs)]
        places = sorted({place for _, place in self.places})
        for title, counts in rows:
            lines.append(f"{title:44} {counts[STARTED]:8} {counts[FORKED]:8}")
        for place in places:
            counted = [self.places[way, place] for way in (STARTED, FORKED)]
            lines.append(f"  killed {place:35} {counted[0]:8} {counted[1]:8}")
        lines.append(f"most kills of one run: {self.most}")
        lines.append(f"trainings that resumed from a checkpoint: {self.resumed}")
        return "\n".join([*lines, *(self.faults or ["all the same bits, nothing left over"])])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--moments", type=int, default=300)
    parser.add_argument("--starts", type=int, default=100, help="of these, commands as typed")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    began = time.monotonic()
    findings = kill_often(
        folder, options.moments - options.starts, options.starts, options.seed, say=print
    )
    print(findings.table())
    print(f"{(time.monotonic() - began) / 60:.0f} minutes")
    if findings.faults:
        print(f"what was found lies in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def kill_often(
    folder: Path, forks: int, starts: int, seed: int, say: Callable[[str], None]
) -> Findings:
    """Kill runs at so many moments, and compare each with one that nobody killed.

    Args:
        folder: For all that is written; empty.
        forks: Kills of forked processes.
        starts: Kills of commands that were started.
        seed: Of the moments.
        say: Called with each line on how far it is.
    """
    config = write_competition(folder)
    findings, zygote = Findings(), Zygote()
    try:
        unbroken = folder / "unbroken" / "full"
        unbroken.parent.mkdir()
        ended = _start(_words(config, unbroken, SELDOM), unbroken, None)
        assert ended.code == 0, ended.output
        for way, begin, moments in ((STARTED, _start, starts), (FORKED, zygote.command, forks)):
            _Chain(way, begin, config, unbroken, findings, Random(f"{seed} {way}"), say).kill(
                moments, folder / way
            )
    finally:
        zygote.close()
    return findings


@dataclass
class _Chain:
    """Runs, one after the other, whose processes are begun in one way and killed."""

    way: str
    begin: Way
    config: Path
    unbroken: Path
    findings: Findings
    random: Random
    say: Callable[[str], None]

    def kill(self, moments: int, folder: Path) -> None:
        """Kill so many times; what is well goes, what is not stays in `folder`."""
        run = folder / "measured" / "full"
        run.parent.mkdir(parents=True)
        ended = self.begin(self._words(run), run, None)
        duration = ended.seconds
        self._complete(run, [ended], kills=0)
        for number in count():
            if self.findings.moments[self.way] >= moments:
                break
            run, processes, kills = folder / f"run-{number:03d}" / "full", list[Ended](), 0
            run.parent.mkdir()
            early = 0
            while True:
                left = moments - self.findings.moments[self.way]
                seconds = self.random.uniform(0, duration) if left else None
                ended = self.begin(self._words(run), run, seconds)
                processes.append(ended)
                self.findings.resumed += ended.output.count("resumes from its checkpoint")
                if not ended.killed:
                    break
                kills += 1
                place = place_of(run, ended)
                self.findings.moments[self.way] += 1
                self.findings.places[self.way, place] += 1
                # A machine that has become busier would let no process get further than its start.
                early = early + 1 if place == STARTING else 0
                duration *= _BUSIER if early >= _EARLY else 1.0
            if not kills:
                duration = min(duration, ended.seconds)
            self._complete(run, processes, kills)

    def _words(self, run: Path) -> list[str]:
        often = self.random.choice([OFTEN, "run.checkpoint_seconds=0.3", SELDOM])
        return _words(self.config, run, often, f"run.workers={self.random.choice([0, 0, 2])}")

    def _complete(self, run: Path, processes: list[Ended], kills: int) -> None:
        """Look at a run whose last process has not been killed."""
        faults = []
        last = processes[-1]
        if last.code:
            faults.append(f"exit code {last.code}: {last.output[-500:]}")
        else:
            faults += differing_files(self.unbroken, run)
            faults += [f"{name}: left over" for name in left_over(run.parent)]
        faults += [
            f"process {pid}: still there" for ended in processes for pid in _still_there(ended.pid)
        ]
        name = run.parent.name
        self.findings.faults += [f"{self.way} {name}: {fault}" for fault in faults]
        if kills:
            self.findings.runs[self.way] += 1
            self.findings.most = max(self.findings.most, kills)
        done = f"{self.findings.moments[self.way]} kills"
        self.say(f"{self.way}, {done}: {name} killed {kills} times, {len(faults)} faults")
        if not faults:
            shutil.rmtree(run.parent)


def place_of(run: Path, ended: Ended) -> str:
    """Where in a run a kill came, as its files tell."""
    trainings = [run / "members" / name for name in TRAININGS]
    if not ended.output:
        return STARTING
    if any(run.parent.rglob(".*.part")):
        return "while a file was being written"
    if all((each / "member.json").is_file() for each in trainings):
        return "blending, recording, reporting"
    if any((each / "checkpoint").is_dir() for each in trainings):
        return "in a training"
    if run.is_dir():
        return "before or between trainings"
    return "checking and decoding the data"


def _words(config: Path, run: Path, *changes: str) -> list[str]:
    """The arguments of the command that makes a run."""
    options = [part for change in (*RECIPE, *changes) for part in ("--set", change)]
    return ["run", "--config", str(config), "--out", str(run.parent), "--run", run.name, *options]


def _start(words: list[str], run: Path, seconds: float | None) -> Ended:
    """As `Zygote.command`, in a process that is started as a user starts it."""
    output = Path(f"{run}.output")
    began = time.monotonic()
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "twinrun", *words],
            cwd=ROOT,
            # What it has printed when it is killed tells where it was.
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    taken = time.monotonic() - began
    return Ended(process.returncode, taken, output.read_text(encoding="utf-8"), process.pid)


def _still_there(session: int) -> list[int]:
    """The processes of a session that do not end by themselves."""
    until = time.monotonic() + _PATIENCE
    while (left := _processes(session)) and time.monotonic() < until:
        time.sleep(0.2)
    return left


def _processes(session: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, own = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue  # it has just ended
        if int(own) == session and state != "Z":
            found.append(int(path.parent.name))
    return found


if __name__ == "__main__":
    sys.exit(main())
