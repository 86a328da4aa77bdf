"""Submissions with a row per image: what their forms share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from twinrun.names import one_spelling
from twinrun.probabilities import doubled_ids
from twinrun.submission_form import SubmissionForm

if TYPE_CHECKING:
    import pandas as pd


class RowPerImage(SubmissionForm):
    """A form with a row per image: the id, then what it holds."""

    key_columns = 1

    @abstractmethod
    def value_problems(
        self,
        submission: pd.DataFrame,
        header: Sequence[str],
        classes: Sequence[str],
        *,
        rows_sum_to_one: bool,
    ) -> list[str]:
        """Everything that is wrong with a submission's columns and values, one line each.

        Args:
            submission: As `read_submission` reads it.
            header: The sample's columns, the one of ids first.
            classes: Of the settings.
            rows_sum_to_one: As submission.rows_sum_to_one.
        """

    def images(
        self,
        sample: pd.DataFrame,
        classes: Sequence[str],  # noqa: ARG002
        known: Collection[str] | None = None,  # noqa: ARG002
    ) -> tuple[list[str], list[str]]:
        """As the base class says: the first column, in which no id may stand twice."""
        ids = sample[sample.columns[0]]
        return list(dict.fromkeys(ids)), doubled_ids(ids)

    def bind(
        self,
        answers: pd.DataFrame,
        sample: pd.DataFrame | None,
        classes: Sequence[str],  # noqa: ARG002
    ) -> pd.DataFrame:
        """As the base class says; joined by id, and columns by their names where there are many."""
        if sample is None:
            return answers
        id_column, *names = sample.columns
        by_id = answers.set_index(answers.columns[0])
        if len(names) > 1:
            by_id = by_id[[one_spelling(name) for name in names]]
        by_id = by_id.set_axis(names, axis=1)
        asked = sample[id_column].tolist()
        known = set(asked)
        unknown = [image for image in by_id.index if image not in known]
        return by_id.reindex([*asked, *unknown]).rename_axis(id_column).reset_index()

    def by_image(self, submission: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:  # noqa: ARG002
        """The submission itself."""
        return submission

    def problems(
        self,
        submission: pd.DataFrame,
        sample: pd.DataFrame,
        classes: Sequence[str],
        *,
        rows_sum_to_one: bool,
    ) -> list[str]:
        """As the base class says."""
        header = list(sample.columns)
        problems = self.value_problems(submission, header, classes, rows_sum_to_one=rows_sum_to_one)
        if header[0] not in submission.columns:
            return problems
        asked, there = set(sample[header[0]]), set(submission[header[0]].dropna())
        problems += [f"{image}: missing" for image in sorted(asked - there)]
        problems += [f"{image}: unknown to the sample" for image in sorted(there - asked)]
        return problems
