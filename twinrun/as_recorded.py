"""A run as its last command left it: what can be blended before its data has been looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from twinrun.audit.audit import Audit
from twinrun.config.settings import Settings
from twinrun.data.index import data_digest
from twinrun.data.pixels import Pixels
from twinrun.data.wide_values import ValueRange
from twinrun.prepare import Prepared
from twinrun.repro.environment import set_up
from twinrun.run_folder.manifest import read_manifest_if_there, recorded_range
from twinrun.run_folder.tables import read_index_if_there


def as_recorded(
    settings: Settings,
    folder: Path,
    environment: dict[str, Any] | None = None,
    *,
    mixed: bool = False,
) -> Prepared | None:
    """A run with the index that its last command wrote: for one that is stopped before it is ready.

    Neither the data nor the cache is looked at, so that it can be blended and recorded, and not
    trained.

    Args:
        settings: Of the run.
        folder: runs/<run>.
        environment: As for `prepare.prepare`.
        mixed: As for `Prepared`.

    Returns:
        None where there is no such record, or it is not of the sizes that the settings ask for.

    Raises:
        InputError: A record is damaged.
    """
    if read_manifest_if_there(folder) is None:
        return None
    index, found = read_index_if_there(folder), recorded_range(folder)
    scale = ValueRange(*found) if found else None
    pixels = {size: Pixels(size, Path(), pd.DataFrame(), scale) for size in settings.cached_sizes()}
    if index is None or any(each.column not in index for each in pixels.values()):
        return None
    environment = environment or set_up(
        threads=settings.run.threads,
        device=settings.run.device,
        workers=settings.run.workers,
        packages=settings.code.packages,
    )
    return Prepared(
        settings,
        folder,
        index,
        pixels,
        settings.sample_path(),
        environment,
        data_digest(index),
        Audit((), (), index, index, (), {}, {}),
        mixed,
    )
