"""The values of --set as a table: KEY=VALUE, a dotted key and a TOML value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twinrun.config.layers import merge
from twinrun.config.toml_file import MOST_LEVELS, TomlError, TomlSyntaxError, parse_toml
from twinrun.errors import InputError, shortened
from twinrun.masks import MASK, is_secret


def parse_changes(changes: Sequence[str]) -> dict[str, Any]:
    """`["run.seed=7"]` as `{"run": {"seed": 7}}`; a bare word is taken as text.

    The last of several values of one key wins.

    Raises:
        InputError: One is not of that form, nested too deeply, a number of more than 64 bits, or an
            empty table, which would change nothing; of two, one takes for a table what the other
            takes for a value.
    """
    result: dict[str, Any] = {}
    for change in changes:
        table = _parse(change)
        where = _contradiction(result, table)
        if where:
            raise InputError(
                f"{_option(change)}: {where} is a table here and a value in an earlier --set, or "
                "the other way round",
                fix="Leave one of them out.",
            )
        result = merge(result, table)
    return result


def _parse(change: str) -> dict[str, Any]:
    key, equals, text = change.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts):
        raise InputError(
            f"{_option(change)}: not of the form key=value", fix="Example: --set run.seed=7"
        )
    value: Any
    try:
        if len(parts) > MOST_LEVELS:
            raise TomlError(f"its key has more than {MOST_LEVELS} parts")
        value, *others = parse_toml(f"value = {text}").values()
        if others:
            raise TomlError("more than one value")
    except TomlSyntaxError:
        value = text.strip()
    except TomlError as error:
        raise InputError(f"{_option(change)}: {error}") from None
    for part in reversed(parts):
        value = {part: value}
    if empty := _empty_table(value):
        raise InputError(
            f"{_option(change)}: {empty} is an empty table here, which changes nothing",
            fix="Give a value, or the keys in it that are to change.",
        )
    return dict(value)


def _option(change: str) -> str:
    key, equals, _ = change.partition("=")
    secret = equals and any(is_secret(part.strip()) for part in key.split("."))
    return f"--set {shortened(f'{key}={MASK}' if secret else change)}"


def _empty_table(table: Mapping[str, Any], *path: str) -> str:
    """The dotted key of a table without keys, which only a new member may be; or an empty text."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            place = (*path, key)
            if not value and not (len(place) == 2 and place[0] == "members"):
                return ".".join(place)
            if found := _empty_table(value, *place):
                return found
    return ""


def _contradiction(below: Mapping[str, Any], above: Mapping[str, Any], *path: str) -> str:
    """The dotted key that is a table in one and a value in the other; or an empty text."""
    for key in below.keys() & above.keys():
        tables = [isinstance(each[key], Mapping) for each in (below, above)]
        if any(tables) and not all(tables):
            return ".".join((*path, key))
        if all(tables) and (found := _contradiction(below[key], above[key], *path, key)):
            return found
    return ""
