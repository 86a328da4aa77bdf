"""A member for the report: where its numbers are, and its learning curves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from twinrun.config.recipe import Member
from twinrun.report.figures import learning_curves
from twinrun.report.sourced_value import Shown, Source, read_source, source_name
from twinrun.run_folder.paths import RunFolder
from twinrun.run_folder.records import read_record
from twinrun.run_folder.tables import has_history, read_history


@dataclass(frozen=True)
class Course:
    """How one training went: the loss in its last epoch, and the lowest one.

    Attributes:
        name: Of the fold; empty for a member that is trained once.
        taken: The epoch whose weights are used; nothing before the training is complete.
    """

    name: str
    epochs: Shown
    train_loss: Shown
    valid_loss: Shown
    lowest: Shown
    lowest_epoch: Shown
    taken: Shown


@dataclass(frozen=True)
class ReportedMember:
    """A member of the settings.

    Attributes:
        recipe: Of the settings.
        record: member.json; None where the member is not complete.
        courses: Of its training, or of each of its folds, as far as they have come.
        curves: Draws them, as an <svg>; None before the first epoch's end.
    """

    name: str
    recipe: Member
    record: Source | None
    courses: tuple[Course, ...]
    curves: Callable[[], Markup] | None

    @property
    def has_folds(self) -> bool:
        """Whether it is trained once for each fold."""
        return any(course.name for course in self.courses)


def read_member(run: Path, name: str, recipe: Member, number: int) -> ReportedMember:
    """Read a member's files.

    Args:
        run: runs/<run>.
        name: The member's.
        recipe: Of the settings.
        number: Which member of the page it is, for ids.

    Raises:
        InputError: A file is damaged.
    """
    folder = RunFolder(run).training(name)
    record = read_source(run, folder.record, lambda path: read_record(path.parent))
    places = {each.path.name: each for each in folder.folds()} or {"": folder}
    paths = {fold: each.history for fold, each in places.items() if has_history(each.path)}
    tables = {fold: read_history(path) for fold, path in paths.items()}
    tables = {fold: table for fold, table in tables.items() if len(table)}
    records = {
        fold: read_source(run, places[fold].record, lambda path: read_record(path.parent))
        for fold in tables
    }
    courses = tuple(
        _course(fold, source_name(run, paths[fold]), table, records[fold])
        for fold, table in tables.items()
    )
    curves = None
    if courses:
        title = f"Learning curves of {name}. " + " ".join(_in_words(course) for course in courses)
        # Later, and only those that the page holds: drawing takes longer than all the reading.
        curves = partial(learning_curves, f"curves-{number}", title, list(tables.values()))
    return ReportedMember(name, recipe, record, courses, curves)


def _course(fold: str, name: str, table: pd.DataFrame, record: Source | None) -> Course:
    source = Source(name, table.to_dict("records"))
    last = len(table) - 1
    losses = table["valid_loss"]
    lowest = int(losses.argmin()) if losses.notna().any() else last
    return Course(
        name=fold,
        epochs=source.show(last, "epoch", form="d"),
        train_loss=source.show(last, "train_loss", form=".4f"),
        valid_loss=source.show(last, "valid_loss", form=".4f"),
        lowest=source.show(lowest, "valid_loss", form=".4f"),
        lowest_epoch=source.show(lowest, "epoch", form="d"),
        taken=(record or Source(name, {})).show("taken", form="d"),
    )


def _in_words(course: Course) -> str:
    return (
        f"{course.name + ': ' if course.name else ''}After epoch {course.epochs} the training loss "
        f"is {course.train_loss}, the validation loss {course.valid_loss}; its lowest value is "
        f"{course.lowest}, in epoch {course.lowest_epoch}."
    )
