"""The file to hand in: bound to the host's sample by id, and checked against it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from competition.ensemble.probabilities import probability_problems
from competition.errors import InputError, shorten
from competition.files import read_csv


def read_sample(path: Path, classes: Sequence[str]) -> pd.DataFrame:
    """Read the host's sample submission: an id column, then a column per class, in any order.

    Raises:
        InputError: It is missing, its columns are not the classes, or an id stands twice.
    """
    if not path.is_file():
        raise InputError(
            f"no sample submission: {path}",
            mend="Name it with --sample (validate, blend), the data folder with --data, or set "
            "data.sample_submission.",
        )
    sample = read_csv(path)
    id_column, *columns = sample.columns
    if sorted(columns) != sorted(classes):
        raise InputError(
            f"{path} has the columns {', '.join(columns)}; "
            f"the settings have the classes {', '.join(classes)}",
            mend="Mend competition.classes, or name the right file in data.sample_submission.",
        )
    doubled = sample[id_column][sample[id_column].duplicated()].tolist()
    if doubled:
        raise InputError(f"{path} has ids more than once:", details=shorten(doubled))
    return sample


def refuse_other_images(sample: pd.DataFrame, test_ids: Sequence[str], path: Path) -> None:
    """Check before any training that the sample asks for exactly the test images.

    Raises:
        InputError: With the ids that have no image and the images that are not asked for.
    """
    asked, there = set(sample.iloc[:, 0]), set(test_ids)
    problems = [
        f"{image}: in the sample, but no such test image" for image in sorted(asked - there)
    ]
    problems += [f"{image}: a test image, but not in the sample" for image in sorted(there - asked)]
    if problems:
        raise InputError(
            f"{path} does not match the test images:",
            details=shorten(problems),
            mend="Fetch the data again; if the sample's ids end like file names, set data.ids to "
            "'name'.",
        )


def bind_to_sample(predictions: pd.DataFrame, sample: pd.DataFrame) -> pd.DataFrame:
    """Predictions in the sample's row and column order and under its column names, joined by id.

    An id of the sample without a prediction gets a row of missing values, and a prediction that
    the sample does not ask for is added at the end: both for `submission_problems` to refuse.
    """
    id_column, *classes = sample.columns
    by_id = predictions.set_index(predictions.columns[0])[classes]
    asked = sample[id_column].tolist()
    unknown = [image for image in by_id.index if image not in set(asked)]
    return by_id.reindex([*asked, *unknown]).rename_axis(id_column).reset_index()


def submission_problems(
    submission: pd.DataFrame, sample: pd.DataFrame, *, rows_sum_to_one: bool
) -> list[str]:
    """Everything that is wrong with a submission, one line each; empty when it is valid.

    The rows may stand in any order: they are compared by id.

    Args:
        submission: As it is or will be on disk, ids as text.
        sample: From `read_sample`.
        rows_sum_to_one: Whether each row's sum must be 1, within 1e-6.
    """
    id_column, *classes = sample.columns
    problems = probability_problems(submission, id_column, classes, rows_sum_to_one=rows_sum_to_one)
    if id_column not in submission.columns:
        return problems
    asked, there = set(sample[id_column]), set(submission[id_column].dropna())
    problems += [f"{image}: missing" for image in sorted(asked - there)]
    problems += [f"{image}: unknown to the sample" for image in sorted(there - asked)]
    return problems
