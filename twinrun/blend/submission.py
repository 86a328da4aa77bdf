"""The file to hand in: bound to the host's sample by id, and checked against it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from twinrun.blend.probabilities import (
    column_problems,
    doubled_ids,
    probability_problems,
)
from twinrun.errors import InputError, nearest, shorten
from twinrun.files import read_csv
from twinrun.names import one_spelling


def read_submission(path: Path, columns: str = "classes") -> pd.DataFrame:
    """Read a submission or a sample of one.

    Args:
        path: The file.
        columns: `submission.columns` of the settings. Labels are text, also those made of digits.

    Raises:
        InputError: The file is missing or cannot be read as a table.
    """
    return read_csv(path, all_text=columns == "label")


def read_sample(path: Path, classes: Sequence[str], columns: str = "classes") -> pd.DataFrame:
    """Read the host's sample submission: an id column, then what is asked for.

    Args:
        path: The file.
        classes: Of the settings.
        columns: `submission.columns` of the settings: "classes" for a column per class, in any
            order; "label" or "probability" for one column of any name.

    Raises:
        InputError: It is missing, has other columns, or an id stands twice.
    """
    if not path.is_file():
        raise InputError(
            f"no sample submission: {path}",
            fix="Name it with --sample (validate, blend), the data folder with --data, or set "
            "data.sample_submission.",
        )
    sample = read_submission(path, columns)
    id_column, *names = sample.columns
    if columns != "classes" and len(names) != 1:
        raise InputError(
            f"{path} has the columns {', '.join(sample.columns)}; with submission.columns "
            f"{columns!r} it must have a column of ids and one more",
            fix="Set submission.columns, or name the right file in data.sample_submission.",
        )
    if columns == "classes" and _in_one_spelling(names) != _in_one_spelling(classes):
        one_column = len(names) == 1
        raise InputError(
            f"{path} has the columns {', '.join(names)}; "
            f"the settings have the classes {', '.join(classes)}",
            fix="Fix competition.classes, or name the right file in data.sample_submission."
            + one_column * " For one column set submission.columns to 'label' or 'probability'.",
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
            fix="Fetch the data again; if the sample's ids end like file names, set data.ids to "
            "'name'.",
        )


def answers(predictions: pd.DataFrame, classes: Sequence[str], columns: str) -> pd.DataFrame:
    """Probabilities as a submission gives them.

    Args:
        predictions: An id column, then a column of probabilities per class, in any order.
        classes: Of the settings.
        columns: `submission.columns` of the settings.

    Returns:
        The id column, then, for "classes", the probabilities in the classes' order; for "label", a
        column of the likeliest class, in the settings' order the first of equals; for
        "probability", a column of the last class's probability.

    Raises:
        InputError: The predictions are of other classes.
    """
    id_column, *names = predictions.columns
    if _in_one_spelling(names) != _in_one_spelling(classes):
        raise InputError(
            f"the predictions are of the classes {', '.join(names)}; "
            f"the settings have the classes {', '.join(classes)}",
            fix="Fix competition.classes, or blend the right files.",
        )
    ordered = predictions.set_axis([id_column, *map(one_spelling, names)], axis=1)
    ordered = ordered[[id_column, *classes]]
    if columns == "classes":
        return ordered
    if columns == "probability":
        return ordered[[id_column, classes[-1]]].set_axis([id_column, "probability"], axis=1)
    likeliest = ordered[list(classes)].to_numpy().argmax(axis=1)
    return pd.DataFrame(
        {id_column: ordered[id_column], "label": [classes[number] for number in likeliest]}
    )


def bind_to_sample(predictions: pd.DataFrame, sample: pd.DataFrame) -> pd.DataFrame:
    """Predictions in the sample's row and column order and under its column names, joined by id.

    An id of the sample without a prediction gets a row of missing values, and a prediction that
    the sample does not ask for is added at the end: both for `submission_problems` to refuse.

    Args:
        predictions: From `answers`.
        sample: From `read_sample`, read for the same kind of columns.
    """
    id_column, *names = sample.columns
    by_id = predictions.set_index(predictions.columns[0])
    if len(names) > 1:
        by_id = by_id[[one_spelling(name) for name in names]]
    by_id = by_id.set_axis(names, axis=1)
    asked = sample[id_column].tolist()
    known = set(asked)
    unknown = [image for image in by_id.index if image not in known]
    return by_id.reindex([*asked, *unknown]).rename_axis(id_column).reset_index()


def submission_problems(
    submission: pd.DataFrame,
    sample: pd.DataFrame,
    *,
    rows_sum_to_one: bool,
    labels: Sequence[str] = (),
) -> list[str]:
    """Everything that is wrong with a submission, one line each; empty when it is valid.

    The rows may stand in any order: they are compared by id.

    Args:
        submission: As it is or will be on disk, ids as text.
        sample: From `read_sample`.
        rows_sum_to_one: Whether each row's sum must be 1, within 1e-6.
        labels: The classes, where a row names one of them; empty where it holds probabilities.
    """
    id_column, *names = sample.columns
    if labels:
        problems = _label_problems(submission, id_column, names[0], labels)
    else:
        problems = probability_problems(
            submission, id_column, names, rows_sum_to_one=rows_sum_to_one
        )
    if id_column not in submission.columns:
        return problems
    asked, there = set(sample[id_column]), set(submission[id_column].dropna())
    problems += [f"{image}: missing" for image in sorted(asked - there)]
    problems += [f"{image}: unknown to the sample" for image in sorted(there - asked)]
    return problems


def _label_problems(
    table: pd.DataFrame, id_column: str, column: str, classes: Sequence[str]
) -> list[str]:
    if problems := column_problems(table, [id_column, column]):
        return problems
    ids = table[id_column]
    problems = doubled_ids(ids)
    given = table[column].fillna("").astype(str)
    problems += [f"{image}: nothing in column {column}" for image in ids[given == ""]]
    spelled = given.map(one_spelling)
    unknown = {label for label in spelled if label and label not in classes}
    # Once for each text: a whole column may be written otherwise.
    said = {label: f"{label!r}, no such class, {nearest(label, classes)}" for label in unknown}
    problems += [
        f"{image}: {column} is {said[label]}".rstrip(", ")
        for image, label in zip(ids, spelled, strict=True)
        if label in unknown
    ]
    return problems


def _in_one_spelling(names: Iterable[str]) -> list[str]:
    return sorted(map(one_spelling, names))
