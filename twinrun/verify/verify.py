"""A recorded run, made again from its manifest and compared."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from twinrun import prepare
from twinrun.compare.grade import GradedVerdict
from twinrun.compare.grade_words import grade_record
from twinrun.compare.graded import grade_predictions, grade_runs
from twinrun.compare.member_files import FileComparison, compare_files, compare_members
from twinrun.compare.runs import RunComparison, compare_runs
from twinrun.config.settings import Settings
from twinrun.errors import InputError, gaps
from twinrun.files import sha256_file
from twinrun.grades import SAME_BITS
from twinrun.run_folder import verdicts
from twinrun.run_folder.manifest import read_manifest
from twinrun.run_folder.paths import PREDICTION_FILES, RunFolder, VerificationFolder
from twinrun.run_folder.records import refuse_changed_member
from twinrun.verify.making import blend_again, predict_again, train_again


@dataclass(frozen=True)
class Verification:
    """What making a run again showed.

    Attributes:
        comparisons: The recorded files against those made again, per member and file.
        submission: Whether the submission came out the same; None when there was none, or not all
            of its members were made again.
        blend: Whether the blend, fitted again to the predictions that were made again, has the
            recorded weights and temperature; None as for the submission, or nothing was recorded.
        again: Folder of the new run; None when only predictions were made again.
        grade: The verdict, with what it was judged from.
        report: The recorded run and the new one, compared; None when only predictions were made.
    """

    comparisons: list[FileComparison]
    submission: bool | None
    blend: bool | None
    again: Path | None
    grade: GradedVerdict
    report: RunComparison | None = None

    @property
    def same(self) -> bool:
        """Whether everything came out with the same bits."""
        return self.grade.grade == SAME_BITS


def compare_environments(run: Path, settings: Settings) -> list[tuple[str, Any, Any]]:
    """(what, then, now) for what differs in the environment, driver and source of the engine.

    Where the source does, so does `engine`: its version and commit, for a reader. Of a member
    that was trained on a node of a different environment, also that, under its name.
    """
    from twinrun.repro.environment import set_up
    from twinrun.repro.facts import write_out_environment
    from twinrun.repro.source import describe_engine, read_engine

    recorded = read_manifest(run)
    now = set_up(
        threads=settings.run.threads,
        device=settings.run.device,
        packages=settings.code.packages,
    )
    here = write_out_environment(now["decides"])
    found = list(gaps(write_out_environment(recorded["content"]["environment"]), here))
    beside = recorded["beside"]["environment"]
    for name in ("driver", "code"):
        if beside.get(name) != now["beside"].get(name):
            found.append((name, beside.get(name), now["beside"].get(name)))
    if "code" in {name for name, *_ in found}:
        then, own = recorded["beside"]["engine"], read_engine()
        found.append(("engine", describe_engine(then), describe_engine(own)))
    for name, member in recorded["content"]["members"].items():
        others = {name: member["environment"]} if "environment" in member else {}
        others |= {f"{name}/{fold}": own for fold, own in member.get("environments", {}).items()}
        for training, own in others.items():
            found += [
                (f"{training}: {what}", before, after)
                for what, before, after in gaps(write_out_environment(own), here)
            ]
    return found


def select_members(run: Path, names: Sequence[str]) -> list[str]:
    """The complete members of a run, or those of them that are named.

    Raises:
        InputError: There is none, or no such one; or a file is not the one that was recorded.
    """
    members = read_manifest(run)["content"]["members"]
    unknown = [name for name in names if name not in members]
    if unknown or not members:
        what = f"no complete member {', '.join(unknown)}" if unknown else "no complete member"
        raise InputError(
            f"{run} has {what}",
            fix=f"There are: {', '.join(members)}."
            if members
            else "Rerun the command that made the run: what is not complete cannot be verified.",
        )
    chosen = [name for name in members if not names or name in names]
    for name in chosen:
        refuse_changed_member(
            RunFolder(run).training(name).path,
            members[name]["files"],
            fix="Put it back; what was changed since cannot be verified.",
        )
    return chosen


def verify_training(
    run: Path, settings: Settings, names: Sequence[str], again: Path
) -> Verification:
    """Train the members of a recorded run again and compare every file.

    Args:
        run: runs/<run>, as it was recorded.
        settings: Those of its manifest.
        names: From `select_members`.
        again: Folder of the new run. A verification that was interrupted there resumes; what a
            finished one left is removed.

    Raises:
        InputError: The data is not there or cannot be used.
    """
    started = time.perf_counter()
    if VerificationFolder(again).verdict.is_file():
        shutil.rmtree(again)
    prepared = train_again(run, settings, names, again, started)
    comparisons = compare_members(run, again, names)
    blended = _blend_again(run, again, settings, names, prepared.sample_path, again)
    prepare.keep_record(prepared, started)
    report = compare_runs(run, again, names)
    grade = grade_runs(
        report,
        same=all(row.same for row in comparisons) and blended.same_blend is not False,
        submission=blended.same_submission,
    )
    found = Verification(
        comparisons, blended.same_submission, blended.same_blend, again, grade, report
    )
    write_verification(found, VerificationFolder(again).verdict)
    return found


def verify_predictions(
    run: Path,
    settings: Settings,
    names: Sequence[str],
    again: Path,
    environment: Sequence[tuple[str, Any, Any]] = (),
) -> Verification:
    """Predict with the recorded weights again, blend, and compare.

    Args:
        run: As for `verify_training`.
        settings: As for `verify_training`.
        names: As for `verify_training`.
        again: Folder of the new predictions. What an earlier verification left there is removed.
        environment: From `compare_environments`.

    Raises:
        InputError: As `verify_training`, or the weights are foreign or do not fit.
    """
    prepared = predict_again(run, settings, names, again)
    comparisons = []
    for name in names:
        trainings = settings.trainings(name)
        titles = {each.name: each.title for each in trainings} | {name: name}
        for each, title in titles.items():
            before, now = (RunFolder(folder).training(each).path for folder in (run, again))
            comparisons += compare_files(title, before, now, PREDICTION_FILES)
    # `select_members` has checked that the recorded predictions are those of the manifest.
    blended = _blend_again(run, run, settings, names, prepared.sample_path, again)
    same = all(row.same for row in comparisons)
    grade = grade_predictions(
        run,
        again,
        names,
        same=same and False not in (blended.same_submission, blended.same_blend),
        submission=blended.same_submission,
        blend=blended.blend,
        environment=environment,
    )
    return Verification(comparisons, blended.same_submission, blended.same_blend, None, grade)


@dataclass(frozen=True)
class _BlendedAgain:
    """As `Verification` says of submission and blend; and the blend that was taken, if any was."""

    same_submission: bool | None = None
    same_blend: bool | None = None
    blend: Mapping[str, Any] | None = None


def _blend_again(
    run: Path, source: Path, settings: Settings, names: Sequence[str], sample: Path, again: Path
) -> _BlendedAgain:
    """Blend the members of `source`; whether the submission, and the blend, are those of `run`."""
    recorded = read_manifest(run)["content"]
    # The members that took part: others may have been missing then, and complete by now.
    weighted = [name for name in settings.members if settings.weight(name)]
    blend = recorded["blend"] or {}
    part = blend.get("weights", weighted)
    if not recorded["submission"] or not set(part) <= set(names):
        return _BlendedAgain()
    chosen = blend_again(source, settings, part, sample, again, blend.get("partial", ()))
    same = sha256_file(RunFolder(again).submission) == recorded["submission"]
    taken = chosen.record()
    return _BlendedAgain(same, taken == recorded["blend"] if recorded["blend"] else None, taken)


def write_verification(found: Verification, path: Path) -> None:
    """Write down what a verification showed."""
    verdicts.write_verification(
        path,
        {
            "grade": grade_record(found.grade),
            "same": found.same,
            "submission": found.submission,
            "blend": found.blend,
            "comparisons": [asdict(row) for row in found.comparisons],
        },
    )
