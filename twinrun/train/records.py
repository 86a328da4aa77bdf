"""Small classes that hold values by names, taken apart and made again: none of their code runs."""

from __future__ import annotations

import dataclasses
import enum
import sys
from collections.abc import Mapping
from typing import Any

# What holds values beside those of its names.
_HOLD_MORE = (tuple, list, dict, set, frozenset, str, bytes, int, float, BaseException)


def is_record(value: Any) -> bool:
    """Whether a value is a named tuple, or an object of a dataclass."""
    return _is_named(type(value)) or _is_dataclass(type(value))


def is_frozen(value: Any) -> bool:
    """Whether a record cannot be changed in its place."""
    return _is_named(type(value)) or type(value).__dataclass_params__.frozen


def values_of(record: Any) -> dict[str, Any]:
    """The values of a record, by the names of its class."""
    kind = type(record)
    names = kind._fields if _is_named(kind) else [each.name for each in dataclasses.fields(kind)]
    return {name: getattr(record, name) for name in names if hasattr(record, name)}


def why_not_again(record: Any) -> str:
    """Why a record cannot be made again from its values; empty: it can."""
    kind = type(record)
    if not class_name(kind):
        return (
            f"of the class {kind.__name__}, which no name at the top level of a file leads to, so "
            "that it could not be found again: define it there"
        )
    beside = sorted(getattr(record, "__dict__", {}).keys() - values_of(record).keys())
    if beside:
        return f"of the class {kind.__name__}, and has {', '.join(beside)} beside its fields"
    if not _is_named(kind) and isinstance(record, _HOLD_MORE):
        return f"of the class {kind.__name__}, and holds more than its fields"
    return ""


def class_name(kind: type) -> str:
    """The name by which `find_class` finds a class: "hooks:Best"; empty: none does."""
    name = f"{kind.__module__}:{kind.__qualname__}"
    return name if find_class(name) is kind else ""


def find_class(name: str) -> type | None:
    """The class of records, or the enumeration, of a name; None: it is not there, or is neither."""
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type):
        return None
    known = _is_named(found) or _is_dataclass(found) or issubclass(found, enum.Enum)
    return found if known else None


def make_again(kind: type, values: Mapping[str, Any]) -> Any:
    """A record of a class with these values."""
    if _is_named(kind):
        return tuple.__new__(kind, values.values())
    made: Any = object.__new__(kind)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


def _is_named(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def _is_dataclass(kind: type) -> bool:
    return dataclasses.is_dataclass(kind)
