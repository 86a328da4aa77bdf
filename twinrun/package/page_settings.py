"""The settings that decide a run's result, for a page: what members share, and what they do not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PageSettings:
    """Settings as a reader compares them: names as on the command line, values as JSON.

    Attributes:
        tables: Of each table of the settings its values by name, and under "recipe" what all
            members share.
        own: The names of what is not the same for all members.
        members: By member its values of these, in their order; empty where it has none.
    """

    tables: dict[str, dict[str, str]]
    own: list[str]
    members: dict[str, list[str]]


def page_settings(settings: Mapping[str, Any]) -> PageSettings:
    """The settings of a run as its manifest has them: all that decides bits and does something."""
    recipes = {name: dict(_flat(recipe)) for name, recipe in settings["members"].items()}
    names = list(dict.fromkeys(name for recipe in recipes.values() for name in recipe))
    shared, own = {}, []
    for name in names:
        values = {recipe.get(name) for recipe in recipes.values()}
        value = values.pop() if len(values) == 1 else None
        if value is None:
            own.append(name)
        else:
            shared[name] = value
    tables = {
        name: dict(_flat(table)) for name, table in settings.items() if isinstance(table, Mapping)
    }
    tables["recipe"] = shared
    del tables["members"]
    return PageSettings(
        tables={name: table for name, table in tables.items() if table},
        own=own,
        members={name: [recipe.get(key, "") for key in own] for name, recipe in recipes.items()},
    )


def _flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", json.dumps(value, ensure_ascii=False)
