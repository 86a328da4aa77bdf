"""What the settings say is to be done about copies and about conflicting labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from twinrun.audit.duplicates import Group
from twinrun.config.sections import Data
from twinrun.data.index import GROUP
from twinrun.errors import InputError, shorten


@dataclass(frozen=True)
class PolicyResult:
    """An index as it is trained on.

    Attributes:
        index: Without the training images that were dropped; images that belong together have the
            group of one of them.
        dropped: Ids of training images, sorted.
    """

    index: pd.DataFrame
    dropped: tuple[str, ...]


def apply_policy(
    index: pd.DataFrame, groups: Sequence[Group], exact: np.ndarray, data: Data
) -> PolicyResult:
    """Drop the training images that the policy drops, and say which images belong together.

    Images of conflicting groups go first, then all but the smallest id of each set of training
    images with the same pixels. Test images always stay.

    Args:
        index: From `with_pixels`.
        groups: From `duplicate_groups`.
        exact: From `copies`.
        data: The settings: duplicates and conflicts.

    Raises:
        InputError: A class has no image left.
    """
    train = (index["part"] == "train").to_numpy()
    gone = np.zeros(len(index), bool)
    if data.conflicts == "drop":
        for group in groups:
            if group.conflict:
                gone[list(group.rows)] = True
        gone &= train
    if data.duplicates == "drop":
        left = np.flatnonzero(train & ~gone)
        # The rows of a part are sorted by id: the first is the smallest.
        gone[left[pd.Series(exact[left]).duplicated().to_numpy()]] = True
    kept = index[~gone]
    lost = sorted(set(index.loc[train, "label"]) - set(kept.loc[kept["part"] == "train", "label"]))
    if lost:
        raise InputError(
            f"dropping images leaves none of the class {', '.join(shorten(lost))}",
            fix="Set data.conflicts to 'keep', and see what `twinrun audit` says of labels.",
        )
    names = index[GROUP].tolist()
    if data.duplicates != "keep":
        for group in groups:
            rows = [row for row in group.rows if not gone[row]]
            if rows:
                # A training image, if there is one: a test image more changes no name then.
                name = names[min(rows, key=lambda row: (not train[row], row))]
                for row in rows:
                    names[row] = name
    kept = kept.assign(**{GROUP: np.array(names, object)[~gone]}).reset_index(drop=True)
    return PolicyResult(kept, tuple(index.loc[gone, "id"]))
