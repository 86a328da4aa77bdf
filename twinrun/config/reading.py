"""Reads competition.toml, lays local.toml, a profile and --set over it, explains each mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from twinrun.config.begin import with_digests
from twinrun.config.changes import parse_changes
from twinrun.config.layers import merge, over
from twinrun.config.layouts import find_classes
from twinrun.config.local import (
    LOCAL,
    TABLE_FOLDERS,
    FolderOrigin,
    find_full_paths,
    find_inner_keys,
    find_origin,
    read_local,
)
from twinrun.config.project import project_settings
from twinrun.config.recipe import Member
from twinrun.config.settings import Settings
from twinrun.config.toml_file import read_toml
from twinrun.errors import InputError, nearest, show
from twinrun.hooks.in_use import name_code, use
from twinrun.hooks.loading import check_settings, known_settings
from twinrun.hooks.own_code import FILE, OwnCode, read_own_code
from twinrun.losses import CROSS_ENTROPY
from twinrun.masks import MASK, is_secret

Location = tuple[str | int, ...]

# Where the values come from that were found in the data folder, as _place_of writes it.
_AUTO = 'found by "auto":'
# What stands in pydantic's places beside the file's keys: a key itself, the kinds of `Classes` and
# `ClassWeights`, a member's transforms, the forms of `Folders`.
_NO_KEYS = (
    "[key]",
    "[names]",
    "[auto]",
    "[weights]",
    "[how]",
    "[transforms]",
    "[one]",
    "[several]",
)


def read_settings(
    config: Path | None = None,
    *,
    profile: str | None = None,
    changes: Sequence[str] = (),
    data: Path | None = None,
) -> Settings:
    """Read and check the settings of a run.

    Over the settings file goes the data folder of the local.toml beside it, then the profile, then
    the changes, then `data`.

    Every profile is checked, also those that were not asked for, so that a slip of the pen is
    found before somebody needs the profile.

    Args:
        config: A competition.toml; by default that of the project which the process stands in.
        profile: The name of a `[profiles.NAME]` table to lay over the rest; none when None.
        changes: `key=value` texts (dotted key, TOML value), laid over the profile.
        data: A different data folder; a relative one starts at the working folder.

    Returns:
        With the classes of the data folder in place of "auto", where there is a data folder.

    Raises:
        InputError: Anything unknown, missing or of the wrong kind, all of it of one file in one
            message; or the data folder does not hold the classes that it is asked for; or hooks.py
            is not what it has to be.
    """
    config = config or project_settings()
    raw = _read_config(config)
    name_code(config)
    code = read_own_code(config)
    # It may add to the tables that settings name entries of.
    use(code, {})
    profiles = raw.pop("profiles", {})
    if not isinstance(profiles, Mapping):
        raise InputError(f"{config}: profiles: must be a table of tables, [profiles.NAME]")
    if profile is not None and profile not in profiles:
        what = f"{config}: there is no profile {profile!r}"
        guess = nearest(profile, profiles)
        raise InputError(_sentence(what, guess, "Known profiles", list(profiles) or ["none"]))
    mistakes = [*find_full_paths(raw), *find_inner_keys(raw)]
    local = read_local(config)
    layers: dict[str, Any] = {LOCAL: local} if local else {}
    for name, table in profiles.items():
        mistakes += find_full_paths(table, f"profiles.{name}.")
        mistakes += find_inner_keys(table, f"profiles.{name}.")
        mistakes += _validate(config, raw, code, layers | {f"profiles.{name}": table})[1]
    if profile is not None:
        layers[f"profiles.{profile}"] = profiles[profile]
    layers["--set"] = parse_changes(changes)
    mistakes += find_inner_keys(layers["--set"], "--set ")
    if data is not None:
        layers["--data"] = {"data": {"folder": str(data.absolute())}}
    settings = _refuse_mistakes(config, mistakes, *_validate(config, raw, code, layers))
    if settings.competition.classes == "auto" and settings.data_folder.is_dir():
        unseen = settings.submission.unseen
        classes = find_classes(settings.data, settings.data_folder, unseen)
        layers[_AUTO] = {"competition": {"classes": classes}}
        settings = _refuse_mistakes(config, [], *_validate(config, raw, code, layers))
    use(code, settings.hooks)
    return with_digests(settings)


def _refuse_mistakes(
    config: Path, mistakes: Sequence[str], settings: Settings | None, more: Sequence[str]
) -> Settings:
    mistakes = list(dict.fromkeys([*mistakes, *more]))
    if settings is None or mistakes:
        many = "s" if len(mistakes) > 1 else ""
        raise InputError(f"{config}: {len(mistakes)} mistake{many}", details=mistakes)
    return settings


def _read_config(config: Path) -> dict[str, Any]:
    try:
        return read_toml(config)
    except FileNotFoundError:
        raise InputError(
            f"no such settings file: {config}", fix="Name one with --config."
        ) from None


def _validate(
    config: Path, raw: Mapping[str, Any], code: OwnCode, layers: Mapping[str, Any]
) -> tuple[Settings | None, list[str]]:
    """The settings of `raw` with the layers laid over it, in order; and a line for each mistake.

    A member is the shared [recipe], then its own table, then, layer by layer, the layer's [recipe]
    and the layer's table of the member: a profile's recipe holds for every member.
    """
    document = {key: value for key, value in raw.items() if key != "recipe"}
    recipe = _table(config, "recipe", raw.get("recipe", {}))
    document["members"] = {
        name: over(recipe, own)
        for name, own in _table(config, "members", raw.get("members", {})).items()
    }
    for name, layer in layers.items():
        rest = dict(_table(config, name, layer))
        wins = _table(config, f"{name}.recipe", rest.pop("recipe", {}))
        own = _table(config, f"{name}.members", rest.pop("members", {}))
        recipe = merge(recipe, wins)
        members = {key: over(table, wins) for key, table in document["members"].items()}
        for key, table in own.items():
            members[key] = over(members.get(key, recipe), table)
        changed = {key: over(document.get(key), value) for key, value in rest.items()}
        document = document | changed | {"members": members}
    origins = [*reversed(list(layers.items())), ("", raw)]
    # Under these names Settings keep where they were read.
    read_from = {
        "config": config.absolute(),
        "folder_origin": _origin_of_folder(config, layers),
        "code": code,
    }
    mistakes = [
        _unknown_key(_place_of((key,), origins), document[key], _known_keys(()))
        for key in read_from
        if key in document
    ]
    try:
        settings = Settings.model_validate(document | read_from)
    except ValidationError as error:
        return None, mistakes + [_explain(detail, origins) for detail in error.errors()]
    mistakes += _own_mistakes(settings, origins)
    for name, weight in settings.blend.weights.items():
        if name not in settings.members:
            key = _place_of(("blend", "weights", name), origins)
            what = f"{key}: a weight of {weight}, but there is no member {name!r}"
            guess = nearest(name, settings.members)
            mistakes.append(_sentence(what, guess, "Known members", list(settings.members)))
    return settings, mistakes


def _own_mistakes(settings: Settings, origins: Sequence[tuple[str, Any]]) -> Iterator[str]:
    """A line for each mistake in [hooks], as the competitor's own model finds them."""
    code, table = settings.code, settings.hooks
    for name, member in settings.members.items():
        if "loss" in code.hooks and member.loss.method != CROSS_ENTROPY.name:
            key = _place_of(("members", name, "loss"), origins)
            yield f"{key}: `loss` of {FILE} takes the place of every other; leave out one of them"
    if table and not code.texts:
        key = _place_of(("hooks",), origins)
        yield f"{key}: a table for {FILE}, which is not there beside this file"
        return
    try:
        check_settings(code, table)
    except ValidationError as error:
        for detail in error.errors():
            location = ("hooks", *detail["loc"])
            if detail["type"] == "extra_forbidden":
                key = _place_of(location, origins)
                yield _unknown_key(key, detail["input"], known_settings(code))
            else:
                yield _explain({**detail, "loc": location}, origins)


def _origin_of_folder(config: Path, layers: Mapping[str, Any]) -> FolderOrigin:
    named = [name for name, layer in layers.items() if _holds(layer, ("data", "folder"))]
    return find_origin(config, named[-1] if named else "")


def _table(config: Path, key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{config}: {key}: got {_show(value, key)}, allowed: a table")
    return value


def _explain(detail: ErrorDetails, origins: Sequence[tuple[str, Any]]) -> str:
    """One line for one mistake: where, what is there, what is allowed, the nearest known name."""
    location = tuple(part for part in detail["loc"] if part not in _NO_KEYS)
    key = _place_of(location, origins)
    value = detail["input"]
    kind = detail["type"]
    context = detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(key, value, _known_keys(location[:-1]))
    if kind == "missing":
        return f"{key}: missing"
    if kind in ("model_type", "dict_type"):
        return f"{key}: got {_show(value, key)}, allowed: a table"
    if kind == "too_short":
        return f"{key}: got {len(value)}, allowed: at least {context['min_length']}"
    if kind == "literal_error":
        allowed = str(context["expected"])
        names = [name.strip("'") for name in allowed.replace(" or ", ", ").split(", ")]
        guess = nearest(value, names) if isinstance(value, str) else ""
        return _sentence(f"{key}: {show(value)} is not known", guess, "Allowed", names)
    if kind == "string_pattern_mismatch":
        return (
            f"{key}: {show(value)} cannot be a file name on every system. "
            "Allowed: letters, digits, dot, dash and underscore, starting with a letter or digit."
        )
    if kind == "value_error":  # one of our own, whose text says what is allowed
        error = str(context["error"])
        return f"{key}: got {_show(value, key)}, allowed: {error}" if location else error
    return f"{key}: got {_show(value, key)}, allowed: {_requirement(detail['msg'])}"


def _unknown_key(key: str, value: Any, known: Sequence[str]) -> str:
    guess = nearest(re.split(r"[. ]", key)[-1], known)
    return _sentence(f"{key}: unknown key (value {_shown(key, value)})", guess, "Known keys", known)


def _sentence(what: str, guess: str, title: str, names: Sequence[str]) -> str:
    middle = f", {guess}" if guess else "."
    return f"{what}{middle} {title}: {', '.join(names)}."


def _show(value: Any, key: str) -> str:
    if isinstance(value, Mapping):
        return "a table"
    return f"{_shown(key, value)} ({type(value).__name__})"


def _shown(key: str, value: Any) -> str:
    """A value for a message, unless the name of its key says that it is secret."""
    return MASK if any(map(is_secret, re.split(r"[. ]", key))) else show(value)


def _requirement(message: str) -> str:
    text = message.removeprefix("Input should be ").removeprefix("a valid ")
    return text[0].lower() + text[1:]


def _place_of(location: Location, origins: Sequence[tuple[str, Any]]) -> str:
    """The place in the file where a value stands: a member's may stand in [recipe] or a profile."""
    candidates: list[Location] = [location]
    if len(location) > 2 and location[0] == "members":
        candidates.append(("recipe", *location[2:]))
    for origin, table in origins:
        for candidate in reversed(candidates) if origin else candidates:
            if _holds(table, candidate):
                key = ".".join(map(str, candidate))
                # As it is written: --set KEY=VALUE, or a table [profiles.NAME] of the file.
                separator = "." if origin.startswith("profiles.") else " "
                return f"{origin}{separator}{key}" if origin else key
    return ".".join(str(part) for part in location)


def _holds(table: Any, location: Location) -> bool:
    for part in location:
        try:
            table = table[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _known_keys(location: Location) -> list[str]:
    """The keys that are known in the table at `location`."""
    model: Any = Settings
    for part in location:
        if part == "members" and model is Settings:
            model = Mapping
        elif model is Mapping:
            model = Member
        else:
            field = model.known_keys()[str(part)].annotation
            model = next((kind for kind in (field, *get_args(field)) if _is_model(kind)), Settings)
    inner = TABLE_FOLDERS.values()
    known = [key for key, it in model.known_keys().items() if not it.exclude and key not in inner]
    return [*known, "recipe", "profiles"] if model is Settings else known


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
