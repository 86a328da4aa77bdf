"""What a submission holds beside its ids: each form that a host may ask for, in one table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from twinrun.errors import nearest, shorten
from twinrun.names import one_spelling
from twinrun.probabilities import column_problems, doubled_ids, probability_problems
from twinrun.registry import Registry
from twinrun.submission_cells import ClassBesideId, IdAndClassJoined
from twinrun.submission_form import Recognised, SampleColumns, SubmissionForm
from twinrun.submission_rows import RowPerImage

if TYPE_CHECKING:
    import pandas as pd


class ProbabilityPerClass(RowPerImage):
    """A column of probabilities per class, in the sample's order."""

    name = "classes"
    words = "a column of probabilities per class"
    answer = "a probability per class"
    usual_metric = "log_loss"
    as_text = False
    sums_are_lost = False

    def asks_for(self, classes: Sequence[str]) -> str:  # noqa: ARG002
        """As the base class says."""
        return self.answer

    def classes_problem(self, count: int) -> str:  # noqa: ARG002
        """As the base class says."""
        return ""

    def sample_problem(self, columns: Sequence[str], classes: Sequence[str]) -> tuple[str, str]:
        """As the base class says."""
        if in_one_spelling(columns) == in_one_spelling(classes):
            return "", ""
        return (
            f"the settings have the classes {', '.join(classes)}",
            "Fix competition.classes, or name the right file in data.sample_submission.",
        )

    def answers(self, predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:  # noqa: ARG002
        """The predictions themselves."""
        return predictions

    def value_problems(
        self,
        submission: pd.DataFrame,
        header: Sequence[str],
        classes: Sequence[str],  # noqa: ARG002
        *,
        rows_sum_to_one: bool,
    ) -> list[str]:
        """As the base class says."""
        return probability_problems(
            submission, header[0], header[1:], rows_sum_to_one=rows_sum_to_one
        )

    def recognise(self, sample: SampleColumns) -> Recognised | None:
        """Several columns, which are the classes."""
        columns = list(sample.values)
        several = len(columns) > 1
        return (
            Recognised(sure=True)
            if several and in_one_spelling(columns) == in_one_spelling(sample.classes)
            else None
        )


class _OneColumn(RowPerImage):
    """One column beside the ids, whatever its name is."""

    def sample_problem(self, columns: Sequence[str], classes: Sequence[str]) -> tuple[str, str]:  # noqa: ARG002
        """As the base class says."""
        if len(columns) == 1:
            return "", ""
        return (
            f"with submission.columns {self.name!r} it must have a column of ids and one more",
            "Name the right file in data.sample_submission.",
        )


class LikeliestClass(_OneColumn):
    """One column: the likeliest class, of equally likely ones the settings' first."""

    name = "label"
    words = "one column, the class's name"
    answer = "the likeliest class"
    usual_metric = "accuracy"
    as_text = True
    sums_are_lost = False

    def asks_for(self, classes: Sequence[str]) -> str:  # noqa: ARG002
        """As the base class says."""
        return self.answer

    def classes_problem(self, count: int) -> str:  # noqa: ARG002
        """As the base class says."""
        return ""

    def answers(self, predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
        """As the base class says, in a column `label`."""
        likeliest = predictions[list(classes)].to_numpy().argmax(axis=1)
        id_column = predictions.columns[0]
        return predictions[[id_column]].assign(label=[classes[number] for number in likeliest])

    def value_problems(
        self,
        submission: pd.DataFrame,
        header: Sequence[str],
        classes: Sequence[str],
        *,
        rows_sum_to_one: bool,  # noqa: ARG002
    ) -> list[str]:
        """As the base class says."""
        if wrong := column_problems(submission, list(header)):
            return wrong
        id_column, column = header
        ids = submission[id_column]
        problems: list[str] = doubled_ids(ids)
        given = submission[column].fillna("").astype(str)
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

    def recognise(self, sample: SampleColumns) -> Recognised | None:
        """One column; surely where its values are classes."""
        if len(sample.values) != 1:
            return None
        ((column, values),) = sample.values.items()
        where = f"whether column {column!r} of {sample.path} asks for a class"
        if not values or not values <= set(sample.classes):
            examples = ", ".join(shorten(sorted(values), 3)) or "empty"
            return Recognised(
                sure=False,
                open=(f"{where}'s name, as it is taken: its values are no classes ({examples})",),
            )
        if len(sample.classes) == 2 and _are_probabilities(values):
            either = f"its values ({', '.join(sorted(values))}) may be either"
            return Recognised(
                sure=True, open=(f"{where}, as it is taken, or for a probability: {either}",)
            )
        return Recognised(sure=True)


class LastProbability(_OneColumn):
    """One column: of two classes the probability of the last one."""

    name = "probability"
    words = "one column, of two classes the last one's probability"
    answer = "the last class's probability"
    usual_metric = "auc"
    as_text = False
    sums_are_lost = True

    def asks_for(self, classes: Sequence[str]) -> str:
        """As the base class says."""
        return f"the probability of {classes[-1]}"

    def classes_problem(self, count: int) -> str:
        """As the base class says."""
        return "" if count == 2 else "it is of the last of exactly two classes"

    def answers(self, predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
        """As the base class says, in a column `probability`."""
        id_column = predictions.columns[0]
        return predictions[[id_column, classes[-1]]].set_axis([id_column, self.name], axis=1)

    def value_problems(
        self,
        submission: pd.DataFrame,
        header: Sequence[str],
        classes: Sequence[str],  # noqa: ARG002
        *,
        rows_sum_to_one: bool,  # noqa: ARG002
    ) -> list[str]:
        """As the base class says."""
        return probability_problems(submission, header[0], header[1:])

    def recognise(self, sample: SampleColumns) -> Recognised | None:
        """One column of numbers that are no classes, or an empty one that a class is named as."""
        if len(sample.values) != 1 or len(sample.classes) != 2:
            return None
        ((column, values),) = sample.values.items()
        named = one_spelling(column).lower() in (name.lower() for name in sample.classes)
        if (values <= set(sample.classes) and values) or not _are_probabilities(values):
            return None
        if not values and not named:
            return None
        last = f"taken as that of {sample.classes[-1]!r}, the last class"
        question = f"which class's probability column {column!r} of {sample.path} asks for: {last}"
        return Recognised(sure=True, open=() if named else (question,))


def recognise_form(sample: SampleColumns) -> tuple[SubmissionForm, Recognised] | None:
    """The form that a sample submission asks for, and what it leaves open; None for none."""
    found = [(form, seen) for form in FORMS if (seen := form.recognise(sample)) is not None]
    return min(found, key=lambda each: not each[1].sure, default=None)


def in_one_spelling(names: Iterable[str]) -> list[str]:
    """Names in Unicode's form NFC, sorted: for a comparison."""
    return sorted(map(one_spelling, names))


def _are_probabilities(values: Iterable[str]) -> bool:
    try:
        return all(0 <= float(value) <= 1 for value in values)
    except ValueError:
        return False


FORMS: Registry[SubmissionForm] = Registry(
    "form of submission", SubmissionForm, setting="submission.columns"
)
FORMS.add(ProbabilityPerClass())
FORMS.add(ClassBesideId())
FORMS.add(IdAndClassJoined())
FORMS.add(LikeliestClass())
FORMS.add(LastProbability())
