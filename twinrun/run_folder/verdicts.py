"""What checks of a run left beside it, and whether they were of this run's files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from twinrun.config.trainings import Training, fold_number
from twinrun.run_folder.documents import read_document, write_document
from twinrun.run_folder.verdict_shapes import TwinsRecord, VerificationRecord


def read_twins(path: Path) -> dict[str, Any]:
    """The content of twins.json: `verdict_shapes.TwinsRecord`.

    Raises:
        InputError: It is missing or damaged.
    """
    return read_document(path, TwinsRecord, fix=_fix(path))


def write_twins(path: Path, content: Mapping[str, Any]) -> None:
    """Write twins.json.

    Raises:
        InputError: The folder cannot be written.
    """
    write_document(path, TwinsRecord, content)


def read_verification(path: Path) -> dict[str, Any]:
    """The content of verify.json, or predictions.json: `verdict_shapes.VerificationRecord`.

    Raises:
        InputError: It is missing or damaged.
    """
    return read_document(path, VerificationRecord, fix=_fix(path))


def write_verification(path: Path, content: Mapping[str, Any]) -> None:
    """Write verify.json, or predictions.json.

    Raises:
        InputError: The folder cannot be written.
    """
    write_document(path, VerificationRecord, content)


def is_of_run(verdict: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    """Whether a check began with a run's files: each that it compared has the recorded digest.

    Args:
        verdict: From `read_twins` or `read_verification`. One that compared nothing is of no run.
        manifest: The content of the run's manifest.json.
    """
    recorded = dict(_digests(manifest["content"]["members"]))
    rows = verdict["comparisons"]
    return bool(rows) and all(
        recorded.get((row["member"], row["file"])) == row["first"] for row in rows
    )


def _digests(members: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[tuple[str, str], str]]:
    """((a training's title, file), digest) of what a manifest records."""
    for member, record in members.items():
        folders = {file.rpartition("/")[0] for file in record["files"]}
        folds = len(folders - {""})
        for file, digest in record["files"].items():
            folder, _, name = file.rpartition("/")
            yield (Training(member, fold_number(folder), folds).title, name), digest


def _fix(path: Path) -> str:
    return f"Remove {path}, or run the check again."
