"""spread.json: how far the runs of several seeds are apart, recorded in each of these runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twinrun.files import is_there
from twinrun.run_folder.documents import read_document, write_document
from twinrun.run_folder.paths import PREDICTION_FILES, RunFolder
from twinrun.run_folder.verdict_shapes import SpreadRecord


def write_spread(run: Path, content: Mapping[str, Any]) -> None:
    """Write a run's spread.json.

    Raises:
        InputError: The folder cannot be written.
    """
    write_document(RunFolder(run).spread, SpreadRecord, content)


def read_spread(run: Path, manifest: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """What `run --seeds` recorded of a run, as far as it is of the files that the run has now.

    Args:
        run: runs/<run>.
        manifest: The content of its manifest.json.

    Returns:
        The content of spread.json, `verdict_shapes.SpreadRecord`, and why there is none: no spread
        was recorded, or it is of other files. Where only the submission is a different one, the
        spread of the submissions is None.

    Raises:
        InputError: The file is damaged.
    """
    again = "`twinrun run --seeds` records it"
    # Its name alone: a verdict that is handed on holds these words.
    path, name = RunFolder(run).spread, run.resolve().name
    if not is_there(path):
        return None, f"{name} has recorded no spread of seeds: {again}"
    spread = read_document(path, SpreadRecord, fix=f"Remove it: {again} again.")
    content = manifest["content"]
    for member, files in spread["files"].items():
        recorded = content["members"].get(member, {"files": {}})["files"]
        if any(recorded.get(name) != files.get(name) for name in PREDICTION_FILES):
            told = f"{name}/{path.name} is of other predictions than the run's"
            return None, f"{told}: {again} again"
    if spread["submission_file"] != content["submission"]:
        spread["submission"] = None
    return spread, ""
