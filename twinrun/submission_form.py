"""What a form of submission has to say for itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SampleColumns:
    """What `init` sees of a sample submission.

    Attributes:
        path: For messages.
        values: Of each column after the ids its different values, as text without empty ones, in
            Unicode's form NFC; by the column's name, in the file's order.
        classes: Of the training images, in their order.
    """

    path: str
    values: Mapping[str, frozenset[str]]
    classes: Sequence[str]


@dataclass(frozen=True)
class Recognised:
    """That a form may be what a sample submission asks for.

    Attributes:
        sure: Of several forms a sure one is taken, and of equally sure ones the table's first.
        open: What the sample leaves open, a phrase each.
    """

    sure: bool
    open: tuple[str, ...] = ()


class SubmissionForm(ABC):
    """A form of submission, and everything that any room asks of it.

    Attributes:
        name: In the settings: submission.columns.
        words: What it holds for each image, for a reader.
        answer: What the template's question calls it.
        usual_metric: The name of the metric that such a competition mostly has.
        as_text: Whether all its values are text, also those made of digits.
        sums_are_lost: Whether it keeps too little of the probabilities to see their sums, so that
            submission.rows_sum_to_one asks it of the blend that it is made from.
    """

    name: str
    words: str
    answer: str
    usual_metric: str
    as_text: bool
    sums_are_lost: bool

    @abstractmethod
    def asks_for(self, classes: Sequence[str]) -> str:
        """What it holds for each image, of a competition of these classes."""

    @abstractmethod
    def classes_problem(self, count: int) -> str:
        """Why it cannot be of so many classes; empty when it can."""

    @abstractmethod
    def sample_problem(self, columns: Sequence[str], classes: Sequence[str]) -> tuple[str, str]:
        """Why a sample's columns cannot be of this form, and how to fix that; or two empty texts.

        Args:
            columns: Their names as the file has them.
            classes: Of the settings.
        """

    @abstractmethod
    def answers(self, predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
        """What is handed in of a prediction.

        Args:
            predictions: Ids in the first column, then a column of probabilities per class, in the
                classes' order.
            classes: Of the settings.

        Returns:
            The column of ids, then the form's own columns.
        """

    @abstractmethod
    def problems(
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

    @abstractmethod
    def recognise(self, sample: SampleColumns) -> Recognised | None:
        """Whether a sample submission asks for this form; None where it does not."""
