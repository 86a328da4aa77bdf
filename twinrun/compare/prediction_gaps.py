"""How far two files of predictions are apart: probabilities, top classes, ranks, held-out score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twinrun.compare.bits import unequal_bits
from twinrun.config.any_csv import separator_of
from twinrun.errors import InputError
from twinrun.files import read_csv
from twinrun.submission_forms import FORMS

if TYPE_CHECKING:
    import pandas as pd

    from twinrun.metrics import Values


@dataclass(frozen=True)
class PredictionGap:
    """Two files of predictions of the same images and classes, in numbers.

    Attributes:
        member: A training's title, a member, or "blend" for a submission.
        file: The file's name.
        images: How many both predict.
        largest: The largest difference of a probability; infinite where one is no number.
        mean: The mean of the absolute differences.
        tops: Images whose likeliest class, the first of equals, is a different one.
        far_tops: Those of them in which either file has the two classes as far apart as the bound.
        ranks: Numbers whose rank in their class's column changed. The rank of a number is how many
            images have a smaller one: what a metric of ranks, such as the AUC, looks at.
        ranked: How many numbers were ranked: images times classes.
        rank_move: By how many ranks at the most.
        scores: By the competition's metric, of the first file and of the second; None for images
            without labels. nan where it is not defined.
    """

    member: str
    file: str
    images: int
    largest: float
    mean: float
    tops: int
    far_tops: int
    ranks: int
    ranked: int
    rank_move: int
    scores: tuple[float, float] | None


class UnlikePredictions(InputError):
    """Two files predict different images or classes, or give images different labels."""


def compare_predictions(
    member: str, first: Path, second: Path, metric: str, bound: float
) -> PredictionGap:
    """Compare two files valid.csv or test.csv.

    Args:
        member: Whose they are, for a reader.
        first: The one that was there before.
        second: The other one.
        metric: A name in METRICS, by which labelled images are scored.
        bound: See `PredictionGap.far_tops`.

    Raises:
        UnlikePredictions: As it says, with the reason.
        InputError: A file is missing or damaged.
    """
    tables = [read_csv(path, text=("id", "label")) for path in (first, second)]
    columns = list(tables[0].columns)
    if "id" not in columns or set(columns) != set(tables[1].columns):
        raise UnlikePredictions("different classes")
    ours, theirs = _by_id([table[columns] for table in tables], "id")
    if "label" in columns and ours["label"].tolist() != theirs["label"].tolist():
        raise UnlikePredictions("the images have different labels")
    classes = [name for name in columns if name not in ("id", "label")]
    values = [_numbers(table, classes, path) for table, path in ((ours, first), (theirs, second))]
    scores = None
    if "label" in columns:
        scores = (_score(ours, metric), _score(theirs, metric))
    return measure_gap(member, first.name, *values, scores=scores, bound=bound)


def compare_submissions(
    first: Path, second: Path, *, columns: str, classes: Sequence[str], bound: float
) -> PredictionGap:
    """Compare two submissions.

    Of one column of probabilities, the other class's is what is missing to 1. Of a column of
    classes' names, a different one is a changed top class, by a difference of 1: how close two
    classes were is no longer in it.

    Args:
        first: A submission.csv.
        second: The other one.
        columns: What they hold, a name in FORMS.
        classes: Of the settings.
        bound: See `PredictionGap.far_tops`.

    Raises:
        UnlikePredictions: They are of different images, or have other columns.
        InputError: A file is missing or damaged.
    """
    form = FORMS.get(columns)
    read = [
        read_csv(
            path,
            leading=form.key_columns,
            all_text=form.as_text,
            separator=separator_of(path),
        )
        for path in (first, second)
    ]
    if set(read[0].columns) != set(read[1].columns) or len(read[0].columns) <= form.key_columns:
        raise UnlikePredictions("different columns")
    tables = [form.by_image(table, classes) for table in read]
    id_column, *held = tables[0].columns
    ours, theirs = _by_id(tables, id_column)
    if form.as_text:
        names = [table[held[0]].to_numpy(dtype=object) for table in (ours, theirs)]
        known = np.unique(np.concatenate(names).astype(str))
        values = [(column.astype(str)[:, None] == known).astype(np.float64) for column in names]
    else:
        values = [_numbers(table, held, path) for table, path in ((ours, first), (theirs, second))]
        if len(held) == 1:
            values = [np.concatenate([1 - each, each], axis=1) for each in values]
    return measure_gap("blend", first.name, *values, scores=None, bound=bound)


def score_of(valid: Path, metric: str) -> float:
    """The score of held-out predictions by a metric; nan where it is not defined.

    Raises:
        UnlikePredictions: A label is none of the classes.
        InputError: The file is missing or damaged.
    """
    return _score(read_csv(valid, text=("id", "label")), metric)


def measure_gap(
    member: str,
    file: str,
    first: Values,
    second: Values,
    *,
    scores: tuple[float, float] | None,
    bound: float,
) -> PredictionGap:
    """The numbers of two arrays of probabilities: float64, a row per image, a column per class."""
    with np.errstate(invalid="ignore"):
        gaps = np.where(unequal_bits(first, second), np.abs(first - second), 0.0)
    gaps = np.where(np.isnan(gaps), np.inf, gaps)
    rows = np.arange(len(first))
    tops = [values.argmax(axis=1) for values in (first, second)]
    changed = tops[0] != tops[1]
    apart = np.maximum(
        first[rows, tops[0]] - first[rows, tops[1]], second[rows, tops[1]] - second[rows, tops[0]]
    )
    moves = np.abs(_ranks(first) - _ranks(second))
    return PredictionGap(
        member=member,
        file=file,
        images=len(first),
        largest=float(gaps.max(initial=0.0)),
        mean=float(gaps.mean()) if gaps.size else 0.0,
        tops=int(changed.sum()),
        far_tops=int((changed & ~(apart < bound)).sum()),
        ranks=int((moves > 0).sum()),
        ranked=int(moves.size),
        rank_move=int(moves.max(initial=0)),
        scores=scores,
    )


def _ranks(values: Values) -> np.ndarray:
    """Of each number how many of its column are smaller."""
    columns = [np.searchsorted(np.sort(column), column) for column in values.T]
    return np.stack(columns, axis=1) if columns else np.zeros(values.shape, np.int64)


def _by_id(tables: Sequence[pd.DataFrame], id_column: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tables, their rows by id."""
    ours, theirs = (each.sort_values(id_column).reset_index(drop=True) for each in tables)
    if not len(ours) or ours[id_column].tolist() != theirs[id_column].tolist():
        raise UnlikePredictions("different images")
    return ours, theirs


def _score(held_out: pd.DataFrame, metric: str) -> float:
    from twinrun.metrics import score

    try:
        return score(held_out.drop(columns="label"), held_out["label"], metric)
    except KeyError as error:
        raise UnlikePredictions(f"a label is none of the classes: {error}") from None


def _numbers(table: pd.DataFrame, classes: Sequence[str], path: Path) -> Values:
    try:
        values: Values = table[list(classes)].to_numpy(dtype=np.float64)
    except ValueError as error:
        raise UnlikePredictions(f"{path.name} holds what is no number: {error}") from None
    return values
