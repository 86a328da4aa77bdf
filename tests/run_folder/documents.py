"""The smallest whole content of each JSON file of a run, for tests to change."""

from __future__ import annotations

from typing import Any

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
            "data_folder": "data",
            "config": "competition.toml",
            "cache": "",
            "commit": None,
            "engine": {"version": None, "commit": None},
            "environment": {"platform": "Linux", "cores": 2},
        },
    }


def whole_audit(*dropped: str) -> dict[str, Any]:
    """Of audit.json."""
    return {
        "version": 1,
        "images": {"train": 1, "test": 1},
        "findings": [],
        "groups": [],
        "policy": {"duplicates": "group", "conflicts": "keep", "dropped": list(dropped)},
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
