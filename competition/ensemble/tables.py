"""Tables of probabilities: what every prediction file and submission must be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from competition.errors import InputError, shorten
from competition.files import read_csv

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
    expected = [id_column, *classes]
    if list(table.columns) != expected:
        return [f"columns are {', '.join(map(str, table.columns))}; must be {', '.join(expected)}"]
    ids = table[id_column]
    columns = {name: pa.Column(float, pa.Check.in_range(0, 1), coerce=True) for name in classes}
    schema = pa.DataFrameSchema({id_column: pa.Column(str, unique=True), **columns})
    try:
        schema.validate(table, lazy=True)
    except pa.errors.SchemaErrors as error:
        # A column that is not all numbers fails its range check as a whole as well, which says
        # nothing more. Each row of a doubled id is a failure; once is enough.
        failures = error.failure_cases.dropna(subset="index").to_dict("records")
        return list(dict.fromkeys(_in_words(failure, ids) for failure in failures))
    if rows_sum_to_one:
        sums = table[list(classes)].sum(axis=1)
        wrong = (sums - 1).abs() > ROW_SUM_TOLERANCE
        return [
            f"{image}: the row's sum is {total:.9g}, not 1"
            for image, total in zip(ids[wrong], sums[wrong], strict=True)
        ]
    return []


def _in_words(failure: dict[str, object], ids: pd.Series) -> str:
    value, column, check = failure["failure_case"], failure["column"], str(failure["check"])
    image = ids.iloc[int(str(failure["index"]))]
    if check == "field_uniqueness":
        return f"{value}: this id stands more than once"
    if check == "not_nullable":
        return f"{image}: nothing in column {column}"
    if check.startswith("in_range"):
        return f"{image}: {column} is {value}, outside [0, 1]"
    return f"{image}: {column} holds {value!r}, which is not a number"


def read_probabilities(path: Path) -> pd.DataFrame:
    """Read a prediction file: an id column, then a column of probabilities per class.

    A column `label`, as in valid.csv, is left out.

    Returns:
        The id column as text, the others as float64, in the file's order.

    Raises:
        InputError: The file is missing or is not such a table; all that is wrong is listed.
    """
    table = read_csv(path)
    table = table.drop(columns="label", errors="ignore")
    id_column, *classes = table.columns
    if len(classes) < 2:
        raise InputError(f"{path}: needs an id column and at least two columns of probabilities")
    problems = probability_problems(table, id_column, classes)
    if problems:
        raise InputError(f"{path} is not a table of probabilities:", details=shorten(problems))
    return table.astype(dict.fromkeys(classes, "float64"))
