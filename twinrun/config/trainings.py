"""What a member is trained as: once, or once for each of its folds; names and keys of these.

Where their files lie is `run_folder`'s to know.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# In the folder of a complete training, its weights.
WEIGHTS = "weights.safetensors"

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
        """What commands and paths call it, below members/: `first` or `first/fold-1`."""
        return f"{self.member}/{self.folder}" if self.fold else self.member

    @property
    def folder(self) -> str:
        """Its folder within the member's, which is the member's own when it has no folds."""
        return f"fold-{self.fold}" if self.fold else "."

    @property
    def title(self) -> str:
        """What a reader is shown: `first` or `first fold 1/5`."""
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


def member_of(name: str) -> str:
    """The member that a training's name is of: `first` of `first/fold-1` and of `first`."""
    return name.partition("/")[0]


def fold_number(folder: str) -> int:
    """Which fold, from 1, a folder of this name within a member's is of; 0 for none."""
    found = _FOLD.fullmatch(folder)
    return int(found[1]) if found else 0
