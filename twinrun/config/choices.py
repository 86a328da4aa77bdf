"""A setting that names an entry of a table, which is asked at each check."""

from __future__ import annotations

from typing import Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from twinrun.registry import Registry


def name_in(table: Registry[Any], *others: str) -> BeforeValidator:
    """A check of a setting: the name of an entry of a table, asked whenever settings are read.

    Args:
        table: Of what may be chosen.
        others: What may be said in place of a name, such as "auto".
    """

    def check(name: Any) -> Any:
        if isinstance(name, str) and (name in table or name in others):
            return name
        known = ", ".join([*table.names, *others])
        raise PydanticCustomError("literal_error", "a name of a table", {"expected": known})

    return BeforeValidator(check)
