"""What a run's blend is made of: every member, or of a partial one those that are complete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from twinrun.config.settings import Settings
from twinrun.config.trainings import member_of
from twinrun.errors import InputError
from twinrun.run_folder.paths import RunFolder
from twinrun.run_folder.records import read_record


@dataclass(frozen=True)
class Parts:
    """What a run's blend is made of.

    Attributes:
        names: Of members; of a partial blend where no member is complete, of folds. Sorted: a mean
            is added up in this order, and a manifest knows no other.
        missing: The members that have a weight and are not complete, sorted.
        partial: The blend is to be replaced when these are complete.
    """

    names: Sequence[str]
    missing: Sequence[str] = ()
    partial: bool = False

    @property
    def folds(self) -> bool:
        """Whether it is made of folds whose members are not complete."""
        return any(member_of(name) != name for name in self.names)

    def weights(self, settings: Settings) -> dict[str, float]:
        """The fixed weight of each by name; the folds of a member share its weight."""
        members = [member_of(name) for name in self.names]
        return {
            name: settings.weight(member) / members.count(member)
            for name, member in zip(self.names, members, strict=True)
        }


def every_member(folder: Path, settings: Settings) -> Parts:
    """The members that have a weight; those that are complete, where the settings allow that.

    Args:
        folder: runs/<run>.
        settings: Of the blend.

    Raises:
        InputError: One is not complete, and the settings do not allow that, or no other is.
    """
    parts = _members(folder, settings)
    if parts.missing and not (parts.names and settings.blend.allow_missing):
        without = "" if settings.blend.allow_missing else ", set blend.allow_missing = true"
        raise InputError(
            f"not complete in {folder}: {', '.join(parts.missing)}",
            fix=f"Train them first (twinrun train --help){without}, or name a different run with "
            "--run.",
        )
    return parts


def what_is_complete(folder: Path, settings: Settings) -> Parts:
    """What a partial blend is made of; no names where there is nothing to blend.

    A member takes part when it is complete, which with folds it is when all of them are: a mean of
    some folds beside whole members would weigh as much as one of all. Only where no member is
    complete the folds that are stand for their members, because a submission of them is better
    than none.

    Args:
        folder: runs/<run>.
        settings: Of the blend.

    Raises:
        InputError: A record is damaged.
    """
    parts = _members(folder, settings)
    names = parts.names or sorted(
        each.name
        for member in parts.missing
        for each in settings.trainings(member)
        if each.fold and _is_complete(folder, each.name)
    )
    return Parts(names, parts.missing, partial=bool(parts.missing))


def _members(folder: Path, settings: Settings) -> Parts:
    weighted = [name for name in sorted(settings.members) if settings.weight(name)]
    there = [name for name in weighted if _is_complete(folder, name)]
    return Parts(there, [name for name in weighted if name not in there])


def _is_complete(folder: Path, name: str) -> bool:
    return read_record(RunFolder(folder).training(name).path) is not None
