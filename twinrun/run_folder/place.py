"""local.json: what of a run holds on this machine only, and is never handed on.

Where its settings, its data and its decoded images lie, and which hosts its nodes were. All other
files of a run name no folder, user or host, so that each of them may be given to anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from twinrun.errors import InputError
from twinrun.files import is_there
from twinrun.run_folder.documents import read_document, write_document
from twinrun.run_folder.paths import RunFolder
from twinrun.run_folder.shapes import PlaceRecord


def read_place(run: Path) -> dict[str, Any] | None:
    """The content of a run's local.json, `shapes.PlaceRecord`.

    Returns:
        None where there is none: of a run that came from a different machine.

    Raises:
        InputError: It is damaged.
    """
    path = RunFolder(run).place
    fix = f"Remove {path}, and rerun the command that made the run; or name the data with --data."
    return read_document(path, PlaceRecord, fix=fix) if is_there(path, fix=fix) else None


def write_place(
    run: Path,
    *,
    config: Path,
    data_folder: Path,
    cache: str,
    tables: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write where the parts of a run lie; the names of nodes that are known stay.

    Args:
        run: runs/<run>.
        config: The settings file.
        data_folder: The data folder.
        cache: As the setting `run.cache`.
        tables: The folders of tables that do not lie in the data folder, by their settings.

    Raises:
        InputError: The folder cannot be written.
    """
    content = {
        "config": str(config),
        "data_folder": str(data_folder),
        "cache": cache,
        "tables": dict(tables),
    }
    write_document(RunFolder(run).place, PlaceRecord, {**content, "nodes": _known_nodes(run)})


def name_nodes(run: Path, nodes: Mapping[str, str]) -> None:
    """Write down which hosts the nodes of a cluster are, which records call by a number.

    Args:
        run: runs/<run>, whose local.json is there.
        nodes: The host's name by the node's number.

    Raises:
        InputError: The file is damaged, or the folder cannot be written.
    """
    content = read_place(run)
    if content is not None:
        known = {**content["nodes"], **nodes}
        write_document(RunFolder(run).place, PlaceRecord, {**content, "nodes": known})


def _known_nodes(run: Path) -> dict[str, str]:
    # A training that has come to its end is not to fail for a file that is written anew here.
    try:
        content = read_place(run)
    except InputError:
        content = None
    nodes: dict[str, str] = content["nodes"] if content else {}
    return nodes
