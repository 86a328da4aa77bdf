"""local.toml, which git ignores: where the data and its tables lie on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinrun.config.toml_file import read_toml
from twinrun.errors import InputError, nearest

# It stands beside the settings file.
LOCAL = "local.toml"

# What of [data] may stand in it.
KEYS = ("folder", "labels", "sample_submission")

# What Settings keep apart of these two: the folder of a table that is not in the data folder.
TABLE_FOLDERS = {"labels": "labels_folder", "sample_submission": "sample_folder"}

_CORRECT = "Correct it there, or name the folder with --data."


@dataclass(frozen=True)
class FolderOrigin:
    """Where the data folder was named, for the message that it is not there.

    Attributes:
        words: The file and the key in it, or the option.
        fixes: What to do about a folder that is not there, a line each.
    """

    words: str
    fixes: tuple[str, ...]


def read_local(config: Path) -> dict[str, Any]:
    """What local.toml lays over the settings, or nothing.

    Args:
        config: The settings file that it stands beside.

    Returns:
        `{"data": {KEY: TEXT}}` with keys of `KEYS`, the home folder in place of a "~" in front;
        empty where there is no local.toml or it names nothing.

    Raises:
        InputError: It cannot be read, or anything else stands in it.
    """
    path = config.with_name(LOCAL)
    try:
        content = read_toml(path)
    except FileNotFoundError as error:
        if os.path.lexists(path):  # a link that leads nowhere
            raise InputError(f"cannot read {path}: {error}") from None
        return {}
    mistakes = list(_find_mistakes(content, config.name))
    if mistakes:
        many = "s" if len(mistakes) > 1 else ""
        raise InputError(
            f"{path}: {len(mistakes)} mistake{many}",
            details=mistakes,
            fix=f"What holds on every machine stands in {config}.",
        )
    if not content.get("data"):
        return {}
    # As a shell has it: what is written here is a place of this machine.
    return {
        "data": {key: os.path.expanduser(text) for key, text in content["data"].items()}  # noqa: PTH111
    }


def _find_mistakes(content: Mapping[str, Any], settings: str) -> Iterator[str]:
    for key, value in content.items():
        if key != "data":
            yield _belongs_elsewhere(key, settings, nearest(key, ["data"]))
        elif not isinstance(value, Mapping):
            yield f"data: got {value!r} ({type(value).__name__}), allowed: a table"
        else:
            for name, text in value.items():
                if name not in KEYS:
                    guess = nearest(name, KEYS)
                    yield _belongs_elsewhere(f"data.{name}", settings, guess)
                elif not isinstance(text, str):
                    got = f"{text!r} ({type(text).__name__})"
                    yield f"data.{name}: got {got}, allowed: string"
                elif "\0" in text:
                    yield f"data.{name}: got {text!r}, allowed: a path"


def find_full_paths(table: Any, where: str = "") -> Iterator[str]:
    """A line for each table of labels or samples that a file which git keeps names by a full path.

    Args:
        table: All of the file, or a profile of it.
        where: The profile, with a dot.
    """
    data = table.get("data") if isinstance(table, Mapping) else None
    for key in KEYS[1:]:
        text = data.get(key) if isinstance(data, Mapping) else None
        if isinstance(text, str) and text.startswith(("/", "~")):
            yield (
                f"{where}data.{key}: got {text!r}, allowed: a path from data.folder; a full path "
                f"belongs in {LOCAL}, which git ignores"
            )


def find_inner_keys(table: Any, where: str = "") -> Iterator[str]:
    """A line for each key of `TABLE_FOLDERS`' values, which nobody writes: the other key says both.

    Args:
        table: All of a file, a profile of it, or the changes of --set.
        where: The profile with a dot, or the option with a space.
    """
    data = table.get("data") if isinstance(table, Mapping) else None
    for key, folder in TABLE_FOLDERS.items():
        if isinstance(data, Mapping) and folder in data:
            yield (
                f"{where}data.{folder}: unknown key. data.{key} names the table with its folder; "
                f"a full path belongs in {LOCAL} or after --set"
            )


def _belongs_elsewhere(key: str, settings: str, guess: str) -> str:
    allowed = ", ".join(f"data.{name}" for name in KEYS)
    return f"{key}: belongs in {settings}; only {allowed} may stand here. {guess}".rstrip()


def find_origin(config: Path, layer: str) -> FolderOrigin:
    """Where the data folder was named.

    Args:
        config: The settings file.
        layer: What named it: "local.toml", "profiles.NAME", "--set", "--data"; empty for the
            settings file itself.
    """
    local = config.with_name(LOCAL)
    if layer == LOCAL:
        return FolderOrigin(f"data.folder in {local}", (_CORRECT,))
    if layer == "--data":
        return FolderOrigin("--data", ("Name the folder that the data was unpacked into.",))
    if layer.startswith("--"):
        return FolderOrigin(f"{layer} data.folder", (_CORRECT,))
    if layer:
        return FolderOrigin(f"{layer}.data.folder in {config}", (_CORRECT,))
    return FolderOrigin(
        f"data.folder in {config}",
        (
            "Put the data there, name its folder with --data, or write it into",
            f"{local}, which git ignores:",
            "  [data]",
            '  folder = "/where/the/data/is"',
        ),
    )
