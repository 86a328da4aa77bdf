"""Submissions with a row per image and class: the probability of one class of one image each."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from twinrun.errors import nearest
from twinrun.joined_ids import Cell, take_apart
from twinrun.names import one_spelling
from twinrun.probabilities import column_problems, probability_problems, row_sum_problems
from twinrun.submission_form import Recognised, SampleColumns, SubmissionForm

if TYPE_CHECKING:
    import pandas as pd

_NO_SAMPLE = "Name the right file in data.sample_submission."


class _RowPerClass(SubmissionForm):
    """A form with a row per image and class, whose last column is the probability.

    Attributes:
        own_columns: What the columns before it are called where no sample names them.
        asked: What it holds for each image.
    """

    own_columns: tuple[str, ...]
    asked: str

    def asks_for(self, classes: Sequence[str]) -> str:  # noqa: ARG002
        """As the base class says."""
        return self.asked

    usual_metric = "log_loss"
    as_text = False
    sums_are_lost = False

    @abstractmethod
    def cells(
        self, table: pd.DataFrame, classes: Sequence[str], known: Collection[str] | None = None
    ) -> tuple[list[Cell | None], list[str]]:
        """Image and class of each row, None where there is none; and what is wrong with them.

        Args:
            table: A submission or a sample.
            classes: Of the settings.
            known: The ids of the test images, where they are known.
        """

    @abstractmethod
    def keys(self, cells: Sequence[Cell]) -> list[list[str]]:
        """Of images and classes the texts that name their rows, a list per column."""

    def classes_problem(self, count: int) -> str:  # noqa: ARG002
        """As the base class says."""
        return ""

    def sample_problem(self, columns: Sequence[str], classes: Sequence[str]) -> tuple[str, str]:
        """As the base class says."""
        named = {one_spelling(name) for name in columns}
        if len(columns) == self.key_columns and not named & set(classes):
            return "", ""
        return (
            f"with submission.columns {self.name!r} it must have {self.key_columns + 1} columns: "
            f"{self.words}",
            _NO_SAMPLE,
        )

    def images(
        self, sample: pd.DataFrame, classes: Sequence[str], known: Collection[str] | None = None
    ) -> tuple[list[str], list[str]]:
        """As the base class says: each must have one row for each class."""
        cells, problems = self.cells(sample, classes, known)
        counts = Counter(cell for cell in cells if cell is not None)
        images = list(dict.fromkeys(image for image, _ in counts))
        problems += [f"{_name(cell)}: more than one row" for cell, n in counts.items() if n > 1]
        problems += [
            f"{image}: no row for the class {label}"
            for image in images
            for label in classes
            if (image, label) not in counts
        ]
        return images, problems

    def answers(self, predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
        """As the base class says: image, class and probability, images in their order."""
        import pandas as pd

        ids = predictions[predictions.columns[0]].tolist()
        return pd.DataFrame(
            {
                "id": [image for image in ids for _ in classes],
                "class": list(classes) * len(ids),
                "probability": predictions[list(classes)].to_numpy().ravel(),
            }
        )

    def bind(
        self, answers: pd.DataFrame, sample: pd.DataFrame | None, classes: Sequence[str]
    ) -> pd.DataFrame:
        """As the base class says, joined by id and class."""
        import pandas as pd

        images, labels, values = (answers[name].tolist() for name in answers.columns)
        rows = list(zip(images, labels, strict=True))
        if sample is None:
            keys = dict(zip(self.own_columns, self.keys(rows), strict=True))
            return pd.DataFrame({**keys, "probability": values})
        given = dict(zip(rows, values, strict=True))
        cells, _ = self.cells(sample, classes, set(images))
        asked = set(cells)
        more = [cell for cell in given if cell not in asked]
        *names, last = sample.columns
        columns = {
            name: [*sample[name], *new] for name, new in zip(names, self.keys(more), strict=True)
        }
        missing = float("nan")
        found = [missing if cell is None else given.get(cell, missing) for cell in [*cells, *more]]
        return pd.DataFrame({**columns, last: found})

    def by_image(self, submission: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
        """As the base class says: a column per class."""
        import pandas as pd

        cells, _ = self.cells(submission, classes)
        values = submission[submission.columns[-1]].tolist()
        table: dict[str, dict[str, float]] = {}
        for cell, value in zip(cells, values, strict=True):
            if cell is not None:
                table.setdefault(cell[0], {})[cell[1]] = value
        rows = [[image, *map(row.get, classes)] for image, row in table.items()]
        return pd.DataFrame(rows, columns=["id", *classes])

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
        if wrong := column_problems(submission, header):
            return wrong
        cells, _ = self.cells(sample, classes)
        asked = dict(zip(_row_names(sample), cells, strict=True))
        rows = _row_names(submission)
        table = submission[[header[-1]]].set_axis(["probability"], axis=1)
        table.insert(0, "row", rows)
        problems = [
            problem.replace(": this id stands", ": this row stands")
            for problem in probability_problems(table, "row", ["probability"])
        ]
        there = set(rows)
        lost = [cell for row, cell in asked.items() if cell and row not in there]
        problems += _missing(lost, asked)
        problems += [f"{row}: unknown to the sample" for row in sorted(there - set(asked))]
        if rows_sum_to_one:
            of_rows = [asked.get(row) for row in rows]
            problems += _sum_problems(of_rows, submission[header[-1]], classes)
        return problems


class ClassBesideId(_RowPerClass):
    """A row per image and class: the id, the class, its probability."""

    name = "long"
    words = "a row per image and class: id, class, probability"
    answer = "a row per class: id, class, probability"
    key_columns = 2
    asked = "a row per class with its name and its probability"
    own_columns = ("id", "class")

    def cells(
        self,
        table: pd.DataFrame,
        classes: Sequence[str],
        known: Collection[str] | None = None,  # noqa: ARG002
    ) -> tuple[list[Cell | None], list[str]]:
        """As the base class says."""
        images, column = table[table.columns[0]], table.columns[1]
        labels = table[column].fillna("").astype(str).map(one_spelling)
        unknown = [label for label in dict.fromkeys(labels) if label not in classes]
        problems = [
            f"{column} is {label!r}, no such class, {nearest(label, classes)}".rstrip(", ")
            for label in unknown
        ]
        pairs = zip(images, labels, strict=True)
        return [None if pair[1] in unknown else pair for pair in pairs], problems

    def keys(self, cells: Sequence[Cell]) -> list[list[str]]:
        """As the base class says."""
        return [[image for image, _ in cells], [label for _, label in cells]]

    def recognise(self, sample: SampleColumns) -> Recognised | None:
        """Two columns, of which the first holds all classes."""
        columns = list(sample.values)
        if len(columns) != 2 or sample.values[columns[0]] != set(sample.classes):
            return None
        return Recognised(sure=True)


class IdAndClassJoined(_RowPerClass):
    """A row per image and class: both in one text, and the probability."""

    name = "joined"
    words = "a row per image and class: both in one text such as 004217_cat, probability"
    answer = "a row per class: id_class, probability"
    key_columns = 1
    asked = "a row per class with id and class in one text and its probability"
    own_columns = ("id_class",)

    def cells(
        self, table: pd.DataFrame, classes: Sequence[str], known: Collection[str] | None = None
    ) -> tuple[list[Cell | None], list[str]]:
        """As the base class says; what can be taken apart in two ways is refused."""
        texts = table[table.columns[0]].fillna("").astype(str).tolist()
        apart = take_apart(texts, classes, known)
        if apart.problem:
            return apart.cells, [apart.problem]
        return apart.cells, [
            f"{text}: not an id and a class"
            for text, cell in zip(texts, apart.cells, strict=True)
            if cell is None
        ]

    def keys(self, cells: Sequence[Cell]) -> list[list[str]]:
        """As the base class says."""
        return [["_".join(cell) for cell in cells]]

    def recognise(self, sample: SampleColumns) -> Recognised | None:
        """One column beside texts that are an image and a class each."""
        if len(sample.values) != 1 or not set(sample.images).isdisjoint(sample.keys):
            return None
        cells = take_apart(sample.keys, sample.classes, sample.images).cells
        there = set(sample.images)
        known = sum(cell is not None and cell[0] in there for cell in cells)
        return Recognised(sure=True) if known and 2 * known >= len(cells) else None


def _row_names(table: pd.DataFrame) -> list[str]:
    """What names each row in messages, and in comparisons of a submission with its sample."""
    images, *labels = (table[name].fillna("").astype(str) for name in table.columns[:-1])
    columns = [images, *(each.map(one_spelling) for each in labels)]
    return [", ".join(texts) for texts in zip(*columns, strict=True)]


def _name(cell: Cell) -> str:
    return ", ".join(cell)


def _missing(cells: Sequence[Cell], asked: dict[str, Cell | None]) -> Iterator[str]:
    """A line for each image without any row, and for each row that others of its image have."""
    lost = Counter(image for image, _ in cells)
    rows = Counter(cell[0] for cell in asked.values() if cell)
    for image, count in lost.items():
        if count == rows[image]:
            yield f"{image}: missing"
    for image, label in cells:
        if lost[image] < rows[image]:
            yield f"{image}: no row for the class {label}"


def _sum_problems(
    cells: Sequence[Cell | None], values: pd.Series, classes: Sequence[str]
) -> list[str]:
    """A line for each image whose probabilities, all of them there once, sum to less or more."""
    import pandas as pd

    counts = Counter(cells)
    numbers = pd.to_numeric(values, errors="coerce").tolist()
    by_image: dict[str, dict[str, float]] = {}
    for cell, value in zip(cells, numbers, strict=True):
        if cell is not None and counts[cell] == 1:
            by_image.setdefault(cell[0], {})[cell[1]] = value
    whole = [
        [image, *(row[label] for label in classes)]
        for image, row in by_image.items()
        if len(row) == len(classes)
    ]
    return row_sum_problems(pd.DataFrame(whole, columns=["id", *classes]))
