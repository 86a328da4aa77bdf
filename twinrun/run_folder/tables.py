"""Reads and writes the tables of a run by their schemas; names what is damaged.

What has a recorded digest is compared with it first. The columns of predictions are the classes:
whoever asks for them checks these.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.errors import InputError
from twinrun.files import is_there, read_csv, whole_file
from twinrun.plain_files import plain
from twinrun.run_folder.manifest import is_as_recorded
from twinrun.run_folder.paths import RunFolder, TrainingFolder
from twinrun.run_folder.records import checked_file, read_record

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
_RERUN = "Rerun the command that made the run to have a new one."


def read_index(run: Path) -> pd.DataFrame:
    """The images of a run, as the audit's policy left them.

    Raises:
        InputError: It is missing or damaged, not the one that the manifest records, or has not
            these columns.
    """
    path = RunFolder(run).index
    is_as_recorded(run, path, fix=_RERUN)
    # Not pandas.read_parquet: what it raises for a damaged file depends on the damage.
    table = _read_parquet(path, _INDEX)
    index: pd.DataFrame = table.to_pandas(use_threads=False)
    return index


def read_index_if_there(run: Path) -> pd.DataFrame | None:
    """As `read_index`; None where the run has none."""
    return read_index(run) if is_as_recorded(run, RunFolder(run).index, fix=_RERUN) else None


def write_index(run: Path, index: pd.DataFrame) -> None:
    """Write a run's index.parquet.

    Raises:
        InputError: The folder cannot be written.
    """
    with whole_file(RunFolder(run).index) as temporary:
        index.to_parquet(temporary, index=False)


def read_predictions(folder: Path, file: str) -> pd.DataFrame:
    """What a complete training predicted, as it was written down: compared with its digest first.

    Args:
        folder: Of a member, or of a fold of it.
        file: valid.csv or test.csv.

    Returns:
        id as text, in valid.csv label as text, a column per class; in the file's order.

    Raises:
        InputError: As `checked_file`, or it is no table.
    """
    return read_csv(checked_file(folder, file), text=("id", "label"))


def read_history(path: Path) -> pd.DataFrame:
    """A training's history.csv: a row for each epoch, losses in nats, seconds.

    Of a complete training it is compared with its digest first.

    Raises:
        InputError: It is missing or damaged, or has not these columns.
    """
    from twinrun.metrics import HISTORY_COLUMNS  # imports pandas, as reading the file does

    fix = "Remove the member's folder to train it again."
    if read_record(path.parent) is not None:
        checked_file(path.parent, path.name)
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


def has_history(folder: Path) -> bool:
    """Whether a training has a history.csv, or has lost one that its record names.

    Args:
        folder: Of a member, or of a fold of it. A member with folds has none of its own.
    """
    path = TrainingFolder(folder).history
    return is_there(path) or path.name in (read_record(folder) or {"guards": {}})["guards"]


def _lacks(table: pd.DataFrame, name: str) -> bool:
    return name in table and bool(table[name].isna().any())


def _read_parquet(path: Path, kinds: dict[str, str]) -> pa.Table:
    import pyarrow as pa
    from pyarrow import parquet

    fix = _RERUN
    if not is_there(path):
        raise InputError(f"no such file: {path}", fix=fix)
    try:
        table = parquet.ParquetFile(plain(path)).read(use_threads=False)
        table.validate(full=True)
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
