"""Trains members twice in fresh processes and compares the bits; another seed is the control."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

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

    Args:
        settings: As the options give them.
        names: Members of the settings.
        options: The command-line options, with absolute paths, that give the settings.
        folder: Where the runs are kept: first/, second/ and other-seed/, and twins.json with the
            verdict. What an earlier check left there is removed.

    Raises:
        InputError: A twin did not come to its end; it has said why.
    """
    runs = {name: folder / name for name in ("first", "second", "other-seed")}
    for path in runs.values():
        shutil.rmtree(path, ignore_errors=True)
    for number, name in enumerate(("first", "second"), 1):
        say(f"\n[bold]{name} twin[/], PYTHONHASHSEED={number}")
        _train(names, options, runs[name], hash_seed=number)
    say(f"\n[bold]control[/], seed {settings.run.seed + 1} in place of {settings.run.seed}")
    other_seed = ["--set", f"run.seed={settings.run.seed + 1}"]
    _train(names[:1], [*options, *other_seed], runs["other-seed"], hash_seed=1)
    verdict = Verdict(
        comparisons=compare_members(runs["first"], runs["second"], list(names)),
        control=compare_members(runs["first"], runs["other-seed"], list(names[:1])),
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


def _train(names: Sequence[str], options: Sequence[str], run: Path, *, hash_seed: int) -> None:
    """`competition train` in a process and a working folder of its own."""
    package = str(Path(__file__).parents[2])
    environment = {
        **os.environ,
        "PYTHONHASHSEED": str(hash_seed),
        # The twin must be this engine, also where it was started without being installed.
        "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")])),
    }
    command = [sys.executable, "-m", "competition", "train", *names, *options]
    command += ["--out", str(run.parent), "--run", run.name]
    sys.stdout.flush()
    with tempfile.TemporaryDirectory(prefix=f"{run.name}-") as working_folder:
        code = subprocess.run(command, cwd=working_folder, env=environment, check=False).returncode
    if code:
        raise InputError(
            f"the {run.name} twin ended with exit code {code} before there was anything to compare",
            mend="Mend what it says above.",
        )
