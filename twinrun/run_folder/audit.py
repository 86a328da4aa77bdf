"""audit.json: what is wrong with the data of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twinrun.run_folder.documents import read_document, write_document
from twinrun.run_folder.paths import RunFolder
from twinrun.run_folder.shapes import AuditRecord


def read_audit(run: Path) -> dict[str, Any]:
    """The content of a run's audit.json: `shapes.AuditRecord`.

    Raises:
        InputError: It is missing or damaged.
    """
    return read_document(RunFolder(run).audit, AuditRecord, fix="Write it again: `twinrun audit`.")


def write_audit(run: Path, content: Mapping[str, Any]) -> None:
    """Write a run's audit.json.

    Raises:
        InputError: The folder cannot be written.
    """
    write_document(RunFolder(run).audit, AuditRecord, content)
