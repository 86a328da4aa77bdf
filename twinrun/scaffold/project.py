"""A new project for a competition, made from the template with what its data folder shows."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from twinrun.errors import InputError
from twinrun.scaffold.data_place import (
    move_project,
    name_data,
    place_to_make,
    refuse_folder_in_use,
)
from twinrun.scaffold.inspect import Findings
from twinrun.scaffold.render import read_address, render
from twinrun.wheel.engine_wheel import ENGINE, template_folder


def refuse_without_template() -> None:
    """Raise InputError when this engine has no template: a project unpacked it."""
    if template_folder() is None:
        raise InputError(
            f"the engine in {ENGINE} was unpacked by a project, and has no template",
            fix="Run the command of a different environment, or of a clone of Twinrun.",
        )


def make(folder: Path, answers: Mapping[str, str], found: Findings) -> str | None:
    """Make the project; the folder appears whole or not at all.

    Args:
        folder: Of the project; it must not exist, be empty, or hold nothing but the data.
        answers: To the template's questions.
        found: In the data folder, which a file of the project will name that git ignores.

    Returns:
        The address that updates come from, relative to the project if it is a folder of this
        machine; None where it is not known.

    Raises:
        InputError: The folder is in use, the template is no git repository, or an answer was
            refused.
    """
    refuse_folder_in_use(folder, found.folder)
    place = place_to_make(folder)
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".twinrun-init-", dir=place) as temporary:
        made = render(Path(temporary), folder.resolve(), answers)
        name_data(made, folder, found)
        move_project(made, folder)
    return read_address(folder)
