"""What a form of submission has to say for itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SampleColumns:
    """What `init` sees of a sample submission.

    Attributes:
        path: For messages.
        keys: The values of its first column, in its rows' order.
        images: What its ids may be: the names of the test images, with and without extension.
        values: Of each column after the ids its different values, as text without empty ones, in
            Unicode's form NFC; by the column's name, in the file's order.
        classes: Of the training images, in their order.
    """

    path: str
    keys: Sequence[str]
    images: Collection[str]
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

    One with a row per image extends `RowPerImage`, which leaves less to say.

    Attributes:
        name: In the settings: submission.columns.
        words: What it holds for each image, for a reader.
        answer: What the template's question calls it.
        usual_metric: The name of the metric that such a competition mostly has.
        as_text: Whether all its values are text, also those made of digits.
        key_columns: How many columns at its beginning say what a row is of. These are text.
        sums_are_lost: Whether it keeps too little of the probabilities to see their sums, so that
            submission.rows_sum_to_one asks it of the blend that it is made from.
    """

    name: str
    words: str
    answer: str
    usual_metric: str
    as_text: bool
    key_columns: int
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
    def images(
        self, sample: pd.DataFrame, classes: Sequence[str], known: Collection[str] | None = None
    ) -> tuple[list[str], list[str]]:
        """Which images a sample asks for.

        Args:
            sample: As `read_sample` reads it.
            classes: Of the settings.
            known: The ids of the test images, where they are known.

        Returns:
            Their ids, each once and in the sample's order; and what is wrong with its rows, one
            line each.
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
    def bind(
        self, answers: pd.DataFrame, sample: pd.DataFrame | None, classes: Sequence[str]
    ) -> pd.DataFrame:
        """Answers as they are handed in: in the sample's rows and columns, under its names.

        What the sample asks for and is not answered is missing, and what it does not ask for comes
        at the end: both for `problems` to name.

        Args:
            answers: From `answers`.
            sample: As `read_sample` reads it; None where there is none, and the answers'
                order and names of their own do.
            classes: Of the settings.
        """

    @abstractmethod
    def by_image(self, submission: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
        """A submission with a row per image, to be compared with another one.

        Args:
            submission: As `read_submission` reads it.
            classes: Of the settings.

        Returns:
            The column of ids, then columns of values; a missing one where there is none.
        """

    @abstractmethod
    def problems(
        self,
        submission: pd.DataFrame,
        sample: pd.DataFrame,
        classes: Sequence[str],
        *,
        rows_sum_to_one: bool,
    ) -> list[str]:
        """Everything that is wrong with a submission, one line each; rows may be in any order.

        Args:
            submission: As `read_submission` reads it.
            sample: Likewise.
            classes: Of the settings.
            rows_sum_to_one: As submission.rows_sum_to_one.
        """

    @abstractmethod
    def recognise(self, sample: SampleColumns) -> Recognised | None:
        """Whether a sample submission asks for this form; None where it does not."""
