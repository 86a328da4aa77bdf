"""Which project a command works on: the one that it stands in, as git finds its own."""

from __future__ import annotations

import os
from pathlib import Path

from twinrun.errors import InputError

# Where a project keeps its settings, from its folder.
SETTINGS = Path("competition", "competition.toml")


def find_project(start: Path | None = None) -> Path:
    """The nearest folder that holds competition/competition.toml, from `start` upward.

    Args:
        start: Default: the working folder.

    Returns:
        "." for the working folder itself, so that what is printed stays short; otherwise absolute.

    Raises:
        InputError: There is none, and the message says how to begin; or the working folder is gone.
    """
    try:
        here = Path.cwd()
        begin = (start or here).absolute()
        for folder in (begin, *begin.parents):
            # Also a link that leads nowhere: the reader names it, and no project above is taken.
            if os.path.lexists(folder / SETTINGS):
                return Path() if folder == here else folder
    except OSError as error:
        raise InputError(
            f"the working folder cannot be read: {error.strerror or error}",
            fix="Change to the folder of a project.",
        ) from None
    raise InputError(
        f"there is no {SETTINGS} in {begin}, nor in any folder above it",
        fix="Change to the folder of a project, or name its settings with --config FILE. "
        "To begin a project: twinrun init DIR --data FOLDER",
    )


def project_settings(start: Path | None = None) -> Path:
    """The settings file of the project that the command stands in.

    Raises:
        InputError: The working folder is in no project.
    """
    return find_project(start) / SETTINGS
