"""The smallest whole content of each JSON file of a run, for tests to change; and how to write it.

What these write is sealed, and says of files what their digests are: as the engine does it, but of
files that were made by hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from twinrun.config.settings import Settings
from twinrun.files import sha256_file, write_json
from twinrun.run_folder.documents import SEAL, sealed
from twinrun.run_folder.manifest import guard_digests
from twinrun.run_folder.paths import PROGRESS_FILES, RESULT_FILES, RunFolder
from twinrun.run_folder.place import write_place

DIGEST = "0" * 64
ENVIRONMENT = {
    "device": "cpu",
    "threads": 1,
    "instruction_set": "AVX2",
    "machine": "x86_64",
    "python": "3.11.7",
    "packages": {},
}


def whole_record(**changes: Any) -> dict[str, Any]:
    """Of member.json."""
    return {
        "identity": {"settings": {}, "data": DIGEST, "environment": ENVIRONMENT},
        "images": {"train": 3, "valid": 1, "test": 1},
        "scores": {"valid_loss": 0.5, "accuracy": 0.75},
        "files": {},
        "guards": {},
        "seconds": 1.0,
        **changes,
    }


def whole_manifest(**content: Any) -> dict[str, Any]:
    """Of manifest.json, with changes of the table `content`."""
    return {
        "content": {
            "settings": {},
            "data": DIGEST,
            "code": DIGEST,
            "environment": ENVIRONMENT,
            "members": {},
            "submission": None,
            "blend": None,
            **content,
        },
        "beside": {
            "written": "2020-03-01T12:34:56+00:00",
            "seconds": {"command": 1.0, "members": {}},
            "nodes": {},
            "commit": None,
            "engine": {"version": None, "commit": None},
            "environment": {"platform": "Linux", "cores": 2},
        },
        "guards": {},
    }


def whole_audit(
    dropped: Mapping[str, str] = MappingProxyType({}),
    unread: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Of audit.json; of images that were left out the SHA-256 by id."""
    return {
        "version": 1,
        "images": {"train": 1, "test": 1},
        "findings": [],
        "groups": [],
        "policy": {
            "duplicates": "group",
            "conflicts": "keep",
            "dropped": dict(dropped),
            "unread": dict(unread),
        },
    }


def whole_blend(**changes: Any) -> dict[str, Any]:
    """Of blend.json."""
    return {
        "version": 1,
        "asked": "arithmetic",
        "method": "arithmetic",
        "why": "The settings ask for it.",
        "missing": [],
        "metric": "log_loss",
        "images": 1,
        "without_copies": 1,
        "weights": {},
        "temperature": 1.0,
        "candidates": [],
        "members": {},
        "without": {},
        "origin": {
            "blend": {"method": "auto"},
            "settings": {"method": "auto"},
            "submission": {},
            "predictions": {},
        },
        **changes,
    }


def compared(member: str, file: str, digest: str, second: str = "") -> dict[str, str]:
    """A row of twins.json, verify.json or predictions.json."""
    second = second or digest
    return {"member": member, "file": file, "first": digest, "second": second, "difference": ""}


def whole_twins(*rows: dict[str, str], **changes: Any) -> dict[str, Any]:
    """Of twins.json."""
    return {
        "same": True,
        "control_differs": True,
        "perturbations": [],
        "comparisons": list(rows),
        "ledgers": {},
        "control": [],
        **changes,
    }


def whole_grade(name: str = "same bits", **changes: Any) -> dict[str, Any]:
    """The grade in verify.json and predictions.json."""
    return {
        "name": name,
        "sentence": "It was made again.",
        "bound": 0.0001,
        "metric": "log_loss",
        "gaps": [],
        "causes": {},
        "environment": [],
        "first": "",
        "why": {},
        **changes,
    }


def whole_verification(*rows: dict[str, str], **changes: Any) -> dict[str, Any]:
    """Of verify.json and predictions.json."""
    return {
        "grade": whole_grade(),
        "same": True,
        "submission": None,
        "blend": None,
        "comparisons": list(rows),
        **changes,
    }


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file of a run, of whatever shape, as a whole one."""
    write_json(path, sealed({name: each for name, each in content.items() if name != SEAL}))


def read_plain(path: Path) -> dict[str, Any]:
    """The content of such a file without its seal."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {name: each for name, each in content.items() if name != SEAL}


def edited(path: Path, *keys: str, value: Any) -> None:
    """Put another value into such a file, as if it had been written with it."""
    content = read_plain(path)
    table = content
    for key in keys[:-1]:
        table = table[key]
    table[keys[-1]] = value
    write_sealed(path, content)


def place_of(run: Path, settings: Settings) -> None:
    """Write local.json of a run of these settings."""
    write_place(
        run,
        config=settings.config,
        data_folder=settings.data_folder,
        cache=settings.run.cache,
    )


def record_member(folder: Path, **changes: Any) -> dict[str, Any]:
    """Write member.json of the files that a folder of a training holds; its content."""
    path = RunFolder(folder).training("x").record.name
    old = read_plain(folder / path) if (folder / path).is_file() else whole_record()
    digests = {
        table: {name: sha256_file(folder / name) for name in names if (folder / name).is_file()}
        for table, names in (("files", RESULT_FILES), ("guards", PROGRESS_FILES))
    }
    content = {**old, **digests, **changes}
    write_sealed(folder / path, content)
    return content


def record_run(run: Path, **changes: Any) -> None:
    """Write manifest.json anew for the members and files that a run's folder holds by now.

    Args:
        run: runs/<run>.
        changes: Of its table `content`.
    """
    folder = RunFolder(run)
    old = read_plain(folder.manifest) if folder.manifest.is_file() else whole_manifest()
    for name, member in old["content"]["members"].items():
        if folder.training(name).record.is_file():
            member["files"] = read_plain(folder.training(name).record)["files"]
    content = {**old["content"], **changes}
    write_sealed(folder.manifest, {**old, "content": content, "guards": guard_digests(run)})
