"""Reads and writes the tables of a run by their schemas; names what is damaged.

Predictions have a column for each class: `blend.held_out` and `blend.out_of_fold` read these.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.errors import InputError
from twinrun.files import read_csv, whole_file
from twinrun.run_folder.paths import RunFolder

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# index.parquet: a row for each image. Beside these it has a digest of the decoded pixels for each
# size, in `pixels_<size>`.
_INDEX = {
    "part": "text",
    "id": "text",
    "label": "text",
    "path": "text",
    "bytes": "int64",
    "sha256": "text",
    "group": "text",
}
# history.csv: a row for each epoch: HISTORY_COLUMNS, and one of the competition's metric. A score
# may be nan.
_HISTORY_TEXT = ("phase",)


def read_index(run: Path) -> pd.DataFrame:
    """The images of a run, as the audit's policy left them.

    Raises:
        InputError: It is missing or damaged, or has not these columns.
    """
    path = RunFolder(run).index
    # Not pandas.read_parquet: what it raises for a damaged file depends on the damage.
    table = _read_parquet(path, _INDEX)
    index: pd.DataFrame = table.to_pandas(use_threads=False)
    return index


def write_index(run: Path, index: pd.DataFrame) -> None:
    """Write a run's index.parquet.

    Raises:
        InputError: The folder cannot be written.
    """
    with whole_file(RunFolder(run).index) as temporary:
        index.to_parquet(temporary, index=False)


def read_history(path: Path) -> pd.DataFrame:
    """A training's history.csv: a row for each epoch, losses in nats, seconds.

    Raises:
        InputError: It is missing or damaged, or has not these columns.
    """
    from twinrun.metrics import HISTORY_COLUMNS  # imports pandas, as reading the file does

    fix = "Remove the member's folder to train it again."
    try:
        table = read_csv(path, text=_HISTORY_TEXT)
    except InputError as error:
        raise InputError(error.what, fix=fix) from None
    numbers = [name for name in table.columns if name not in _HISTORY_TEXT]
    problems = [
        *(f"{name}: missing" for name in HISTORY_COLUMNS if name not in table),
        *(f"{name}: not numbers" for name in numbers if table[name].dtype.kind not in "if"),
        *(f"{name}: not in each row" for name in ("epoch", "seconds") if _lacks(table, name)),
    ]
    _refuse(path, problems, fix)
    return table


def _lacks(table: pd.DataFrame, name: str) -> bool:
    return name in table and bool(table[name].isna().any())


def _read_parquet(path: Path, kinds: dict[str, str]) -> pa.Table:
    import pyarrow as pa
    from pyarrow import parquet

    fix = "Rerun the command that made the run to have a new one."
    try:
        table = parquet.ParquetFile(path).read(use_threads=False)
        table.validate(full=True)
    except FileNotFoundError:
        raise InputError(f"no such file: {path}", fix=fix) from None
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is damaged: {reason}", fix=fix) from None
    fields = {field.name: _kind(field.type) for field in table.schema}
    problems = [
        f"{name}: missing" if name not in fields else f"{name}: {fields[name]}, must be {kind}"
        for name, kind in kinds.items()
        if fields.get(name) != kind
    ]
    _refuse(path, problems, fix)
    return table


def _kind(kind: pa.DataType) -> str:
    import pyarrow as pa

    text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return "text" if any(each(kind) for each in text) else str(kind)


def _refuse(path: Path, problems: Sequence[str], fix: str) -> None:
    if problems:
        raise InputError(
            f"{path} is damaged: it has not the columns of such a table:",
            details=problems,
            fix=fix,
        )
