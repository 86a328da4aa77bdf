"""The recipe of tests that look at one setting of it."""

from __future__ import annotations

from typing import Any

from twinrun.config.recipe import Member
from twinrun.config.recipe_tables import Epochs, Validation


def recipe(**values: Any) -> Member:
    """A member's recipe with these settings, and no others but what it cannot do without."""
    return Member(
        network="resnet18",
        batch_size=4,
        epochs=Epochs(frozen=1, unfrozen=0),
        validation=Validation(share=0.5),
        **values,
    )
