"""What of the settings decides bits, as records hold it, and back from a record to settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic.fields import FieldInfo

from twinrun.config.recipe_tables import Table
from twinrun.neutral import Beside, Neutral


def identity_settings(table: Table) -> dict[str, Any]:
    """What of a table of settings decides bits, as JSON values.

    Settings that are declared to decide nothing are left out, and those at a value that is declared
    to do nothing; all others are there, whether they are at their default or not.
    """
    return _deciding(table, table.model_dump(mode="json"))


def _deciding(table: Table, content: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in table.known_keys().items():
        value = table.value(name)
        if name not in content or _find_declared(field, Beside) or _does_nothing(field, value):
            continue
        if isinstance(value, Table):
            found[name] = _deciding(value, content[name])
        elif isinstance(value, dict):
            found[name] = {
                key: _deciding(each, content[name][key])
                if isinstance(each, Table)
                else content[name][key]
                for key, each in value.items()
            }
        else:
            found[name] = content[name]
    return found


def with_neutral(model: type[Table], recorded: Mapping[str, Any]) -> dict[str, Any]:
    """A record of `identity_settings`, with the neutral value of each setting that it leaves out.

    Args:
        model: The table of settings that was recorded.
        recorded: JSON values. A setting that decides nothing is left out, if it is there: whoever
            makes a stranger's run again is not to send anything where the stranger says.

    Raises:
        ValueError: It lacks settings that have no neutral value; the message names them.
    """
    missing: list[str] = []
    found = _fill(model, recorded, "", missing)
    if missing:
        raise ValueError(f"settings that are not recorded: {', '.join(missing)}")
    return found


def write_out_settings(model: type[Table], recorded: Mapping[str, Any]) -> dict[str, Any]:
    """As `with_neutral`, for a reader to compare: a record that lacks settings lacks them here."""
    return _fill(model, recorded, "", [])


def _fill(
    model: type[Table], recorded: Mapping[str, Any], where: str, missing: list[str]
) -> dict[str, Any]:
    found = dict(recorded)
    for name, field in model.known_keys().items():
        if _find_declared(field, Beside):
            found.pop(name, None)
            continue
        neutral, below = _find_declared(field, Neutral), _model_in(field.annotation)
        if name in recorded:
            value = recorded[name]
            if below is not None and isinstance(value, Mapping):
                place = f"{where}{name}."
                found[name] = (
                    _fill(below, value, place, missing)
                    if _is_model(field.annotation)
                    else {
                        # What is no table is left for the settings' own check.
                        k: _fill(below, v, f"{place}{k}.", missing) if isinstance(v, Mapping) else v
                        for k, v in value.items()
                    }
                )
        elif neutral is not None:
            found[name] = neutral.value
        elif not field.exclude:
            missing.append(f"{where}{name}")
    return found


def _does_nothing(field: FieldInfo, value: Any) -> bool:
    neutral = _find_declared(field, Neutral)
    if neutral is None:
        return False
    if isinstance(value, Table):
        return all(value.value(name) == nothing for name, nothing in neutral.value.items())
    return bool(value == neutral.value)


def _find_declared(field: FieldInfo, kind: type[Any]) -> Any:
    """What is declared of a field, None if nothing of this kind."""
    return next((each for each in field.metadata if isinstance(each, kind)), None)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Table)


def _model_in(annotation: Any) -> type[Table] | None:
    """The table of settings that a field holds, itself or as the values of a dictionary."""
    if _is_model(annotation):
        model: type[Table] = annotation
        return model
    return next(filter(None, map(_model_in, get_args(annotation))), None)
