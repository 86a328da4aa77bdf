"""What a member is trained as: once, or once for each of its folds; names, folders, keys of these.

The only place that knows how the trainings of a member are called and where their files are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FOLD = re.compile(r"fold-([1-9][0-9]*)")


@dataclass(frozen=True)
class Training:
    """One training: of a whole member, or of one fold of it.

    Attributes:
        member: The member's name in the settings.
        fold: Which part it holds out, from 1; 0 for a member that is trained once.
        folds: How many folds the member has; 0 for a member that is trained once.
    """

    member: str
    fold: int = 0
    folds: int = 0

    @property
    def name(self) -> str:
        """What commands and paths call it, below members/: `M27g` or `M27g/fold-1`."""
        return f"{self.member}/fold-{self.fold}" if self.fold else self.member

    @property
    def folder(self) -> str:
        """Its folder within the member's, which is the member's own when it has no folds."""
        return f"fold-{self.fold}" if self.fold else "."

    @property
    def title(self) -> str:
        """What a reader is shown: `M27g` or `M27g fold 1/5`."""
        return f"{self.member} fold {self.fold}/{self.folds}" if self.fold else self.member

    @property
    def key(self) -> tuple[int | str, ...]:
        """The parts, after the run's seed, of the keys of all its draws."""
        return (self.member, "fold", self.fold) if self.fold else (self.member,)


def trainings_of(member: str, folds: int | None) -> list[Training]:
    """The trainings of a member, in their order.

    Args:
        member: Its name.
        folds: How many; None for a member that is trained once.
    """
    if not folds:
        return [Training(member)]
    return [Training(member, fold, folds) for fold in range(1, folds + 1)]


def trainings_in(folder: Path) -> list[Training]:
    """The trainings of which a member's folder holds folders, in their order.

    Args:
        folder: runs/<run>/members/<member>. Of an interrupted member it holds the first ones only.
    """
    begun = {path.parent.name for path in folder.glob("fold-*/[!.]*")}
    found = map(_FOLD.fullmatch, begun)
    folds = sorted(int(match[1]) for match in found if match)
    if not folds:
        return [Training(folder.name)]
    return [Training(folder.name, fold, len(folds)) for fold in folds]


def recorded_training(settings: Mapping[str, Any], folder: Path) -> Training:
    """Which training a ledger is of.

    Args:
        settings: What decided its bits, as `Settings.training_content` wrote it.
        folder: Where the ledger lies, for one that says nothing of its member.
    """
    member = settings.get("member", {})
    fold = settings.get("fold", 0)
    folds = member.get("validation", {}).get("folds", 0)
    return Training(member.get("name", folder.name), fold, folds if fold else 0)


def run_of(folder: Path) -> tuple[Path, str]:
    """The run that a training's folder belongs to, and the training's name.

    Args:
        folder: runs/<run>/members/<member>, or its fold-<number>.
    """
    folder = folder.absolute()
    above = folder.parent
    if _FOLD.fullmatch(folder.name) and above.parent.name == "members":
        return above.parent.parent, f"{above.name}/{folder.name}"
    return above.parent, folder.name
