"""What the members predicted of images that they held out, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from twinrun.blend.average import blend_values, clamp
from twinrun.blend_methods.methods import Combination
from twinrun.blend_methods.temperature import apply_temperature
from twinrun.config.settings import Settings
from twinrun.data.index import GROUP
from twinrun.errors import InputError, shorten
from twinrun.metrics import Numbers, Values, score
from twinrun.probabilities import probability_problems
from twinrun.run_folder.paths import RunFolder, TrainingFolder
from twinrun.run_folder.records import read_record
from twinrun.run_folder.tables import read_index_if_there, read_predictions


@dataclass(frozen=True)
class HeldOut:
    """The predictions of the images that every member held out, in an order of their own.

    Attributes:
        members: Their names, sorted: the order of the settings and of files decides nothing.
        ids: Of the images, sorted.
        classes: In the settings' order.
        labels: Of each image the number of its class.
        groups: Of each image the name of its group of duplicates.
        values: Probabilities, clamped as the settings say: members by images by classes.
    """

    members: list[str]
    ids: list[str]
    classes: list[str]
    labels: Numbers
    groups: list[str]
    values: Values

    def blend(
        self,
        weights: Mapping[str, float],
        how: Combination,
        *,
        renormalise: bool,
        temperature: float = 1.0,
    ) -> Values:
        """The blend's probabilities: images by classes.

        Args:
            weights: By member, not all 0; added up in the order of the members.
            how: From `BlendMethod.combination`, for the members in their order.
            renormalise: Whether the rows of the result are divided by their sum.
            temperature: Of the finished blend; 1 leaves it as it is.
        """
        ordered = [weights[name] for name in self.members]
        result = blend_values(self.values, ordered, how, renormalise=renormalise)
        return result if temperature == 1.0 else apply_temperature(result, temperature)

    def without(self, member: str) -> HeldOut:
        """All members but one."""
        kept = [number for number, name in enumerate(self.members) if name != member]
        return replace(
            self, members=[self.members[number] for number in kept], values=self.values[kept]
        )


def align_held_out(
    tables: Mapping[str, pd.DataFrame], groups: Mapping[str, str], settings: Settings
) -> HeldOut:
    """Put the members' held-out predictions side by side, joined by id.

    Args:
        tables: By member, from `read_held_out_tables` or `read_held_out`.
        groups: By id the image's group; an image that is not among them is its own group.
        settings: Classes and the blend's clamp.

    Raises:
        InputError: Two members give an image other labels.
    """
    members = sorted(tables)
    classes = settings.classes
    by_id = [tables[name].set_index("id") for name in members]
    common = sorted(set.intersection(*(set(table.index) for table in by_id)))
    aligned = [table.loc[common] for table in by_id]
    texts = aligned[0]["label"].tolist()
    for name, table in zip(members, aligned, strict=True):
        other = [
            f"{image}: {label!r} for {name}, {text!r} for {members[0]}"
            for image, label, text in zip(common, table["label"].tolist(), texts, strict=True)
            if label != text
        ]
        if other:
            raise InputError(
                "members held out the same images with other labels:", details=shorten(other)
            )
    number = {name: position for position, name in enumerate(classes)}
    values = [table[classes].to_numpy(dtype=np.float64) for table in aligned]
    return HeldOut(
        members=members,
        ids=common,
        classes=classes,
        labels=np.array([number[text] for text in texts], dtype=np.int64),
        groups=[groups.get(image, image) for image in common],
        values=clamp(np.ascontiguousarray(np.stack(values)), settings.blend),
    )


def read_held_out_tables(
    run: Path, names: Iterable[str], classes: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """The held-out predictions of members, or of trainings, by name; of those that are complete.

    Args:
        run: runs/<run>.
        names: Of members or of trainings; of a member with folds they are the out-of-fold ones.
        classes: Of the run.

    Raises:
        InputError: As `read_held_out`.
    """
    folders = {name: RunFolder(run).training(name).path for name in names}
    tables = {
        name: read_held_out(folder, classes)
        for name, folder in folders.items()
        if read_record(folder) is not None
    }
    return {name: table for name, table in tables.items() if len(table)}


def read_groups(run: Path) -> dict[str, str]:
    """By id the group of copies of a training image; empty where the run has no index.

    Args:
        run: runs/<run>.

    Raises:
        InputError: The index is damaged.
    """
    index = read_index_if_there(run)
    if index is None:
        return {}
    train = index[index["part"] == "train"]
    return dict(zip(train["id"], train[GROUP], strict=True))


def own_scores(tables: Mapping[str, pd.DataFrame], metric: str) -> dict[str, float]:
    """Each one's score on all images that it held out itself.

    Args:
        tables: From `read_held_out_tables`.
        metric: A name in METRICS.
    """
    return {
        name: score(table.drop(columns="label"), table["label"], metric)
        for name, table in tables.items()
    }


def read_held_out(folder: Path, classes: Sequence[str]) -> pd.DataFrame:
    """A member's valid.csv: id and label as text, a probability per class, in the classes' order.

    Args:
        folder: Of the member, or of a fold of it.
        classes: Of the run.

    Raises:
        InputError: It is missing, not what was written, or not such a table; all that is wrong is
            listed.
    """
    path = TrainingFolder(folder).valid
    table = read_predictions(folder, path.name)
    if set(table.columns) != {"id", "label", *classes}:
        problems = [
            f"columns are {', '.join(table.columns)}; must be id, label, {', '.join(classes)}"
        ]
    else:
        # As read, each column is a block of its own: of a thousand, pandas warns of insertions.
        table = table[["id", "label", *classes]].copy()
        problems = probability_problems(table.drop(columns="label"), "id", classes)
        problems += [
            f"{image}: {label!r} is none of the classes"
            for image, label in zip(table["id"], table["label"], strict=True)
            if label not in classes
        ]
    if problems:
        raise InputError(
            f"{path} does not hold a member's held-out predictions:",
            details=shorten(problems),
            fix="Train the member again in a different run (--run NAME).",
        )
    return table
