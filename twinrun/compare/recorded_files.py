"""The files of two runs: each against its record, and the records against each other.

A ledger is of what was in memory. That a file holds it is only shown by the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinrun.compare.predictions import find_prediction_change
from twinrun.config.trainings import member_of
from twinrun.errors import InputError, gaps
from twinrun.files import read_csv
from twinrun.repro.ledger import Ledger
from twinrun.run_folder.documents import changed_file
from twinrun.run_folder.manifest import recorded_run_files
from twinrun.run_folder.paths import PREDICTION_FILES, RunFolder, TrainingFolder
from twinrun.run_folder.records import read_record, recorded_files
from twinrun.run_folder.trainings import run_of

# What a file should be, by its name.
_SHOULD_BE = {
    **dict.fromkeys(PREDICTION_FILES, "predicted"),
    "weights.safetensors": "trained",
    "submission.csv": "blended",
}


@dataclass(frozen=True)
class FileFault:
    """A file that is not what it should be, whatever the ledgers say.

    Attributes:
        place: Of the file in the run, members/first/test.csv.
        run: 0 the first run's file, 1 the second's; None: which of the two is not known.
        text: What is wrong with it, in words: "is not what was predicted".
        details: More of it, a line each.
    """

    place: str
    run: int | None
    text: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class ComparedTraining:
    """A training of both runs: its folders, its ledgers, and whether these agree to the end."""

    folders: tuple[Path, Path]
    ledgers: tuple[Ledger, Ledger]
    agree: bool


def compare_training_files(trainings: Sequence[ComparedTraining]) -> list[FileFault]:
    """What is wrong with the files of trainings whose ledgers were compared.

    Where the ledgers differ, files do, and only those that are not what their own record names are
    told. A member with folds has files of its own, which follow from those of all folds.

    Raises:
        InputError: A record is damaged.
    """
    found: list[FileFault] = []
    folds: dict[tuple[Path, Path], list[ComparedTraining]] = {}
    for each in trainings:
        found += _find_faults(each.folders, each.ledgers if each.agree else None)
        names = [run_of(folder)[1] for folder in each.folders]
        if names[0] == names[1] != member_of(names[0]):
            first, second = (folder.parent for folder in each.folders)
            folds.setdefault((first, second), []).append(each)
    for members, compared in folds.items():
        there = {len(TrainingFolder(member).folds()) for member in members}
        if there == {len(compared)}:
            agree = all(each.agree for each in compared)
            found += _find_faults(members, () if agree else None)
    return found


def compare_run_files(
    runs: tuple[Path, Path], manifests: Sequence[Mapping[str, Any]]
) -> list[FileFault]:
    """The files of runs, besides those of members, that are not what the manifests record.

    Args:
        runs: Two folders runs/<run>.
        manifests: The content of manifest.json of each; empty where there is none.
    """
    found: list[FileFault] = []
    for number, (run, manifest) in enumerate(zip(runs, manifests, strict=True)):
        for file, digest in (recorded_run_files(manifest) if manifest else {}).items():
            if fault := changed_file(run / file, digest):
                found.append(FileFault(file, number, _in_words(file, fault)))
    return found


def explain_submissions(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Why the submissions that two manifests record are not the same, a line for each reason.

    Args:
        first: The table `content` of a manifest.json; empty where there is none.
        second: The other one's.

    Returns:
        None of them where they are the same, or where a run has no submission.
    """
    submissions = {content.get("submission") for content in (first, second)}
    if len(submissions - {None}) < 2:
        return []
    reasons = [
        f"blend.{name}: {one} in A, {two} in B"
        for name, one, two in gaps(first["blend"], second["blend"])
    ]
    asked = (content["settings"].get("submission", {}) for content in (first, second))
    reasons += [f"submission.{name}: {one} in A, {two} in B" for name, one, two in gaps(*asked)]
    members, others = first["members"], second["members"]
    for name in members.keys() & others.keys():
        ours, theirs = members[name]["files"], others[name]["files"]
        if any(ours.get(file) != theirs.get(file) for file in PREDICTION_FILES):
            reasons.append(f"members.{name}: other predictions")
    return sorted(reasons) or [
        "members, blend and settings are the same: a different sample submission, or different code"
    ]


def _find_faults(
    folders: tuple[Path, Path], ledgers: tuple[Ledger, Ledger] | tuple[()] | None
) -> Iterator[FileFault]:
    """Of one member or fold; `ledgers` where nothing before the files differs."""
    records = [read_record(folder) for folder in folders]
    changed = set[str]()
    for run, (folder, record) in enumerate(zip(folders, records, strict=True)):
        for file, digest in (recorded_files(record) if record else {}).items():
            # A fold's are found in its own folder.
            if "/" not in file and (fault := changed_file(folder / file, digest)):
                changed.add(file)
                yield FileFault(_place(folder, file), run, _in_words(file, fault))
    if ledgers is None:
        return
    first, second = records
    if first and second:
        for file, digest in first["files"].items():
            if "/" not in file and file not in changed and digest != second["files"].get(file):
                yield _blame(folders, file, ledgers)
    elif first or second:
        run = 0 if second else 1
        place = _place(folders[run], TrainingFolder(folders[run]).record.name)
        yield FileFault(place, run, "is missing: the member is not complete")


def _place(folder: Path, file: str) -> str:
    return (RunFolder(Path()).training(run_of(folder)[1]).path / file).as_posix()


def _in_words(file: str, fault: str) -> str:
    if fault.startswith("is not the file"):
        return f"is not what was {_SHOULD_BE.get(file, 'written')}"
    return fault


def _blame(
    folders: tuple[Path, Path], file: str, ledgers: tuple[Ledger, Ledger] | tuple[()]
) -> FileFault:
    """The fault of a file that the two records give other digests for, and whose it is."""
    place, details = _place(folders[0], file), tuple[str, ...]()
    if file in PREDICTION_FILES:
        paths = (folders[0] / file, folders[1] / file)
        change = find_prediction_change(*paths)
        details = (change.words, *([change.cause.cause] if change.cause else []))
        if ledgers:
            wrong = [
                run
                for run, (path, ledger) in enumerate(zip(paths, ledgers, strict=True))
                if _is_predicted(path, ledger) is False
            ]
            if len(wrong) == 1:
                return FileFault(place, wrong[0], _in_words(file, "is not the file"), details)
    return FileFault(place, None, "is not the same file in both runs", details)


def _is_predicted(path: Path, ledger: Ledger) -> bool | None:
    """Whether a file holds the probabilities that the ledger has a digest of; None: not known."""
    import pyarrow.compute as pc
    import torch

    from twinrun.repro.digests import digest_tensors, fetch_digests

    classes, rows = ledger.about["settings"].get("classes"), ledger.rows()
    of_file = pc.and_(pc.equal(rows["stage"], "prediction"), pc.equal(rows["what"], path.name))
    digests = rows.filter(of_file)["digest"].to_pylist()
    try:
        table = read_csv(path, text=("id", "label"))
        values = torch.from_numpy(table[classes].to_numpy("float32", copy=True))
    except (InputError, KeyError, ValueError, TypeError):
        return False
    return fetch_digests([digest_tensors([values])])[0] == digests[-1] if digests else None
