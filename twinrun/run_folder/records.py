"""member.json: what a member was made from, and whether it is complete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from twinrun.config.settings import Settings, write_out_content
from twinrun.errors import InputError, differences
from twinrun.files import is_there, sha256_file
from twinrun.repro.facts import write_out_environment
from twinrun.run_folder.documents import read_document, refuse_changed_files, write_document
from twinrun.run_folder.paths import (
    PREDICTION_FILES,
    PROGRESS_FILES,
    RESULT_FILES,
    TrainingFolder,
)
from twinrun.run_folder.shapes import MemberRecord

# What to do about a file of a complete member that is not the recorded one.
MENDS = "Put it back, or remove the member's folder to train the member again."


def member_identity(
    name: str, settings: Settings, data: str, environment: dict[str, Any]
) -> dict[str, Any]:
    """Everything that decides a training's bits, as JSON values; equal identities, equal bits.

    Args:
        name: Of a training, or of a member with folds: of all of them together.
        settings: Of the run.
        data: From `data_digest`, with the member's pixels; seconds for 100,000 images, so it is not
            computed here.
        environment: From `set_up`.
    """
    return {
        "settings": settings.training_content(name),
        "data": data,
        "environment": environment["decides"],
    }


def read_record(folder: Path) -> dict[str, Any] | None:
    """The content of a member's member.json, `shapes.MemberRecord`; None: it is not complete.

    Raises:
        InputError: The file is damaged.
    """
    path = TrainingFolder(folder).record
    fix = f"Remove {folder} to train the member again."
    return read_document(path, MemberRecord, fix=fix) if is_there(path, fix=fix) else None


def write_record(folder: Path, content: Mapping[str, Any]) -> None:
    """Write member.json: the member is complete.

    Raises:
        InputError: The folder cannot be written.
    """
    write_document(TrainingFolder(folder).record, MemberRecord, content)


def training_digests(folder: Path) -> dict[str, dict[str, str]]:
    """What the record of a training says of its files, all of which are there: files, guards."""
    return {
        "files": {file: sha256_file(folder / file) for file in RESULT_FILES},
        "guards": {file: sha256_file(folder / file) for file in PROGRESS_FILES},
    }


def folds_digests(
    folder: Path, records: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, str]]:
    """As `training_digests`, of a member with folds: of its own files and of all of theirs.

    Args:
        folder: runs/<run>/members/<member>.
        records: The content of the folds' member.json, by the names of their folders.
    """
    files = {file: sha256_file(folder / file) for file in PREDICTION_FILES}
    guards: dict[str, str] = {}
    for name, record in records.items():
        files |= {f"{name}/{file}": digest for file, digest in record["files"].items()}
        guards |= {f"{name}/{file}": digest for file, digest in record["guards"].items()}
        own = TrainingFolder(folder / name).record
        guards[own.relative_to(folder).as_posix()] = sha256_file(own)
    return {"files": files, "guards": guards}


def recorded_files(record: Mapping[str, Any]) -> dict[str, str]:
    """All digests of a record: SHA-256 by name, relative to its folder."""
    return {**record["files"], **record["guards"]}


def checked_file(folder: Path, file: str) -> Path:
    """The path of a file of a complete training, whose bytes are those that were written.

    Whoever reads valid.csv, test.csv, weights or history of a member asks here first.

    Args:
        folder: Of a member, or of a fold of it.
        file: One of its files.

    Raises:
        InputError: The training is not complete, its record is damaged, or the file is missing or
            was changed since.
    """
    record = read_record(folder)
    if record is None:
        raise InputError(
            f"{folder} holds no complete training: it has no {TrainingFolder(folder).record.name}",
            fix="Rerun the command that trains it: it resumes.",
        )
    refuse_changed_files(folder, {file: recorded_files(record).get(file, "")}, fix=MENDS)
    return folder / file


def refuse_changed_member(folder: Path, files: Mapping[str, str], *, fix: str) -> None:
    """Check a complete member as a manifest records it: its record, then all of its files.

    Args:
        folder: runs/<run>/members/<member>.
        files: What the manifest says: SHA-256 by name.
        fix: What to do when one is not the recorded one.

    Raises:
        InputError: member.json is missing, damaged or not the manifest's, or files are not what was
            written; all of them are named.
    """
    path, record = TrainingFolder(folder).record, read_record(folder)
    if record is None:
        raise InputError(f"{path} is missing", fix=fix)
    if record["files"] != files:
        raise InputError(f"{path} is not the record of the member in the manifest", fix=fix)
    refuse_changed_files(folder, recorded_files(record), fix=fix)


def same_origin(recorded: dict[str, Any], identity: dict[str, Any], *, mixed: bool) -> bool:
    """Whether a member was made from these things; `mixed`: in whatever environment."""
    return recorded == (identity | {"environment": recorded["environment"]} if mixed else identity)


def find_complete_member(
    folder: Path, identity: dict[str, Any], *, mixed: bool = False
) -> dict[str, Any] | None:
    """The record of a member that is already there, whole and made from the same things.

    Args:
        folder: Of the member.
        identity: From `member_identity`.
        mixed: It may have been trained in a different environment.

    Returns:
        The content of member.json; None when the member is not complete.

    Raises:
        InputError: A complete member is there, but was made from something else, or its files
            were changed since. It is never overwritten.
    """
    record = read_record(folder)
    if record is None:
        return None
    found = []
    if not same_origin(record["identity"], identity, mixed=mixed):
        found = _differences(record["identity"], identity)
    elif not mixed:
        # A member's own identity says nothing of a fold that was trained elsewhere.
        for fold, own in record.get("environments", {}).items():
            now = write_out_environment(identity["environment"])
            lines = differences(write_out_environment(own), now)
            found += [f"{fold}: {line}" for line in lines]
    if found:
        raise InputError(
            f"{folder} holds a member that was trained from something else:",
            details=found,
            fix="Start a new run with --run NAME, or remove that folder.",
        )
    refuse_changed_files(folder, recorded_files(record), fix=MENDS)
    return record


def _without_hooks(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != "hooks"}


def _differences(recorded: Mapping[str, Any], identity: Mapping[str, Any]) -> list[str]:
    shown = [
        {
            **each,
            "settings": _without_hooks(write_out_content(each["settings"])),
            "environment": write_out_environment(each["environment"]),
        }
        for each in (recorded, identity)
    ]
    own = [each["settings"].get("hooks", {}) for each in (recorded, identity)]
    edited = [f"hooks.py: `{name}` {change}" for name, change in _changes(*own)]
    return edited + differences(*shown)


def _changes(then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What became of hooks: their names, and a word for each."""
    for name in sorted(then.keys() | now.keys()):
        if then.get(name) != now.get(name):
            both = name in then and name in now
            yield name, "was edited" if both else "is new" if name in now else "is gone"


def refuse_other_kind(folder: Path, *, folds: bool) -> None:
    """Check that a member's folder holds no beginning of the other kind of validation.

    Args:
        folder: runs/<run>/members/<member>.
        folds: Whether the member has folds, each with a folder of its own.

    Raises:
        InputError: It has folds and a training without any was begun there, or the other way round.
    """
    place = TrainingFolder(folder)
    begun = (place.checkpoint, place.ledger, place.weights)
    if any(path.exists() for path in begun) if folds else place.folds():
        other = "without folds" if folds else "with folds"
        raise InputError(
            f"{folder} holds the beginning of a training {other}, which the settings do not ask "
            "for",
            fix="Start a new run with --run NAME, or remove that folder.",
        )
