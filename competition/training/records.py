"""member.json: what a member was made from, and whether it is complete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from competition.data.index import data_digest
from competition.errors import InputError, differences
from competition.files import sha256_file
from competition.settings import Settings

# The files of a member whose bytes are the same in every run with the same bits.
RESULT_FILES = ("valid.csv", "test.csv", "weights.safetensors")


def member_identity(
    name: str, settings: Settings, index: pd.DataFrame, environment: dict[str, Any]
) -> dict[str, Any]:
    """Everything that decides a member's bits, as JSON values; equal identities, equal bits."""
    return {
        "settings": settings.training_content(name),
        "data": data_digest(index),
        "environment": environment["decides"],
    }


def read_record(folder: Path) -> dict[str, Any] | None:
    """The content of a member's member.json; None when the member is not complete.

    Raises:
        InputError: The file is there and is not what was written.
    """
    path = folder / "member.json"
    if not path.is_file():
        return None
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"{path} is damaged: {error}", mend=f"Remove {folder} to train the member again."
        ) from None
    return record


def completed_member(folder: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """The record of a member that is already there, whole and made from the same things.

    Returns:
        The content of member.json; None when the member is not complete.

    Raises:
        InputError: A complete member is there, but was made from something else, or its files
            were changed since. It is never overwritten.
    """
    record = read_record(folder)
    if record is None:
        return None
    found = differences(record["identity"], identity)
    if found:
        raise InputError(
            f"{folder} holds a member that was trained from something else:",
            details=found,
            mend="Start another run with --run NAME, or remove that folder.",
        )
    for file, digest in record["files"].items():
        if not (folder / file).is_file() or sha256_file(folder / file) != digest:
            raise InputError(
                f"{folder / file} is not the file that was written when the member was trained",
                mend="Put it back, or remove that folder to train the member again.",
            )
    return record
