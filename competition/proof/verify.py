"""A recorded run, made again from its manifest and compared."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from competition import pipeline, submitting
from competition.delivery.provenance import read_manifest
from competition.errors import InputError, gaps
from competition.files import sha256_file, write_csv, write_json
from competition.proof.comparing import Comparison, compare_files, compare_members
from competition.settings import Settings
from competition.training.records import RESULT_FILES, refuse_changed_files

PREDICTIONS = ("valid.csv", "test.csv")


@dataclass(frozen=True)
class Verification:
    """What making a run again showed.

    Attributes:
        comparisons: The recorded files against those made again, per member and file.
        submission: Whether the submission came out the same; None when there was none, or not all
            of its members were made again.
        again: Folder of the new run; None when only predictions were made again.
    """

    comparisons: list[Comparison]
    submission: bool | None
    again: Path | None

    @property
    def same(self) -> bool:
        """Whether everything came out with the same bits."""
        return all(row.same for row in self.comparisons) and self.submission is not False


def environment_gaps(run: Path, settings: Settings) -> list[tuple[str, Any, Any]]:
    """(what, then, now) for what differs in the environment, driver and source of the engine."""
    from competition.determinism.environment import set_up

    recorded = read_manifest(run)
    now = set_up(threads=settings.run.threads, device=settings.run.device)
    found = list(gaps(recorded["content"]["environment"], now["decides"]))
    beside = recorded["beside"]["environment"]
    for name in ("driver", "code"):
        if beside.get(name) != now["beside"].get(name):
            found.append((name, beside.get(name), now["beside"].get(name)))
    return found


def members_of(run: Path, names: Sequence[str]) -> list[str]:
    """The complete members of a run, or those of them that are named.

    Raises:
        InputError: There is none, or no such one; or a file is not the one that was recorded.
    """
    members = read_manifest(run)["content"]["members"]
    unknown = [name for name in names if name not in members]
    if unknown or not members:
        what = f"no complete member {', '.join(unknown)}" if unknown else "no complete member"
        raise InputError(
            f"{run} has {what}", mend=f"There are: {', '.join(members)}." if members else ""
        )
    chosen = [name for name in members if not names or name in names]
    for name in chosen:
        refuse_changed_files(
            run / "members" / name,
            {file: members[name]["files"][file] for file in RESULT_FILES},
            mend="Put it back; what was changed since cannot be verified.",
        )
    return chosen


def verify(run: Path, settings: Settings, names: Sequence[str], again: Path) -> Verification:
    """Train the members of a recorded run again and compare every file.

    Args:
        run: runs/<run>, as it was recorded.
        settings: Those of its manifest.
        names: From `members_of`.
        again: Folder of the new run. A verification that was interrupted there goes on; what a
            finished one left is removed.

    Raises:
        InputError: The data is not there or cannot be used.
    """
    started = time.perf_counter()
    if (again / "verify.json").is_file():
        shutil.rmtree(again)
    prepared = pipeline.prepare(settings, again)
    pipeline.train(prepared, names, started)
    comparisons = compare_members(run, again, names)
    submission = None
    recorded = read_manifest(run)["content"]
    if recorded["submission"] and set(names) == set(settings.members):
        pairs = submitting.members_to_blend(again, settings)
        submitting.blend_files(pairs, settings, prepared.sample_path, again / "submission.csv")
        submission = sha256_file(again / "submission.csv") == recorded["submission"]
    pipeline.keep_record(prepared, started)
    found = Verification(comparisons, submission, again)
    _write(again / "verify.json", found)
    return found


def verify_predictions(run: Path, settings: Settings, names: Sequence[str]) -> Verification:
    """Predict with the recorded weights again, and compare.

    Args:
        run: As for `verify`.
        settings: As for `verify`.
        names: As for `verify`.

    Raises:
        InputError: As `verify`, or the weights do not fit.
    """
    from safetensors.torch import load_file

    from competition.training.members import open_workshop

    prepared = pipeline.prepare(settings, run)
    comparisons = []
    for name in names:
        untrained = settings.model_copy(
            update={
                "members": {
                    **settings.members,
                    # The recorded weights replace them all: none is to be fetched.
                    name: settings.members[name].model_copy(update={"pretrained": False}),
                }
            }
        )
        workshop = open_workshop(
            name, untrained, prepared.index, prepared.pixels, prepared.environment
        )
        folder = run / "members" / name
        workshop.learner.model.load_state_dict(load_file(folder / "weights.safetensors"))
        with TemporaryDirectory(prefix="verify-") as temporary:
            for file, table in workshop.predictions().items():
                write_csv(Path(temporary) / file, table)
            comparisons += compare_files(name, folder, Path(temporary), PREDICTIONS)
    return Verification(comparisons, None, None)


def _write(path: Path, found: Verification) -> None:
    write_json(
        path,
        {
            "same": found.same,
            "submission": found.submission,
            "comparisons": [asdict(row) for row in found.comparisons],
        },
    )
