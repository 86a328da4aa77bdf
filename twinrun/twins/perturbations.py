"""What is changed for the second twin: everything that must not change a bit."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from twinrun.config.settings import Settings
from twinrun.errors import InputError, nearest

PERTURBATIONS = {
    "hash-seed": "another PYTHONHASHSEED",
    "workers": "another number of loader workers",
    "folder": "another working folder and TMPDIR",
    "locale": "another locale, time zone and user name",
    "data": "a copy of the data, created in another order, with other times and another path",
    "cache": "a cold cache: it decoded every image itself",
    "kill": "a SIGKILL in the middle of an epoch, and then went on",
}


def chosen_perturbations(names: list[str] | None) -> list[str]:
    """The hostilities that are named; all of them by default, none for "none".

    Raises:
        InputError: There is no such hostility.
    """
    if not names:
        return list(PERTURBATIONS)
    for name in names:
        if name not in PERTURBATIONS and name != "none":
            raise InputError(
                f"--hostility {name}: no such thing. {nearest(name, PERTURBATIONS)}".rstrip(),
                fix=f"Allowed: {', '.join(PERTURBATIONS)}, none.",
            )
    return [name for name in PERTURBATIONS if name in names]


def other_workers(settings: Settings) -> int:
    """A number of loader workers that is not the settings' own."""
    return 0 if settings.run.workers else 2


def copy_of_data(folder: Path, copy: Path) -> None:
    """Copy a data folder: last file first, with times of another year.

    Args:
        folder: The data folder.
        copy: A path at which there is nothing.

    Raises:
        InputError: There is no data, or not enough space.
    """
    if not folder.is_dir():
        raise InputError(
            f"no data folder: {folder}", fix="Name it with --data, or set data.folder."
        )
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files)
    copy.mkdir(parents=True)
    if shutil.disk_usage(copy).free < size + (64 << 20):
        raise InputError(
            f"no space for a copy of the data ({size / 1e9:.1f} GB) in {copy.parent}",
            fix="Choose another place with --out, or leave the copy away: name the others with "
            "--hostility.",
        )
    for number, path in enumerate(reversed(files)):
        target = copy / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        os.utime(target, (10**9 + number, 10**9 + number))
