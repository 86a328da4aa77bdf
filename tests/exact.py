"""Tables read back to the last bit, by every version of pandas that we accept."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import pandas as pd

from twinrun.files import exact_floats


def read_exact(source: Path | IO[bytes], **options: Any) -> pd.DataFrame:
    """`pandas.read_csv`, whose default before 3.1 misses a float64 by its last bit now and then."""
    options |= exact_floats(pd.__version__)
    table: pd.DataFrame = pd.read_csv(source, **options)  # noqa: TID251
    return table
