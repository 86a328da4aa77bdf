"""What the validation of members cannot tell: too few images, folds that lack a class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import pandas as pd

from twinrun.config.settings import Settings
from twinrun.data.folds import absent_classes, fold_ids
from twinrun.data.image_count import ENOUGH, ImageCount
from twinrun.data.index import GROUP
from twinrun.data.splits import validation_ids
from twinrun.errors import shorten


def validation_warnings(settings: Settings, table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """A sentence or two for each thing that a user should know before relying on the scores.

    What ranks a member is all that it held out: a share of the images, or with folds every one.
    Images of one group of copies tell what one of them tells.

    Args:
        settings: Of the run.
        table: The training rows of the index: id, label and group.
        names: The members that are to be trained.

    Raises:
        InputError: Images cannot be dealt out to the folds, or a share leaves too few to train on.
    """
    counts = {share: _held_out(settings, table, share) for share in _shares(settings, names)}
    few: dict[ImageCount, list[str]] = defaultdict(list)
    for name in names:
        count = counts[settings.members[name].validation.share]
        if not count.enough:
            few[count].append(name)
    warnings = [_too_few(few)] if few else []
    warnings += _chance_epochs(settings, table, names, counts)
    for folds in sorted({settings.members[name].validation.folds or 0 for name in names} - {0}):
        parts = fold_ids(table, folds=folds, seed=settings.run.seed)
        lines = absent_classes(table, parts)
        if lines:
            warnings.append(
                f"a class has fewer images than the {folds} folds; its score in a fold without it "
                f"says nothing. {'; '.join(shorten(lines, 5))}"
            )
    return warnings


def _chance_epochs(
    settings: Settings,
    table: pd.DataFrame,
    names: Sequence[str],
    counts: Mapping[float | None, ImageCount],
) -> list[str]:
    """A warning of the members whose best epoch is chosen on few images, if there are any.

    Each fold chooses its own, on the images that it holds out itself.
    """
    groups = dict(zip(table["id"].tolist(), table[GROUP].tolist(), strict=True))
    few = []
    for name in names:
        member = settings.members[name]
        if member.take.epoch == "last":
            continue
        parts = [counts[member.validation.share]]
        if member.validation.folds:
            dealt = fold_ids(table, folds=member.validation.folds, seed=settings.run.seed)
            parts = [ImageCount.of(groups[image] for image in part) for part in dealt]
        fewest = min(parts, key=lambda count: (count.distinct, count.all))
        if not fewest.enough:
            few.append(f"{name} on {fewest.words()}")
    if not few:
        return []
    return [
        f"the best epoch is chosen on fewer than {ENOUGH} images ({'; '.join(shorten(few, 5))}), "
        'which is chance: set take.epoch = "last", or hold out more.'
    ]


def _shares(settings: Settings, names: Sequence[str]) -> set[float | None]:
    """The members' shares, each once; None where a member has folds."""
    return {settings.members[name].validation.share for name in names}


def _held_out(settings: Settings, table: pd.DataFrame, share: float | None) -> ImageCount:
    """How many images a share holds out, or all folds together."""
    groups = dict(zip(table["id"].tolist(), table[GROUP].tolist(), strict=True))
    if share is None:
        return ImageCount.of(groups.values())
    held_out = validation_ids(
        list(groups), share=share, seed=settings.run.seed, groups=list(groups.values())
    )
    return ImageCount.of(groups[image] for image in held_out)


def _too_few(few: Mapping[ImageCount, Sequence[str]]) -> str:
    """The warning of members that are validated on few images, by how many."""
    ordered = sorted(few, key=lambda count: (count.distinct, count.all))
    small, copies = [], any(count.without_copies for count in few)
    for count in ordered:
        beside = f", {count.without_copies}" if count.without_copies else ""
        small.append(f"{', '.join(shorten(few[count], 5))} on {count.all}{beside}")
    fewest = ordered[0].distinct
    return (
        f"members are validated on fewer than {ENOUGH} images"
        f"{', copies counted once' if copies else ''} ({'; '.join(small)}): too few to tell which "
        f"member is the better one: on {fewest}, one more that is right"
        f"{' with its copies is about' if copies else ' is'} {100 / fewest:.1f} percent of "
        "accuracy. Set a larger validation.share, or validation = { folds = 5 }."
    )
