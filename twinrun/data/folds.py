"""Training images in folds: each image held out once, duplicates together, classes even."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from twinrun.config.settings import Settings
from twinrun.data.index import GROUP
from twinrun.errors import InputError, shorten
from twinrun.repro.keys import Key

_FIX = "Set a smaller validation.folds, add images, or hold out a validation.share."


def fold_ids(table: pd.DataFrame, *, folds: int, seed: int) -> list[list[str]]:
    """The ids that each fold holds out, in sorted order.

    Dealt out by `stratified_parts`, by a key of the seed and not of the member, so that every
    member has the same folds.

    Args:
        table: The training rows of the index: id, label and group.
        folds: How many, at least 2.
        seed: Of the run.

    Raises:
        InputError: Too few images or groups, or some training part would lack a class.
    """
    ids = table["id"].tolist()
    groups = name_by_first(ids, table[GROUP].tolist())
    rows = sorted(zip(ids, table["label"], groups, strict=True))
    return [list(part) for part in _deal_out(tuple(rows), folds, seed)]


def name_by_first(ids: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Of each image its group, called after the first of its images in sorted order.

    However whoever found a group has called it, its name then decides nothing.

    Args:
        ids: Of the images.
        groups: Of each image the name of its group.
    """
    first: dict[str, str] = {}
    for image, name in sorted(zip(ids, groups, strict=True)):
        first.setdefault(name, image)
    return [first[name] for name in groups]


def stratified_parts(
    labels: Sequence[object], groups: Sequence[str], count: int, key: Key
) -> list[npt.NDArray[np.int64]]:
    """Images in parts, groups whole and classes even; the positions that each part holds out.

    Groups are dealt out by scikit-learn's StratifiedGroupKFold: the largest and most one-sided
    first, each to the part to which it brings the classes closest to even. Among equals their order
    decides, which the key draws from their sorted names: not the order of the images.

    Args:
        labels: Of each image, in the order of the ids.
        groups: Of each image, from `name_by_first`.
        count: Of parts, at least 2; not more than there are groups, or images of the largest class.
        key: Draws the order of the groups.
    """
    # A second to import, which a run without folds can do without.
    from sklearn.model_selection import StratifiedGroupKFold

    names = sorted(set(groups))
    ranks = {names[position]: rank for rank, position in enumerate(key.order(names))}
    with warnings.catch_warnings():
        # Of a class with fewer images than parts; `absent_classes` says which, and where.
        warnings.simplefilter("ignore", UserWarning)
        splits = StratifiedGroupKFold(count).split(
            np.zeros(len(labels)), labels, [ranks[group] for group in groups]
        )
        return [np.asarray(held_out, dtype=np.int64) for _, held_out in splits]


def check_folds(settings: Settings, table: pd.DataFrame, members: Iterable[str]) -> None:
    """Find out before any training whether the members' folds can be dealt out.

    Args:
        settings: Of the run.
        table: The training rows of the index.
        members: Names.

    Raises:
        InputError: As `fold_ids`.
    """
    for folds in sorted({settings.members[name].validation.folds or 0 for name in members} - {0}):
        fold_ids(table, folds=folds, seed=settings.run.seed)


def absent_classes(table: pd.DataFrame, parts: Sequence[Sequence[str]]) -> list[str]:
    """A line for each class of which some fold holds out no image, for a warning.

    Args:
        table: The training rows of the index.
        parts: From `fold_ids`.
    """
    labels = dict(zip(table["id"], table["label"], strict=True))
    counts = [Counter(labels[image] for image in part) for part in parts]
    lines = []
    for name in sorted(set(labels.values())):
        without = [str(number) for number, count in enumerate(counts, 1) if not count[name]]
        if without:
            images = sum(count[name] for count in counts)
            many = "folds" if len(without) > 1 else "fold"
            lines.append(f"{name}: {images} images, none in {many} {', '.join(without)}")
    return lines


@lru_cache(maxsize=4)  # 10 s or more for 100,000 images, and every training asks
def _deal_out(
    rows: tuple[tuple[str, str, str], ...], folds: int, seed: int
) -> tuple[tuple[str, ...], ...]:
    """The ids of each fold, of rows (id, label, group) that are sorted by id."""
    _refuse_too_few(rows, folds)
    labels, groups = [label for _, label, _ in rows], [group for *_, group in rows]
    split = stratified_parts(labels, groups, folds, Key((seed, "folds")))
    parts = [sorted(rows[row][0] for row in part) for part in split]
    _refuse_lost_classes(rows, parts)
    return tuple(tuple(part) for part in parts)


def _refuse_too_few(rows: Sequence[tuple[str, str, str]], folds: int) -> None:
    groups = {group for *_, group in rows}
    counts = Counter(label for _, label, _ in rows)
    alike = " groups of duplicates and single" if len(groups) < len(rows) else " training"
    if len(groups) < folds or len(rows) < folds + 1:
        raise InputError(
            f"{len(groups)}{alike} images cannot be dealt out to {folds} folds", fix=_FIX
        )
    if max(counts.values()) < folds:
        raise InputError(
            f"every class has fewer images than the {folds} folds:",
            details=[f"{name}: {count}" for name, count in sorted(counts.items())],
            fix=_FIX,
        )


def _refuse_lost_classes(
    rows: Sequence[tuple[str, str, str]], parts: Sequence[Sequence[str]]
) -> None:
    """A network that never sees a class cannot learn it, and its fold would say nothing."""
    labels = {image: label for image, label, _ in rows}
    total = Counter(labels.values())
    lost = []
    for number, part in enumerate(parts, 1):
        held_out = Counter(labels[image] for image in part)
        lost += [
            f"{name}: all of its images ({count}) are held out by fold {number}"
            for name, count in sorted(held_out.items())
            if count == total[name]
        ]
    if lost:
        raise InputError(
            f"{len(parts)} folds would leave a training without a class:",
            details=shorten(lost),
            fix="Add images of the class (more than one, and no duplicates of each other), or "
            "hold out a validation.share.",
        )
