"""What the validation of members cannot tell: too few images, folds that lack a class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pandas as pd

from twinrun.config.settings import Settings
from twinrun.data.folds import absent_classes, fold_ids
from twinrun.data.splits import held_out_count
from twinrun.errors import shorten

# With fewer, one image more or less on the right side moves accuracy by more than 3 percent, and
# what is fitted follows chance.
ENOUGH = 30


def validation_warnings(settings: Settings, table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """A sentence or two for each thing that a user should know before relying on the scores.

    What ranks a member is all that it held out: a share of the images, or with folds every one.

    Args:
        settings: Of the run.
        table: The training rows of the index.
        names: The members that are to be trained.

    Raises:
        InputError: Images cannot be dealt out to the folds.
    """
    few: dict[int, list[str]] = defaultdict(list)
    counts = set()
    for name in names:
        validation = settings.members[name].validation
        if validation.folds:
            counts.add(validation.folds)
        held_out = len(table)
        if validation.share is not None:
            held_out = held_out_count(len(table), validation.share)
        if held_out < ENOUGH:
            few[held_out].append(name)
    warnings = []
    if few:
        small = [f"{', '.join(shorten(few[count], 5))} on {count}" for count in sorted(few)]
        warnings.append(
            f"members are validated on fewer than {ENOUGH} images ({'; '.join(small)}): too few to "
            f"tell which member is the better one: on {min(few)}, one more that is right is "
            f"{100 / min(few):.1f} percent of accuracy. Set a larger validation.share, or "
            "validation = { folds = 5 }."
        )
    for folds in sorted(counts):
        parts = fold_ids(table, folds=folds, seed=settings.run.seed)
        lines = absent_classes(table, parts)
        if lines:
            warnings.append(
                f"a class has fewer images than the {folds} folds; its score in a fold without it "
                f"says nothing. {'; '.join(shorten(lines, 5))}"
            )
    return warnings
