"""A submission, written and checked: what is handed in of a blend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from twinrun.blend.after import change_after
from twinrun.blend.copies import average_copies
from twinrun.blend.submission import (
    answers,
    bind_to_sample,
    read_sample,
    read_submission,
    submission_problems,
)
from twinrun.config.any_csv import SEPARATORS, separator_of
from twinrun.config.settings import Settings
from twinrun.errors import NegativeVerdict, shorten
from twinrun.files import write_csv
from twinrun.probabilities import row_sum_problems
from twinrun.submission_forms import FORMS


def write_submission(
    blended: pd.DataFrame,
    settings: Settings,
    sample_path: Path | None,
    output: Path,
    *,
    copies: Sequence[Sequence[str]] = (),
) -> None:
    """Write what a submission asks for of a blend, bound to the sample and checked.

    Args:
        blended: Ids in the first column, then probabilities per class.
        settings: What is asked of a submission, and the competitor's own last change of it.
        sample_path: The host's sample submission; the blend decides ids and order when None.
        output: The file to write.
        copies: As for `average_copies`.

    Raises:
        NegativeVerdict: It is no valid submission, and is not written.
        InputError: The sample cannot be read, or as `change_after`.
    """
    if copies:
        blended = average_copies(blended, copies)
    blended = change_after(blended, settings)
    columns, problems = settings.submission.columns, list[str]()
    if FORMS.get(columns).sums_are_lost and settings.submission.rows_sum_to_one:
        problems = row_sum_problems(blended)
    classes, sample = settings.asked_classes, None
    if sample_path is not None:
        ids = blended[blended.columns[0]].tolist()
        sample = read_sample(sample_path, classes, columns, known=ids)
    answered = answers(_with_unseen(blended, settings), classes, columns)
    blended = bind_to_sample(answered, sample, classes, columns)
    problems += _problems(blended, blended if sample is None else sample, settings)
    _refuse("the blend, which was not written,", problems)
    # As the sample has it: that is what the host's checker reads.
    write_csv(output, blended, separator=separator_of(sample_path) if sample_path else ",")


def _with_unseen(blended: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Probabilities with those of the classes that no training image is of, which are 0."""
    return blended.assign(**dict.fromkeys(settings.submission.unseen, 0.0))


def validate_file(path: Path, settings: Settings, sample_path: Path) -> int:
    """Check a submission against the sample; the number of its rows.

    Raises:
        NegativeVerdict: It is not valid; everything that is wrong is listed.
        InputError: A file is missing or cannot be read as a table.
    """
    columns = settings.submission.columns
    sample = read_sample(sample_path, settings.asked_classes, columns)
    separator, own = separator_of(sample_path), separator_of(path)
    submission = read_submission(path, columns, separator=separator)
    if own != separator and list(submission.columns) != list(sample.columns):
        raise NegativeVerdict(
            f"{path} is not a valid submission: its values are separated by {SEPARATORS[own]}, and "
            f"the sample's by {SEPARATORS[separator]}"
        )
    _refuse(str(path), _problems(submission, sample, settings))
    return len(submission)


def _problems(submission: pd.DataFrame, sample: pd.DataFrame, settings: Settings) -> list[str]:
    asked = settings.submission
    return submission_problems(
        submission,
        sample,
        settings.asked_classes,
        asked.columns,
        rows_sum_to_one=asked.rows_sum_to_one,
    )


def _refuse(what: str, problems: Sequence[str]) -> None:
    if problems:
        sums = any("row's sum" in problem for problem in problems)
        raise NegativeVerdict(
            f"{what} is not a valid submission:",
            details=shorten(problems, most=20),
            fix="Set blend.renormalise = true to bring the rows to a sum of 1." if sums else "",
        )
