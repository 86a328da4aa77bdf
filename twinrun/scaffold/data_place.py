"""Where a new project finds its data: in its own data/, or in a folder that local.toml names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit

from twinrun.config.layout import refuse_unspeakable_names
from twinrun.config.local import LOCAL
from twinrun.config.project import SETTINGS
from twinrun.errors import InputError
from twinrun.files import read_text, write_text

if TYPE_CHECKING:
    from twinrun.scaffold.inspect import Findings

# The folder of a project that git ignores, and that the template's settings name.
DATA = "data"

_HEAD = "# What holds on this machine only; git ignores this file.\n"


def refuse_folder_in_use(folder: Path, data: Path) -> None:
    """Check that a new project may be put into a folder.

    Args:
        folder: Of the new project.
        data: The folder of its data, which may lie in it already, in data/.

    Raises:
        InputError: There is anything else in it, or nothing can be written there.
    """
    if not folder.is_dir():
        _refuse_place(folder)
        return
    inside = _path_inside(folder, data) is not None
    names = os.listdir(folder)  # noqa: PTH208
    if not names or (inside and names == [DATA]):
        return
    fix = "Name a folder that does not exist yet."
    if inside:
        fix = f"It may hold the data, in {folder / DATA}, which git ignores, and nothing else."
    raise InputError(f"{folder} is not empty", fix=fix)


def _refuse_place(folder: Path) -> None:
    """Raise InputError when a folder that is not there cannot be made."""
    there = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
    if not there.is_dir():
        link = f" but a link to {there.readlink()}, where none is" if there.is_symlink() else ""
        raise InputError(
            f"{there} is not a folder{link}", fix="Name a folder that does not exist yet."
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"nothing can be written into {there}", fix="Name a different folder.")


def place_to_make(folder: Path) -> Path:
    """Where a project's files are made before they are moved: on the disk of its folder.

    That is beside it, so that nothing in it is in the way after a kill; in it where it is the root
    of a disk, or the folder above is somebody else's.
    """
    real = folder.resolve()
    if real.is_dir() and (real.is_mount() or not os.access(real.parent, os.W_OK | os.X_OK)):
        return real
    return real.parent


def name_data(made: Path, folder: Path, found: Findings) -> None:
    """Write into a project's files where its data lies, and tables that lie elsewhere.

    The settings, which git keeps, name the project's own data/, as the template does; a folder
    outside the project, and a table outside the data folder, go into local.toml.

    Args:
        made: The project's files, before they are moved.
        folder: Where the project will stand.
        found: In the data folder.

    Raises:
        InputError: A path outside is not UTF-8.
    """
    settings = made / SETTINGS
    inside = _path_inside(folder, found.folder)
    shared: dict[str, str] = {}
    local: dict[str, str] = {}
    if inside is None:
        local["folder"] = found.folder.resolve().as_posix()
    elif inside != Path(DATA):
        shared["folder"] = (Path("..") / inside).as_posix()
    for key, path in (("labels", found.labels), ("sample_submission", found.sample_submission)):
        if path is not None and Path(path).is_absolute():
            local[key] = path
    if found.contradictions != "error":
        shared["contradictions"] = found.contradictions
    if local:
        refuse_unspeakable_names(local.values())
        write_text(settings.with_name(LOCAL), _HEAD + tomlkit.dumps({"data": local}))
    if shared:
        document = tomlkit.parse(read_text(settings))
        table: Any = document["data"]
        table.update(shared)
        write_text(settings, tomlkit.dumps(document))


def _path_inside(folder: Path, data: Path) -> Path | None:
    """The path of the data folder from the project's folder, when it lies in it.

    As it is written first: data/ may be a link to another disk.
    """
    for real in (os.path.abspath, os.path.realpath):
        there, root = Path(real(data)), Path(real(folder))
        if there.is_relative_to(root):
            return there.relative_to(root)
    return None


def move_project(made: Path, folder: Path) -> None:
    """Put a project's files into its folder, all of them or none.

    Args:
        made: Its files, in a folder of the same file system.
        folder: It does not exist, is empty, or holds data/, which is not touched. One that exists
            stays the folder that it is: a link to it, or a shell in it, still finds it.

    Raises:
        OSError: They cannot be moved; what was moved is gone from the folder.
    """
    if not folder.is_dir():
        shutil.move(made, folder)
        return
    moved: list[tuple[Path, Path]] = []
    try:
        # The settings last: without them it is no project yet.
        for part in sorted(made.iterdir(), key=lambda each: each.name == SETTINGS.parent.name):
            part.rename(folder / part.name)
            moved.append((part, folder / part.name))
    except BaseException:
        for part, target in moved:
            target.rename(part)
        raise
