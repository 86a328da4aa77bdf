"""One step of two runs, made again side by side, to name what the ledgers only date."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from twinrun.compare.bits import Gap, measure_gap
from twinrun.compare.first_difference import Difference, LedgerComparison, compare_ledgers
from twinrun.console import KNOWN_WARNINGS, say
from twinrun.errors import InputError
from twinrun.plain_files import plain
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
        gap: How far the values of what differs are from each other; of the network's modules only
            those of the first, which the others follow from. None where they are not at hand.
        shapes: In words, where the values of the two have no common shape.
        as_recorded: For both runs, whether the replay has the digest that the run wrote down.
    """

    comparison: LedgerComparison
    gap: Gap | None
    shapes: str
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
        _replay_runs(runs, name, found, folders, data, ())
        ledgers = [Ledger.read(TrainingFolder(folder).ledger) for folder in folders]
        comparison = compare_ledgers(ledgers[0], ledgers[1])
        difference = comparison.result
        gap, shapes = None, ""
        if difference and difference.changed and STAGES.get(difference.stage).replayed:
            # What a network's later modules give follows from the first, and may not fit in memory.
            only = 1 if difference.stage == "forward" else None
            wanted = difference.changed[:only]
            more = f" and {len(wanted) - 1:,} more" if len(wanted) > 1 else ""
            say(f"and once more for the values of {wanted[0]}{more}")
            _replay_runs(runs, name, difference, folders, data, wanted)
            gap, shapes = _measure(*(folder / "values.safetensors" for folder in folders))
    as_recorded = tuple(
        _is_recorded(_digests(again, found), _digests(then, found))
        for again, then in zip(ledgers, recorded, strict=True)
    )
    return Replay(comparison, gap, shapes, (as_recorded[0], as_recorded[1]))


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
    wanted: Sequence[str],
) -> None:
    """Replay both runs, each in a process of its own, side by side."""
    from twinrun.hooks.in_use import named_folders

    processes: list[subprocess.Popen[bytes]] = []
    ignored = [part for beginning in KNOWN_WARNINGS for part in ("-W", f"ignore:{beginning}")]
    for run, folder in zip(runs, folders, strict=True):
        command = [sys.executable, *ignored, "-m", "twinrun.compare.replay_step"]
        command += [str(run.absolute()), name]
        command += [str(found.epoch), str(found.step), found.stage, str(folder)]
        command += [part for other in runs for part in ("--beside", str(other.absolute()))]
        command += ["--data", str(data.absolute())] if data else []
        command += [f"--wanted={each}" for each in wanted]
        command += [part for named in named_folders() for part in ("--named", named)]
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
    rows = ledger.at(found.stage, found.epoch, found.step)
    stage = STAGES.get(found.stage)
    return [(what, digest) for what, digest in rows if not stage.is_detail(what)]


def _is_recorded(again: list[tuple[str, int]], then: list[tuple[str, int]]) -> bool:
    """Whether the rows of a replay are among those that the run wrote down.

    They are fewer after the last epoch: the files of predictions are not made again.
    """
    return bool(again) == bool(then) and set(again) <= set(then)


def _measure(first: Path, second: Path) -> tuple[Gap | None, str]:
    """How far two files of tensors are from each other, and in words which kinds do not fit."""
    if not (first.is_file() and second.is_file()):
        return None, ""
    (one, kinds), (two, other_kinds) = (_read_values(path) for path in (first, second))
    for (name, number), kind in kinds.items():
        other = other_kinds.get((name, number), "nothing")
        if other != kind:
            return None, f"{name}: {kind} in A, {other} in B"
    return measure_gap(one, two), ""


_Part = tuple[str, str]


def _read_values(path: Path) -> tuple[dict[_Part, np.ndarray], dict[_Part, str]]:
    """What `replay_step.replay` wrote: values and kinds (dtype, shape) by name and number."""
    from safetensors.numpy import load_file

    values, kinds = dict[_Part, np.ndarray](), dict[_Part, str]()
    for key, tensor in load_file(plain(path)).items():
        head, _, name = key.partition("/")
        number, dtype = head.split()
        values[name, number] = tensor
        kinds[name, number] = f"{dtype} {list(tensor.shape)}"
    return values, kinds
