"""The file to hand in: bound to the host's sample by id, and checked against it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from twinrun.errors import InputError, shorten
from twinrun.files import read_csv
from twinrun.names import one_spelling
from twinrun.submission_forms import FORMS, in_one_spelling


def read_submission(path: Path, columns: str = "classes") -> pd.DataFrame:
    """Read a submission or a sample of one.

    Args:
        path: The file.
        columns: `submission.columns` of the settings. Labels are text, also those made of digits.

    Raises:
        InputError: The file is missing or cannot be read as a table.
    """
    return read_csv(path, all_text=FORMS.get(columns).as_text)


def read_sample(path: Path, classes: Sequence[str], columns: str = "classes") -> pd.DataFrame:
    """Read the host's sample submission: an id column, then what is asked for.

    Args:
        path: The file.
        classes: Of the settings.
        columns: `submission.columns` of the settings.

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
    problem, fix = FORMS.get(columns).sample_problem(names, classes)
    if problem:
        others = [form.name for form in FORMS if not form.sample_problem(names, classes)[0]]
        if others:
            fix += f" Or set submission.columns to {' or '.join(map(repr, others))}."
        raise InputError(f"{path} has the columns {', '.join(sample.columns)}; {problem}", fix=fix)
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
        The id column, then the columns of that form of submission.

    Raises:
        InputError: The predictions are of other classes.
    """
    id_column, *names = predictions.columns
    if in_one_spelling(names) != in_one_spelling(classes):
        raise InputError(
            f"the predictions are of the classes {', '.join(names)}; "
            f"the settings have the classes {', '.join(classes)}",
            fix="Fix competition.classes, or blend the right files.",
        )
    ordered = predictions.set_axis([id_column, *map(one_spelling, names)], axis=1)
    ordered = ordered[[id_column, *classes]]
    return FORMS.get(columns).answers(ordered, classes)


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
    classes: Sequence[str],
    columns: str = "classes",
    *,
    rows_sum_to_one: bool,
) -> list[str]:
    """Everything that is wrong with a submission, one line each; empty when it is valid.

    The rows may stand in any order: they are compared by id.

    Args:
        submission: As it is or will be on disk, ids as text.
        sample: From `read_sample`.
        classes: Of the settings.
        columns: `submission.columns` of the settings.
        rows_sum_to_one: Whether each row's sum must be 1, within 1e-6, where it has probabilities
            of all classes.
    """
    id_column = sample.columns[0]
    problems = FORMS.get(columns).problems(
        submission, list(sample.columns), classes, rows_sum_to_one=rows_sum_to_one
    )
    if id_column not in submission.columns:
        return problems
    asked, there = set(sample[id_column]), set(submission[id_column].dropna())
    problems += [f"{image}: missing" for image in sorted(asked - there)]
    problems += [f"{image}: unknown to the sample" for image in sorted(there - asked)]
    return problems
