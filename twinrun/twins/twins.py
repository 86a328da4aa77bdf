"""Trains members twice in fresh processes, the second time under perturbations, and compares.

A third training with a different seed is the control: the check must be able to see a difference.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from twinrun.compare.member_files import FileComparison, compare_members
from twinrun.compare.runs import RunComparison, compare_runs
from twinrun.config.settings import Settings
from twinrun.console import say
from twinrun.run_folder.paths import TwinsFolder
from twinrun.run_folder.verdicts import write_twins
from twinrun.twins.perturbations import HASH_SEED, Perturbation, SecondTwin, perturb
from twinrun.twins.processes import TwinProcess, train_all


@dataclass(frozen=True)
class TwinsVerdict:
    """What the twins showed.

    Attributes:
        comparisons: The two twins, per member and file.
        report: Their ledgers, compared.
        control: The first twin's first member against the same member with a different seed.
        perturbations: Names of those that were carried out on the second twin.
    """

    comparisons: list[FileComparison]
    report: RunComparison
    control: list[FileComparison]
    perturbations: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether each file of the twins has the same bytes, and each digest of their ledgers."""
        members = self.report.members
        return (
            all(comparison.same for comparison in self.comparisons)
            and all(member.comparison.same for member in members)
            and not self.report.files
        )

    @property
    def control_differs(self) -> bool:
        """Whether a different seed gave different bytes in each file: the check is able to see."""
        return not any(comparison.same for comparison in self.control)


def one_member_of_each_network(settings: Settings) -> list[str]:
    """The first member of each network, in the order of the settings."""
    first: dict[str, str] = {}
    for name, member in settings.members.items():
        first.setdefault(member.network, name)
    return list(first.values())


def run_twins(
    settings: Settings,
    names: Sequence[str],
    options: Sequence[str],
    folder: Path,
    perturbations: Sequence[Perturbation],
) -> TwinsVerdict:
    """Train the members in two processes and compare; the second one is perturbed.

    The processes run side by side where each has its threads' cores to itself; only the first one's
    progress is shown.

    Args:
        settings: As the options give them.
        names: Members of the settings.
        options: The command-line options, with absolute paths, that give the settings.
        folder: Where the runs are kept: first/, second/ and other-seed/, and twins.json with the
            verdict. What an earlier check left there is removed.
        perturbations: Carried out on the second twin; the verdict names those that were.

    Raises:
        InputError: There is no data folder, a perturbation changes nothing, or a process did not
            come to its end and has reported why.
    """
    if not settings.data_folder.is_dir():
        raise settings.no_data_folder()
    first, second, other = TwinsFolder(folder).runs
    for run in (first, second, other):
        shutil.rmtree(run, ignore_errors=True)
    TwinsFolder(folder).verdict.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    other_seed = ["--set", f"run.seed={settings.run.seed + 1}"]
    # The twins' folder is not the one that other runs keep their decoded images beside.
    options = [*options, "--set", f"run.cache={settings.cache_folder(folder.parent)}"]
    with ExitStack() as stack:
        twin = SecondTwin(settings, [*names, *options, "--quiet"], second, stack)
        kills = perturb(twin, perturbations)
        killed = train_all(
            [
                TwinProcess(first, [*names, *options], HASH_SEED),
                twin.process(),
                TwinProcess(other, [names[0], *options, *other_seed, "--quiet"], HASH_SEED),
            ],
            side_by_side=_side_by_side(settings),
        )
    if kills and not killed:
        say(("second ended before it could be killed", "yellow"), ": it was not resumed")
    done = [each.name for each in perturbations if killed or each.name not in kills]
    verdict = TwinsVerdict(
        comparisons=compare_members(first, second, names),
        report=compare_runs(first, second, list(names)),
        control=compare_members(first, other, names[:1]),
        perturbations=done,
    )
    write_twins(
        TwinsFolder(folder).verdict,
        {
            "same": verdict.same,
            "control_differs": verdict.control_differs,
            "perturbations": done,
            "comparisons": [asdict(comparison) for comparison in verdict.comparisons],
            "ledgers": {
                member.name: asdict(member.comparison) for member in verdict.report.members
            },
            "control": [asdict(comparison) for comparison in verdict.control],
        },
    )
    return verdict


def _side_by_side(settings: Settings) -> int:
    """How many trainings fit on this machine at once: by cores, and one on a GPU."""
    if settings.run.device != "cpu":
        import torch

        if torch.cuda.is_available():
            return 1
    return max(1, (os.cpu_count() or 1) // settings.run.threads)
