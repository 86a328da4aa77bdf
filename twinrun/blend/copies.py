"""Copies among the test images: which they are, and one answer for all of a set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from twinrun.config.settings import Settings
from twinrun.data.unread import readable
from twinrun.errors import InputError
from twinrun.run_folder.paths import RunFolder
from twinrun.run_folder.tables import read_index_if_there


def find_copies(folder: Path, settings: Settings) -> list[list[str]]:
    """The test images of a run that are to get one answer: those with the same decoded pixels.

    Args:
        folder: runs/<run>.
        settings: submission.copies says whether any are to.

    Returns:
        Their ids: a list for each set of two and more.

    Raises:
        InputError: The run has no index.
    """
    if settings.submission.copies == "keep":
        return []
    index = read_index_if_there(folder)
    if index is None:
        raise InputError(
            f'submission.copies = "mean" needs {RunFolder(folder).index}, which says what are '
            "copies",
            fix="Train the run's members first, or set submission.copies to 'keep'.",
        )
    index = readable(index)
    test = index[index["part"] == "test"]
    groups = test.groupby(copies_column(index), sort=False)["id"]
    return [ids.tolist() for _, ids in groups if len(ids) > 1]


def copies_column(index: pd.DataFrame) -> str:
    """The column of an index by which copies are told: the digests of the largest pixels.

    Where no image was decoded it is that of the files, of which equal ones have equal pixels.
    """
    names = [str(name) for name in index.columns]
    sizes = [int(name.removeprefix("pixels_")) for name in names if name.startswith("pixels_")]
    return f"pixels_{max(sizes)}" if sizes else "sha256"


def average_copies(table: pd.DataFrame, copies: Sequence[Sequence[str]]) -> pd.DataFrame:
    """A table of probabilities in which copies have one answer: the mean of theirs.

    Args:
        table: Ids in the first column, a column of probabilities per class.
        copies: From `find_copies`.
    """
    id_column, *classes = table.columns
    rows = {image: row for row, image in enumerate(table[id_column])}
    values = table[classes].to_numpy(copy=True)
    for ids in copies:
        # In the order of ids: the order in which files are named must not change a bit.
        some = [rows[image] for image in sorted(ids) if image in rows]
        if some:
            values[some] = values[some].mean(axis=0)
    return pd.DataFrame({id_column: table[id_column], **dict(zip(classes, values.T, strict=True))})
