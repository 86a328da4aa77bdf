"""The file to hand in: bound to the host's sample by id, and checked against it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from twinrun.config.any_csv import read_sample_csv
from twinrun.errors import InputError, shorten
from twinrun.files import read_csv
from twinrun.names import one_spelling
from twinrun.submission_forms import FORMS, in_one_spelling


def read_submission(path: Path, columns: str = "classes", *, separator: str = ",") -> pd.DataFrame:
    """Read a submission, whose every blank counts.

    Args:
        path: The file.
        columns: `submission.columns` of the settings. Ids and labels are text, also those made of
            digits.
        separator: What the sample's values are separated by.

    Raises:
        InputError: The file is missing or cannot be read as a table.
    """
    form = FORMS.get(columns)
    return read_csv(path, leading=form.key_columns, all_text=form.as_text, separator=separator)


def read_sample(
    path: Path,
    classes: Sequence[str],
    columns: str = "classes",
    known: Collection[str] | None = None,
) -> pd.DataFrame:
    """Read the host's sample submission: ids in its first column, then what is asked for.

    Args:
        path: The file.
        classes: Of the settings.
        columns: `submission.columns` of the settings.
        known: The ids of the test images, where they are known.

    Raises:
        InputError: It is missing, has no rows, other columns, or rows that the form does not have.
    """
    if not path.is_file():
        raise InputError(
            f"no sample submission: {path}",
            fix="Name it with --sample (validate, blend), the data folder with --data, or set "
            "data.sample_submission.",
        )
    form = FORMS.get(columns)
    sample = read_sample_csv(path, leading=form.key_columns, all_text=form.as_text)
    if sample.empty:
        raise InputError(
            f"{path} has no rows: it asks for no image", fix="Fetch the host's file again."
        )
    names = list(sample.columns[1:])
    problem, fix = form.sample_problem(names, classes)
    if problem:
        others = [form.name for form in FORMS if not form.sample_problem(names, classes)[0]]
        if others:
            fix += f" Or set submission.columns to {' or '.join(map(repr, others))}."
        raise InputError(f"{path} has the columns {', '.join(sample.columns)}; {problem}", fix=fix)
    problems = form.images(sample, classes, known)[1]
    if problems:
        raise InputError(
            f"{path} cannot be answered as submission.columns = {columns!r}:",
            details=shorten(problems),
            fix="Fetch the host's file again, or set submission.columns to what it asks for.",
        )
    return sample


def refuse_other_images(
    sample: pd.DataFrame,
    test_ids: Sequence[str],
    path: Path,
    classes: Sequence[str],
    columns: str = "classes",
) -> None:
    """Check before any training that the sample asks for exactly the test images.

    Args:
        sample: From `read_sample`.
        test_ids: Of the test images.
        path: Of the sample, for messages.
        classes: Of the settings.
        columns: `submission.columns` of the settings.

    Raises:
        InputError: With the ids that have no image and the images that are not asked for.
    """
    there = set(test_ids)
    asked = set(FORMS.get(columns).images(sample, classes, there)[0])
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
        As `SubmissionForm.answers`.

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


def bind_to_sample(
    answered: pd.DataFrame,
    sample: pd.DataFrame | None,
    classes: Sequence[str],
    columns: str = "classes",
) -> pd.DataFrame:
    """Answers as they are handed in: in the sample's order and under its names, joined by id.

    What the sample asks for without an answer gets a missing value, and an answer that the sample
    does not ask for is added at the end: both for `submission_problems` to refuse.

    Args:
        answered: From `answers`.
        sample: From `read_sample`, read for the same kind of columns; None where there is none.
        classes: Of the settings.
        columns: `submission.columns` of the settings.
    """
    return FORMS.get(columns).bind(answered, sample, classes)


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
        rows_sum_to_one: Whether each image's sum must be 1, within 1e-6, where the form has
            probabilities of all classes.
    """
    return FORMS.get(columns).problems(submission, sample, classes, rows_sum_to_one=rows_sum_to_one)
