"""Tables that a verifier names: the labels or the sample of a run, wherever they lie here."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinrun.config.label_table import TableOfLabels
from twinrun.config.local import TABLE_FOLDERS
from twinrun.errors import InputError
from twinrun.plain_files import plain

if TYPE_CHECKING:
    from twinrun.config.settings import Settings

# The options that name them, by the setting of a table.
OPTIONS = {"labels": "--labels", "sample_submission": "--sample"}


def copy_tables(
    data: Mapping[str, Any], tables: Mapping[str, Path], folder: Path
) -> dict[str, str]:
    """Copy tables under the names that a run has for them, which here they may not have.

    Args:
        data: [data] of the run's settings.
        tables: The tables, by their settings.
        folder: A folder of ours.

    Returns:
        The settings of these tables' folders, as `Settings.table_folders` has them.

    Raises:
        InputError: A table cannot be read, or the run has no table of labels.
    """
    found: dict[str, str] = {}
    for key, path in tables.items():
        target = folder / _name(data, key, path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(plain(path), target)
        except OSError as error:
            raise InputError(
                f"{OPTIONS[key]} {path}: {error.strerror or error}",
                fix="Name the host's table, wherever it lies.",
            ) from None
        found[TABLE_FOLDERS[key]] = str(folder.resolve())
    return found


def with_tables(settings: Settings, tables: Mapping[str, Path]) -> Settings:
    """A run's settings with tables that lie elsewhere than they did, under the same names.

    Args:
        settings: Of the run.
        tables: The tables, by their settings.

    Raises:
        InputError: A table has another name, or the run has no table of labels.
    """
    folders: dict[str, str] = {}
    for key, path in tables.items():
        name = _name(settings.data.model_dump(), key, path)
        whole = path.resolve()
        if not whole.is_file() or whole.parts[-len(name.parts) :] != name.parts:
            raise InputError(
                f"{OPTIONS[key]} {path}: the run's table is called {name}",
                fix="Name a file of that name, in any folder.",
            )
        folders[TABLE_FOLDERS[key]] = str(whole.parents[len(name.parts) - 1])
    return settings.model_copy(update={"data": settings.data.model_copy(update=folders)})


def _name(data: Mapping[str, Any], key: str, path: Path) -> Path:
    """What a run calls a table.

    Raises:
        InputError: It has none, or calls it like a place and not like a file.
    """
    if key == "labels" and data["layout"] != TableOfLabels.name:
        raise InputError(
            f"{OPTIONS[key]} {path}: this run has its labels from the names of folders",
            fix=f"Leave {OPTIONS[key]} out.",
        )
    name = Path(data[key])
    if name.is_absolute() or ".." in name.parts or not name.parts:
        raise InputError(f"the run calls its table {data[key]!r}, which is no file's name")
    return name
