"""What decides bits, told by what does something: what does nothing is left out.

Neutral means "does nothing", such as a mixup of 0 or a training in one process. It is declared
where there is such a value, and never means "the default". So a setting or a fact that is new
leaves what was recorded without it as it is, and a default that changes is a change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Neutral:
    """Declares, in a field's metadata, at which value a setting does nothing.

    Attributes:
        value: That value. For a table of settings a dictionary of those in it that are enough to
            make it do nothing, whatever the others are.
    """

    value: Any


@dataclass(frozen=True)
class Beside:
    """Declares, in a field's metadata, that a setting decides no bit, whatever its value."""


def without_neutral(values: Mapping[str, Any], neutral: Mapping[str, Any]) -> dict[str, Any]:
    """The values that do something.

    Args:
        values: By name.
        neutral: By name the value at which one does nothing; of the others none is left out.
    """
    return {
        name: value
        for name, value in values.items()
        if name not in neutral or value != neutral[name]
    }
