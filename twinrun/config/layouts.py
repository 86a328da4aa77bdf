"""Every layout of training images and labels, in one table."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from twinrun.config.class_folders import FolderPerClass
from twinrun.config.label_layout import LabelLayout
from twinrun.config.label_table import TableOfLabels
from twinrun.errors import InputError
from twinrun.registry import Registry

if TYPE_CHECKING:
    from twinrun.config.sections import Data

LAYOUTS: Registry[LabelLayout] = Registry("layout", LabelLayout, setting="data.layout")
LAYOUTS.add(FolderPerClass())
LAYOUTS.add(TableOfLabels())


def find_classes(data: Data, folder: Path, unseen: Collection[str] = ()) -> list[str]:
    """The classes that the data folder holds: what `competition.classes = "auto"` stands for.

    Args:
        data: Of the settings.
        folder: The data folder.
        unseen: Classes that no training image is to be of.

    Returns:
        Names in Unicode's form NFC, in the order of their characters' numbers.

    Raises:
        InputError: Fewer than two, or what holds them is missing or cannot be read.
    """
    found = LAYOUTS.get(data.layout).find_classes(data, folder, unseen)
    if len(found.names) < 2:
        number = f"only one, {found.names[0]!r}" if found.names else "none"
        raise InputError(
            f'competition.classes = "auto" needs at least two classes and finds {number}, looking '
            f"at {found.looked_at}",
            fix=found.fix,
        )
    return found.names
