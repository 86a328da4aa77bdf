"""The numbers that settings may hold and their bounds, as the fields of the settings have them."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from twinrun.config.recipe import Member
from twinrun.config.settings import Settings


@dataclass(frozen=True)
class Number:
    """A number in the settings.

    Attributes:
        key: Of the setting, dotted, as --set has it.
        shape: What holds the number: "" the setting itself, "list" an interval of two of them,
            "table" a number to a name.
        bounds: The smallest and the largest that is allowed.
        least: The next one above the smallest: of fractions a number that a library may not know.
        beyond: The next ones on the other side of the bounds; None where there is no bound.
    """

    key: str
    shape: str
    bounds: tuple[float, float]
    least: float
    beyond: tuple[float | None, float | None]

    def at_bounds(self, names: Sequence[Sequence[str]]) -> Iterator[str]:
        """The setting's values at the bounds, as TOML.

        Args:
            names: Of each kind that a table may have a number for: classes, members.
        """
        low, high = self.bounds
        if self.shape == "list":
            yield from map(_toml, ([low, low], [low, self.least], [low, high], [high, high]))
            return
        for value in (low, self.least, high):
            yield from self._holding(value, names)

    def beyond_bounds(self, names: Sequence[Sequence[str]]) -> Iterator[str]:
        """The setting's values just beyond the bounds, as TOML."""
        for value, inside in zip(self.beyond, self.bounds, strict=True):
            if value is None:
                continue
            if self.shape == "list":
                yield _toml(sorted([value, inside]))
            else:
                yield from self._holding(value, names)

    def _holding(self, value: float, names: Sequence[Sequence[str]]) -> Iterator[str]:
        if self.shape == "table":
            for kind in names:
                yield "{ " + ", ".join(f"{_toml(name)} = {_toml(value)}" for name in kind) + " }"
        else:
            yield _toml(value)


def numbers() -> list[Number]:
    """Every number of the settings: of their tables, and of a recipe."""
    found: list[Number] = []
    for section, field in Settings.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            for name, each in model.model_fields.items():
                found += _of_field(f"{section}.{name}", each)
    for name, each in Member.known_keys().items():
        found += _of_field(f"recipe.{name}", each)
    return found


def _of_field(key: str, field: FieldInfo) -> Iterator[Number]:
    kind: Any = field.annotation
    for each in field.metadata:
        kind = Annotated[kind, each]
    schema = TypeAdapter[Any](kind).json_schema()
    yield from _of_schema(key, schema, schema.get("$defs", {}), "")


def _of_schema(
    key: str, schema: Mapping[str, Any], definitions: Mapping[str, Any], shape: str
) -> Iterator[Number]:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from _of_schema(key, definitions[name], definitions, shape)
    for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _of_schema(key, each, definitions, shape)
    if schema.get("type") in ("integer", "number"):
        yield _number(key, schema, shape)
    if schema.get("type") == "array":
        yield from _of_schema(key, schema["items"], definitions, "list")
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield from _of_schema(key, schema["additionalProperties"], definitions, "table")
    for name, each in schema.get("properties", {}).items():
        yield from _of_schema(f"{key}.{name}", each, definitions, shape)


def _number(key: str, schema: Mapping[str, Any], shape: str) -> Number:
    whole = schema["type"] == "integer"
    bounds: list[float] = []
    beyond: list[float | None] = []
    for inclusive, exclusive, towards in (
        ("minimum", "exclusiveMinimum", -math.inf),
        ("maximum", "exclusiveMaximum", math.inf),
    ):
        if exclusive in schema:
            bounds.append(_next(schema[exclusive], -towards, whole=whole))
            beyond.append(_exact(schema[exclusive], whole=whole))
        elif inclusive in schema:
            bounds.append(_exact(schema[inclusive], whole=whole))
            beyond.append(_next(schema[inclusive], towards, whole=whole))
        else:
            bounds.append(math.copysign(sys.float_info.max, towards))
            beyond.append(None)
    low, high = bounds
    return Number(
        key, shape, (low, high), _next(low, math.inf, whole=whole), (beyond[0], beyond[1])
    )


def _exact(value: float, *, whole: bool) -> float:
    return int(value) if whole else float(value)


def _next(value: float, towards: float, *, whole: bool) -> float:
    """The next number that there is, whole or not."""
    if whole:
        return int(value) + (1 if towards > 0 else -1)
    return math.nextafter(value, towards)


def _toml(value: Any) -> str:
    return json.dumps(value)
