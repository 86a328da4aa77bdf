"""What a package's own code is given to make its run again: settings, images, weights, no answers.

    recipe/
        recipe.json                     what is asked
        run/local.json                  where the data lies, and what is worked out on the way
        run/manifest.json               the settings; nothing of what came out
        run/index.parquet  audit.json   the images
        competition/                    the code that it was made with, where it was with any
        run/members/<member>/           or its fold-<number>/
            member.json                 what it was made from; nothing of what came out
            weights.safetensors         where it is only to predict

What came out, its digests and its scores are left out: who makes it again is not to copy it.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import mkdtemp
from types import MappingProxyType
from typing import Any

from twinrun.errors import InputError
from twinrun.files import is_there, write_json
from twinrun.plain_files import plain, read_bytes
from twinrun.run_folder.manifest import read_manifest, write_manifest
from twinrun.run_folder.paths import RunFolder, TrainingFolder
from twinrun.run_folder.place import write_place
from twinrun.run_folder.records import read_record, write_record
from twinrun.verify.own_tables import copy_tables

# A different number is asked for differently: an engine knows its own.
FORMAT = 1

_RECIPE, _RUN, _CODE = "recipe.json", "run", "competition"
_SETTINGS = "competition.toml"


@dataclass(frozen=True)
class Recipe:
    """What is to be made again.

    Attributes:
        members: Their names.
        blended: The members that the submission is made of; None: it is not made again.
        retrain: Train again, not only predict with the recorded weights.
    """

    members: tuple[str, ...]
    blended: tuple[str, ...] | None
    retrain: bool


def write_recipe(
    run: Path,
    recipe: Recipe,
    folder: Path,
    *,
    data: Path,
    work: Path,
    tables: Mapping[str, Path] = MappingProxyType({}),
    code: Path | None = None,
) -> None:
    """Write a recipe for a recorded run.

    Args:
        run: The run, its files compared with their digests.
        recipe: What is asked.
        folder: It is made.
        data: The data folder.
        work: A folder for what is worked out on the way.
        tables: That do not lie in the data folder, by their settings.
        code: The folder competition/ of code that the run was made with; None: of none.

    Raises:
        InputError: A record is damaged.
    """
    write_json(folder / _RECIPE, {"format": FORMAT, **asdict(recipe)})
    target = folder / _RUN
    target.mkdir()
    manifest = read_manifest(run)
    guarded = (RunFolder(run).index, RunFolder(run).audit)
    for path in guarded:
        if is_there(path):
            shutil.copyfile(plain(path), target / path.name)
    guards = {path.name for path in guarded}
    write_manifest(
        target,
        {
            "content": {**manifest["content"], "members": {}, "submission": None, "blend": None},
            "beside": {
                **manifest["beside"],
                "seconds": {"command": 0.0, "members": {}},
                "nodes": {},
            },
            "guards": {k: digest for k, digest in manifest["guards"].items() if k in guards},
        },
    )
    settings = None
    if code is not None:
        # Without its toml files: settings are recorded, and local.toml names places.
        settings = code_settings(folder)
        shutil.copytree(
            code, settings.parent, ignore=shutil.ignore_patterns("*.toml", "__pycache__")
        )
    settle(target, data=data, work=work, tables=tables, settings=settings)
    for name in recipe.members:
        for training in RunFolder(run).training(name).all_trainings():
            _write_training(training, target / training.path.relative_to(run), recipe)


def code_settings(folder: Path) -> Path:
    """The settings file of a recipe, which need not be there, beside the code that it brings."""
    return folder / _CODE / _SETTINGS


def settle(
    run: Path,
    *,
    data: Path,
    work: Path,
    tables: Mapping[str, Path] = MappingProxyType({}),
    settings: Path | None = None,
) -> None:
    """Name our places for a stranger's run, which is made again from its record: none of its own.

    A settings file brings a local.toml and the work tree of git around it, which git may run code
    for; a cache brings decoded images.

    Args:
        run: The run, in a folder of ours.
        data: The data folder.
        work: A folder for what is worked out on the way, in which there is nothing of a stranger's.
        tables: That do not lie in the data folder, by their settings; they are copied beside the
            run.
        settings: A settings file that need not be there, beside the code that the run was made
            with; None: it was made with none.

    Raises:
        InputError: As `own_tables.copy_tables`.
    """
    (work / "cache").mkdir(parents=True, exist_ok=True)
    folders: dict[str, str] = {}
    if tables:
        recorded = read_manifest(run)["content"]["settings"]["data"]
        # A new name: a stranger's run may hold any other.
        beside = Path(mkdtemp(prefix="tables-", dir=run.parent))
        folders = copy_tables(recorded, tables, beside)
    write_place(
        run,
        config=settings or work / _SETTINGS,
        data_folder=data.absolute(),
        cache=str((work / "cache").absolute()) if settings else "cache",
        tables=folders,
    )


def _write_training(training: TrainingFolder, target: Path, recipe: Recipe) -> None:
    record = read_record(training.path)
    if record is None:
        return
    target.mkdir(parents=True, exist_ok=True)
    unknown = {"valid_loss": math.nan, "accuracy": math.nan}
    write_record(
        target,
        {
            **{name: value for name, value in record.items() if name != "folds"},
            **{"scores": unknown, "files": {}, "guards": {}, "seconds": 0.0},
        },
    )
    if not recipe.retrain and is_there(training.weights):
        weights = TrainingFolder(target).weights
        with suppress(OSError):  # on another disk there is no second name for a file
            os.link(training.weights, weights)
            return
        shutil.copyfile(plain(training.weights), weights)


def read_recipe(folder: Path) -> tuple[Recipe, Path]:
    """A recipe, and the folder of its run.

    Raises:
        InputError: It is none that this version knows.
    """
    try:
        content: dict[str, Any] = json.loads(read_bytes(folder / _RECIPE))
        if content.pop("format") != FORMAT:
            raise ValueError("it is of a different format")
        blended = content.pop("blended")
        recipe = Recipe(
            members=_names(content.pop("members")),
            blended=None if blended is None else _names(blended),
            retrain=bool(content.pop("retrain")),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder} holds no recipe that this version knows: {error}") from None
    return recipe, folder / _RUN


def _names(value: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(name) for name in value)
