"""Whole files only: written beside their place and moved there, read where they are plain ones.

Everything that reads a file of a user opens it here: a pipe would be waited for without end, a
device such as /dev/zero has no end at all.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twinrun.errors import InputError
from twinrun.plain_files import open_plain, plain, read_bytes, refuse_special, special_kind

if TYPE_CHECKING:
    import pandas as pd

# What an OSError's errno says of a full disk, or a used-up quota.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it there when the block ends well.

    The move is atomic on one file system, so that a reader sees the old file or the new one, and a
    kill leaves no half of either.

    Raises:
        InputError: The folder cannot be written, or the disk is full. What stood at `path` stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        _refuse_replacing(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        # Best effort: on a file system that has just failed, removing may fail as well.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError, *, fix: str = "") -> InputError:
    """The error for a file that cannot be written; without `fix` it is of the folder of runs."""
    if not fix:
        fix = "Choose a different place with --out (a blended file: --output)."
        if error.errno in FULL:
            fix = "Free some space, or choose a different place with --out, and rerun the command."
    return InputError(f"cannot write {path}: {error.strerror or error}", fix=fix)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with Unix line ends, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON with sorted keys, so that equal content is equal bytes."""
    write_text(path, json_text(content))


def json_text(content: Any) -> str:
    """`content` as `write_json` writes it."""
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def is_there(path: Path, *, fix: str = "") -> bool:
    """Whether a file stands at a path; False where nothing does.

    Raises:
        InputError: What stands there is no file: a folder, a link that leads nowhere; or it cannot
            be looked at.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if not path.is_symlink():
            return False
        raise InputError(
            f"{path} is a link to {path.readlink()}, which is not there",
            fix=fix or "Bring that file back, or remove the link.",
        ) from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", fix=fix) from None
    if kind := special_kind(mode):
        raise InputError(
            f"{path} is {kind}, and a file should be there",
            fix=fix or "Move it out of the way.",
        )
    return True


def _refuse_replacing(path: Path) -> None:
    """Raise OSError where a pipe, a socket or a device would be replaced by a file."""
    with suppress(FileNotFoundError, NotADirectoryError):
        mode = path.stat().st_mode
        if not stat.S_ISDIR(mode):  # the system itself says that
            refuse_special(path, mode)


def read_text(path: Path, *, fix: str = "Save it as text in UTF-8.") -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Raises:
        FileNotFoundError: There is none.
        InputError: It cannot be read, or is no such text.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8: {error}", fix=fix) from None


def write_csv(path: Path, table: pd.DataFrame, *, separator: str = ",") -> None:
    """Write a table without its index.

    Floats are written with the fewest digits that read back to the same value of their dtype:
    nine significant digits always hold a float32, seventeen a float64.
    """
    columns = {name: _exact(table[name]) for name in table.columns}
    text = type(table)(columns).to_csv(sep=separator, index=False, lineterminator="\n")
    write_text(path, text)


def as_written(table: pd.DataFrame) -> pd.DataFrame:
    """A table as it is read back when `write_csv` has written it: numbers as float64.

    The fewest digits that tell a float32 from its neighbours are those of another float64.
    """
    floats = [name for name in table.columns if table[name].dtype.kind == "f"]
    return table.assign(**{name: _exact(table[name]).astype("float64") for name in floats})


def _exact(column: pd.Series) -> pd.Series:
    if column.dtype.kind != "f":
        return column
    texts = ["" if np.isnan(value) else str(value) for value in column.to_numpy()]
    return type(column)(texts, index=column.index, dtype=object)


def sha256_file(path: Path) -> str:
    """SHA-256 of the bytes of a file, in hexadecimal.

    Raises:
        OSError: As `open_plain`.
    """
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(content: Any) -> str:
    """SHA-256 of the canonical JSON text of `content`, in hexadecimal."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def exact_floats(version: str) -> dict[str, Any]:
    """The options by which a version of pandas reads each float64 exactly; 3.1 needs none."""
    before = tuple(map(int, version.split(".")[:2])) < (3, 1)
    return {"float_precision": "round_trip"} if before else {}


def read_csv(
    path: Path,
    *,
    text: tuple[str, ...] = (),
    leading: int = 1,
    all_text: bool = False,
    separator: str = ",",
    strip: bool = False,
) -> pd.DataFrame:
    """Read a CSV file, with or without a byte-order mark, with Unix or Windows line ends.

    Args:
        path: The file.
        text: The columns that are text whatever they look like (ids such as `004217`). When the
            tuple is empty, the first columns are.
        leading: How many these are.
        all_text: All columns are text.
        separator: What its values are separated by.
        strip: Blanks after it are no part of a value, as in a table that others wrote.

    Raises:
        InputError: The file is missing, is not text, or is not a table.
    """
    import pandas as pd

    if not is_there(path):
        raise InputError(f"no such file: {path}")
    try:
        others: dict[str, Any] = {"sep": separator, "skipinitialspace": strip}
        header = pd.read_csv(plain(path), nrows=0, encoding="utf-8-sig", index_col=False, **others)
        names = tuple(header.columns) if all_text else text or tuple(header.columns[:leading])
        with warnings.catch_warnings():
            # Rows longer than the header: pandas would drop what is too much and only warn.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table: pd.DataFrame = pd.read_csv(
                plain(path),
                encoding="utf-8-sig",
                index_col=False,
                dtype=dict.fromkeys(names, str),
                keep_default_na=False,
                na_values={
                    name: ["", "NA", "NaN", "nan"] for name in header.columns if name not in names
                },
                **others,
                **exact_floats(pd.__version__),
            )
            return table
    except pd.errors.ParserWarning as error:
        raise InputError(
            f"{path} is not a readable CSV file: rows have more values than the header has columns",
            fix="Save it as comma-separated text in UTF-8, with a point in decimal fractions.",
        ) from error
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path} is not a readable CSV file: {reason}",
            fix="Save it as comma-separated text in UTF-8.",
        ) from error
