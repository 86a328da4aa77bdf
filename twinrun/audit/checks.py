"""The table of the audit's checks, in the order in which findings of one severity are listed."""

from __future__ import annotations

from twinrun.audit.check import Check
from twinrun.audit.copy_checks import Across, FileCopies, Labels, NearCopies, PixelCopies
from twinrun.audit.image_checks import (
    Blank,
    Dark,
    Extension,
    Metadata,
    Mode,
    Orientation,
    Part,
    PassedOver,
    Shape,
    Small,
    Unreadable,
)
from twinrun.audit.label_checks import MetadataLeaks, Single
from twinrun.audit.value_checks import Unseen, Values
from twinrun.registry import Registry

CHECKS: Registry[Check] = Registry("check of the audit", Check)
for _check in (
    Unreadable(),
    Unseen(),
    Part(),
    Blank(),
    Dark(),
    Shape(),
    Small(),
    PassedOver(),
    Extension(),
    Values(),
    Mode(),
    Orientation(),
    Metadata(),
    Single(),
    FileCopies(),
    PixelCopies(),
    NearCopies(),
    Labels(),
    Across(),
    MetadataLeaks(),
):
    CHECKS.add(_check)
