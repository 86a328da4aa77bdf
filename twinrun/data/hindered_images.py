"""The error for images whose reading was hindered: it ends every run, whatever the settings say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from twinrun.errors import InputError, shorten


def hindered_images(reasons: Mapping[str, str], total: int, folder: Path) -> InputError:
    """The error for images whose reading was hindered.

    Args:
        reasons: By path.
        total: Of so many images.
        folder: The data folder.
    """
    return InputError(
        f"the reading of {len(reasons)} of {total} images in {folder} was hindered:",
        details=shorten([f"{path}: {reasons[path]}" for path in sorted(reasons)], most=50),
        fix="This is not taken for damage, and no setting goes on without these images. Mend what "
        "the reasons say, and run it again.",
    )
