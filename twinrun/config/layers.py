"""Tables of settings over each other: what a layer names wins, what it does not stays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twinrun.config.recipe_tables import Validation

# To hold images out; a table names one of them.
_WAYS = frozenset(Validation.model_fields)


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """A table with another one laid over it, key by key, and so in the tables within."""
    result = dict(base)
    for key, value in change.items():
        below = result.get(key)
        if key == "validation" and isinstance(below, Mapping) and isinstance(value, Mapping):
            # Of its two ways the one that is named above takes the other's place.
            named = _WAYS & value.keys()
            below = {way: of for way, of in below.items() if not named or way not in _WAYS - named}
        # A table over a text or a number takes its place, for the check to refuse where it must.
        tables = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[key] = over(below, value) if tables else value
    return result


def over(below: Any, above: Any) -> Any:
    """A table of the file under a layer's; what is no table stays, for the check to refuse."""
    if below is None or not isinstance(above, Mapping):
        return above
    return merge(below, above) if isinstance(below, Mapping) else below
