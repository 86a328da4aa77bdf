"""audit.json: what is wrong with the data of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twinrun.run_folder.audit_shapes import AuditRecord
from twinrun.run_folder.documents import read_document, write_document
from twinrun.run_folder.manifest import is_as_recorded
from twinrun.run_folder.paths import RunFolder

_AGAIN = "Write it again: `twinrun audit`."


def read_audit(run: Path) -> dict[str, Any]:
    """The content of a run's audit.json: `audit_shapes.AuditRecord`.

    Raises:
        InputError: It is missing or damaged, or not the one that the manifest records.
    """
    is_as_recorded(run, RunFolder(run).audit, fix=_AGAIN)
    return _read(run)


def read_audit_if_there(run: Path) -> dict[str, Any] | None:
    """As `read_audit`; None where the run has none."""
    return _read(run) if is_as_recorded(run, RunFolder(run).audit, fix=_AGAIN) else None


def _read(run: Path) -> dict[str, Any]:
    return read_document(RunFolder(run).audit, AuditRecord, fix=_AGAIN)


def write_audit(run: Path, content: Mapping[str, Any]) -> None:
    """Write a run's audit.json.

    Raises:
        InputError: The folder cannot be written.
    """
    write_document(RunFolder(run).audit, AuditRecord, content)
