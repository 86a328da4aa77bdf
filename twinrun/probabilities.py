"""Tables of probabilities: what every prediction file and submission must be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.errors import InputError, shorten
from twinrun.files import read_csv

if TYPE_CHECKING:
    import pandas as pd

# Sums of decimal fractions are rounded; this is far above the rounding and far below a slip.
ROW_SUM_TOLERANCE = 1e-6


def probability_problems(
    table: pd.DataFrame,
    id_column: str,
    classes: Sequence[str],
    *,
    rows_sum_to_one: bool = False,
) -> list[str]:
    """Everything that is wrong with a table of probabilities, one line each; empty when nothing is.

    Checked are the columns and their order, ids that stand twice, and values that are missing, not
    numbers, not finite or outside [0, 1]; with `rows_sum_to_one`, rows whose sum is further than
    1e-6 from 1.
    """
    if problems := column_problems(table, [id_column, *classes]):
        return problems
    ids = table[id_column]
    problems = doubled_ids(ids)
    columns = {name: _numbers(table[name]) for name in classes}
    for name, numbers in columns.items():
        given, known = table[name].notna(), numbers.notna()
        outside = known & ~numbers.between(0, 1)
        problems += [f"{image}: nothing in column {name}" for image in ids[~given]]
        problems += [
            f"{image}: {name} holds {value!r}, which is not a number"
            for image, value in zip(
                ids[given & ~known], table[name][given & ~known].tolist(), strict=True
            )
        ]
        problems += [
            f"{image}: {name} is {value}, outside [0, 1]"
            for image, value in zip(ids[outside], numbers[outside], strict=True)
        ]
    if rows_sum_to_one:
        # A row with a value that is no number has no sum, and is among the problems above.
        problems += row_sum_problems(table[[id_column]].assign(**columns))
    return problems


def row_sum_problems(table: pd.DataFrame) -> list[str]:
    """A line for each row whose sum is further than 1e-6 from 1.

    Args:
        table: Ids in the first column, then a column of numbers per class.
    """
    sums = table.iloc[:, 1:].sum(axis=1, skipna=False)
    wrong = (sums - 1).abs() > ROW_SUM_TOLERANCE
    return [
        f"{image}: the row's sum is {total:.9g}, not 1"
        for image, total in zip(table.iloc[:, 0][wrong], sums[wrong], strict=True)
    ]


def column_problems(table: pd.DataFrame, expected: Sequence[str]) -> list[str]:
    """One line when a table has other columns than those expected, in their order."""
    if list(table.columns) == list(expected):
        return []
    return [f"columns are {', '.join(map(str, table.columns))}; must be {', '.join(expected)}"]


def doubled_ids(ids: pd.Series) -> list[str]:
    """A line for each id that stands more than once."""
    return [f"{image}: this id stands more than once" for image in ids[ids.duplicated()].unique()]


def _numbers(column: pd.Series) -> pd.Series:
    """The column as float64; what is not a number, a truth value included, is missing."""
    import pandas as pd

    if column.dtype == bool:
        return pd.Series(float("nan"), index=column.index)
    return pd.to_numeric(column, errors="coerce").astype("float64")


def read_probabilities(path: Path) -> pd.DataFrame:
    """Read a prediction file; of a run's members `run_folder.tables.read_predictions` does.

    Returns:
        As `check_probabilities`.

    Raises:
        InputError: The file is missing, or as `check_probabilities`.
    """
    return check_probabilities(read_csv(path), path)


def check_probabilities(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """A table as a prediction file holds it: an id column, then probabilities per class.

    A column `label`, as in valid.csv, is left out.

    Args:
        table: As it was read.
        path: Where from, for an error.

    Returns:
        The id column as text, the others as float64, in the file's order.

    Raises:
        InputError: It is not such a table; all that is wrong is listed.
    """
    table = table.drop(columns="label", errors="ignore")
    id_column, *classes = table.columns
    if len(classes) < 2:
        raise InputError(
            f"{path}: needs an id column and at least two columns of probabilities, "
            "separated by commas"
        )
    problems = probability_problems(table, id_column, classes)
    if problems:
        raise InputError(f"{path} is not a table of probabilities:", details=shorten(problems))
    return table.astype(dict.fromkeys(classes, "float64"))
