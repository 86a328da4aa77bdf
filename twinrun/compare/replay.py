"""One step of two runs, made again side by side, to name what the ledgers only date."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from twinrun.compare.bits import largest_gap, unequal_bits
from twinrun.compare.first_difference import Difference, LedgerComparison, compare_ledgers
from twinrun.console import KNOWN_WARNINGS, say
from twinrun.errors import InputError
from twinrun.process import engine_environment
from twinrun.repro.ledger import Ledger
from twinrun.repro.stages import STAGES
from twinrun.run_folder.paths import RunFolder, TrainingFolder
from twinrun.run_folder.trainings import training_of


@dataclass(frozen=True)
class Replay:
    """What a step of two runs showed when it was made again.

    Attributes:
        comparison: Of the two replays; its `result` is what differs, named.
        values: In words how many values of the first of it differ, and by how much at the most.
        as_recorded: For both runs, whether the replay has the digest that the run wrote down.
    """

    comparison: LedgerComparison
    values: str
    as_recorded: tuple[bool, bool]

    @property
    def difference(self) -> Difference | None:
        """What differs; None when the difference did not come again."""
        return self.comparison.result


def replay_both(runs: tuple[Path, Path], name: str, found: Difference, data: Path | None) -> Replay:
    """Make the step at which two runs first differ again, for both, in full detail.

    Args:
        runs: Two folders runs/<run>.
        name: The training's, a member's or that of a fold.
        found: The first difference of its ledgers, of a stage that is `replayed`.
        data: The data folder; None for the one that each run recorded.

    Raises:
        InputError: A step cannot be made again; the process has reported why.
    """
    recorded = [Ledger.read(RunFolder(run).training(name).ledger) for run in runs]
    _refuse_ranks(runs, recorded)
    title = training_of(recorded[0].about["settings"]).title
    where = f"epoch {found.epoch}, step {found.step}" if found.epoch else "the first weights"
    say(f"making {title} again up to {where}, for both runs; this takes as long as it took then")
    with TemporaryDirectory(prefix="replay-") as temporary:
        folders = [Path(temporary) / side for side in "ab"]
        for folder in folders:
            folder.mkdir()
        _replay_runs(runs, name, found, folders, data, None)
        ledgers = [Ledger.read(TrainingFolder(folder).ledger) for folder in folders]
        comparison = compare_ledgers(ledgers[0], ledgers[1])
        difference = comparison.result
        values = ""
        if difference and difference.changed and STAGES.get(difference.stage).replayed:
            say(f"and once more for the values of {difference.changed[0]}")
            _replay_runs(runs, name, difference, folders, data, difference.changed[0])
            values = _count_differing(*(folder / "values.safetensors" for folder in folders))
    as_recorded = tuple(
        _is_recorded(_digests(again, found), _digests(then, found))
        for again, then in zip(ledgers, recorded, strict=True)
    )
    return Replay(comparison, values, (as_recorded[0], as_recorded[1]))


def _refuse_ranks(runs: Sequence[Path], recorded: Sequence[Ledger]) -> None:
    many = [
        f"{run}: {ledger.about['environment']['ranks']} ranks"
        for run, ledger in zip(runs, recorded, strict=True)
        if ledger.about["environment"].get("ranks", 1) > 1
    ]
    if many:
        raise InputError(
            "a step of several ranks cannot be made again by one process:",
            details=many,
            fix="Train both once more with --set run.ledger=tensor and compare these: that ledger "
            "names images, modules and parameters by itself.",
        )


def _replay_runs(
    runs: Sequence[Path],
    name: str,
    found: Difference,
    folders: Sequence[Path],
    data: Path | None,
    wanted: str | None,
) -> None:
    """Replay both runs, each in a process of its own, side by side."""
    processes: list[subprocess.Popen[bytes]] = []
    ignored = [part for beginning in KNOWN_WARNINGS for part in ("-W", f"ignore:{beginning}")]
    for run, folder in zip(runs, folders, strict=True):
        command = [sys.executable, *ignored, "-m", "twinrun.compare.replay_step"]
        command += [str(run.absolute()), name]
        command += [str(found.epoch), str(found.step), found.stage, str(folder)]
        command += [part for other in runs for part in ("--beside", str(other.absolute()))]
        command += ["--data", str(data.absolute())] if data else []
        command += [f"--wanted={wanted}"] if wanted else []
        command += ["--quiet"] if processes else []  # one progress bar is enough
        processes.append(subprocess.Popen(command, env=engine_environment()))
    try:
        codes = [process.wait() for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    for run, code in zip(runs, codes, strict=True):
        if code:
            raise InputError(
                f"{run}: the step could not be made again (exit code {code})",
                fix="Fix what it reports above; a data folder that was moved is named with --data.",
            )


def _digests(ledger: Ledger, found: Difference) -> list[tuple[str, int]]:
    """What and digest of a stage's rows at a moment, without its details."""
    import pyarrow.compute as pc

    stage, rows = STAGES.get(found.stage), ledger.rows()
    here = pc.and_(pc.equal(rows["epoch"], found.epoch), pc.equal(rows["step"], found.step))
    return [
        (row["what"], row["digest"])
        for row in rows.filter(here).to_pylist()
        if row["stage"] == found.stage and not stage.is_detail(row["what"])
    ]


def _is_recorded(again: list[tuple[str, int]], then: list[tuple[str, int]]) -> bool:
    """Whether the rows of a replay are among those that the run wrote down.

    They are fewer after the last epoch: the files of predictions are not made again.
    """
    return bool(again) == bool(then) and set(again) <= set(then)


def _count_differing(first: Path, second: Path) -> str:
    """How many values of two tensors differ, and the largest gap."""
    from safetensors.numpy import load_file

    if not (first.is_file() and second.is_file()):
        return ""
    one, two = (load_file(path)["value"] for path in (first, second))
    if one.shape != two.shape:
        return f"shape {list(one.shape)} in A, {list(two.shape)} in B"
    differing = int(unequal_bits(one, two).sum())
    return f"{differing:,} of {one.size:,} values differ, by up to {largest_gap(one, two):.3g}"
