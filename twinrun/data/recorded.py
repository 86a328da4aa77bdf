"""The images of a recorded run, decoded as it decoded them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from twinrun.config.settings import Settings
from twinrun.data.cache import cache_pixels
from twinrun.data.decode_settings import DecodeSettings
from twinrun.data.pixels import Pixels
from twinrun.data.unread import readable
from twinrun.run_folder.manifest import recorded_range
from twinrun.run_folder.tables import read_index


def recorded_images(
    run: Path, settings: Settings, sizes: Sequence[int]
) -> tuple[pd.DataFrame, dict[int, Pixels]]:
    """The index of a run, and its images from the cache, decoded anew where they are not in it.

    Args:
        run: runs/<run>.
        settings: Of its manifest.
        sizes: To which they are decoded.

    Raises:
        InputError: The run's record or data cannot be read.
    """
    index = read_index(run)
    pixels = cache_pixels(
        readable(index),
        settings.data_folder,
        sizes,
        settings.cache_folder(run.parent),
        # The images that the audit left out may reach further than those of the index.
        how=DecodeSettings.of(settings, recorded_range(run)),
    )
    return index, pixels
