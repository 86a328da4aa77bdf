"""Columns of numbers: names of classes and grades, or what somebody has measured or counted."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from twinrun.config.csv_tables import MANY_CLASSES

# What has so many rows for each of its numbers may be classes, whatever it is called.
_ROWS_OF_A_CLASS = 12

_NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_FRACTION = re.compile(r"-?\d*\.\d*[1-9]\d*(?:[eE][+-]?\d+)?|-?\d+(?:\.\d+)?[eE]-\d+")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")

# The last word of a column of measured or counted values, and the first of `num_leaves`.
_MEASURES = frozenset(
    (
        *("age", "ages", "amount", "area", "biomass", "bmi", "cost", "count", "counts", "counting"),
        *("days", "density", "depth", "diameter", "distance", "duration", "height", "hours"),
        *("humidity", "income", "latitude", "length", "likes", "longitude", "mass", "minutes"),
        *("months", "percent", "percentage", "popularity", "population", "price", "prices"),
        *("rainfall", "salary", "score", "scores", "seconds", "speed", "temperature", "views"),
        *("volume", "weeks", "weight", "width", "years", "yield"),
    )
)
_COUNTS = frozenset(("count", "n", "no", "num", "number"))
_LABELS = frozenset(("label", "labels"))
# The last word of a column that names classes, also by numbers.
_CLASSES = frozenset(
    (
        *("breed", "category", "class", "code", "diagnosis", "grade", "group", "id"),
        *("identity", "idx", "index", "kind", "level", "name", "species", "stage", "type"),
        *("variety", *_LABELS),
    )
)


def are_numbers(values: Sequence[str]) -> bool:
    """Whether all texts are numbers."""
    return all(map(_NUMBER.fullmatch, values))


def are_measured(column: str, values: Sequence[str], rows: int) -> bool:
    """Whether numbers are measured or counted, and no grades or names of classes.

    Numbers with decimals are, where they are many. Whole ones may be names of classes, also a
    thousand of them: they are measured where some are below zero; where hardly any stands twice,
    unless they are counted up from 0 or 1; and where the column is called so and the numbers say
    so too, which have uneven gaps, or few rows each.

    Args:
        column: What their column is called.
        values: The different ones, without empty texts.
        rows: Of the table.
    """
    if not are_numbers(values):
        return False
    many = len(values) > MANY_CLASSES
    seldom = 2 * len(values) > rows
    few_rows = rows < _ROWS_OF_A_CLASS * len(values)
    if any(map(_FRACTION.fullmatch, values)):
        return many or (len(values) > 2 and seldom)
    # -1 alone says that there is none.
    below = len({float(value) for value in values if float(value) < 0}) > 1
    if below or not many:
        return below and many
    if _is_called_measure(column):
        return few_rows or not _have_even_gaps(values)
    return seldom and not are_counted_up(values) and not _names_classes(column)


def may_be_measured(column: str, values: Sequence[str]) -> bool:
    """Whether many numbers may be names of classes, or measured: nothing tells which.

    A column that is called `label` holds either; numbers without a gap are classes there.

    Args:
        column: What their column is called.
        values: The different ones, without empty texts.
    """
    if len(values) <= MANY_CLASSES or not are_numbers(values):
        return False
    if _words(column)[-1] in _LABELS:
        return not are_counted_up(values)
    return not _names_classes(column)


def are_counted_up(values: Sequence[str]) -> bool:
    """Whether texts are all whole numbers from 0 or 1 to their largest, as those of classes are.

    Args:
        values: The different ones, without empty texts.
    """
    if not values or not are_numbers(values):
        return False
    numbers = {float(value) for value in values}
    whole = all(number.is_integer() for number in numbers)
    return whole and min(numbers) in (0, 1) and max(numbers) - min(numbers) + 1 == len(numbers)


def _have_even_gaps(values: Sequence[str]) -> bool:
    numbers = sorted({float(value) for value in values})
    return len({after - before for before, after in itertools.pairwise(numbers)}) <= 1


def _words(column: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(column)] or [""]


def _is_called_measure(column: str) -> bool:
    words = _words(column)
    counted = len(words) > 1 and words[0] in _COUNTS and words[-1] not in _CLASSES
    return words[-1] in _MEASURES or counted


def _names_classes(column: str) -> bool:
    return _words(column)[-1] in _CLASSES
