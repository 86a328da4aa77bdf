"""From a folder to the training, the member and the run that it is of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twinrun.config.trainings import Training, fold_number
from twinrun.run_folder.paths import RunFolder, TrainingFolder


def trainings_in(folder: Path) -> list[Training]:
    """The trainings of which a member's folder holds folders, in their order.

    Args:
        folder: runs/<run>/members/<member>. Of an interrupted member it holds the first ones only.
    """
    folds = [fold_number(each.path.name) for each in TrainingFolder(folder).folds()]
    if not folds:
        return [Training(folder.name)]
    return [Training(folder.name, fold, len(folds)) for fold in folds]


def training_of(settings: Mapping[str, Any]) -> Training:
    """Which training a ledger is of.

    Args:
        settings: What decided its bits, as `Settings.training_content` wrote it.
    """
    member, fold = settings["member"], settings.get("fold", 0)
    return Training(member["name"], fold, member["validation"]["folds"] if fold else 0)


def run_of(folder: Path) -> tuple[Path, str]:
    """The run that a training's folder belongs to, and the training's name.

    Args:
        folder: runs/<run>/members/<member>, or its fold-<number>.
    """
    folder = folder.absolute()
    for member in (folder.parent, folder):
        run = RunFolder(member.parent.parent)
        # A member may be called like a fold, too.
        if member.parent == run.members and (member == folder or fold_number(folder.name)):
            return run.path, folder.relative_to(run.members).as_posix()
    return folder.parent, folder.name
