"""A run's folder made by hand: every file that the report reads, without a training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from tests.run_folder.documents import (
    place_of,
    record_member,
    record_run,
    whole_grade,
    write_sealed,
)
from twinrun.blend.choice import describe_origin
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.data.index import data_digest
from twinrun.files import sha256_file, write_csv
from twinrun.repro.keys import Key
from twinrun.run_folder.manifest import build_manifest, guard_digests
from twinrun.submit import choose_run_blend

ENVIRONMENT = {
    "decides": {
        "threads": 1,
        "device": "cpu",
        "instruction_set": "AVX2",
        "machine": "x86_64",
        "python": "3.11.7",
        "packages": {"torch": "2.15.0", "numpy": "2.4.6"},
    },
    "beside": {"platform": "Linux", "cores": 2, "code": "c" * 64},
}
CLASSES = ("leaf_rust", "stem_rust", "healthy_wheat")


def settings_for(
    folder: Path, members: Sequence[str], classes: Sequence[str], *changes: str
) -> Settings:
    """Settings of members of the smallest network on the images of folder/data."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    lines = [
        "[competition]",
        'name = "Wheat"',
        f"classes = {json.dumps(list(classes), ensure_ascii=False)}",
        "[data]",
        'folder = "data"',
        "[run]",
        "seed = 0",
        "[recipe]",
        'network = "resnet18"',
        "batch_size = 4",
        "validation = { share = 0.25 }",
        "epochs = { frozen = 2, unfrozen = 2 }",
        *(f"[members.{name}]\npublic_score = 0.25" for name in members),
    ]
    path = folder / "competition.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return read_settings(path, changes=changes)


def make_run(
    folder: Path,
    *,
    members: Sequence[str] = ("a", "b"),
    classes: Sequence[str] = CLASSES,
    ids: Sequence[str] = (),
    count: int = 12,
    changes: Sequence[str] = (),
    folds: int = 0,
    pictures: bool = True,
    doubt: float = 1.0,
    copies: int = 1,
) -> Path:
    """Write runs/full with `count` held-out images, all of them of every member.

    Args:
        folder: Gets data/ and runs/full/.
        members: Their names.
        classes: Dealt out to the images in turn.
        ids: Of the images; numbers where there are too few.
        count: How many images.
        changes: Of the settings.
        folds: Learning curves of so many folds, in place of one.
        pictures: Whether the images' files are there.
        doubt: The larger, the more of the probability is not the label's.
    """
    settings = settings_for(folder, members, classes, *changes)
    run = folder / "runs" / "full"
    names = [*ids, *(f"{number:06d}" for number in range(len(ids), count))][:count]
    labels = [classes[number % len(classes)] for number in range(count)]
    digests = ["0" * 64] * count
    if pictures:
        digests = [draw(folder / "data" / "train" / f"{name}.png", name) for name in names]
    index = pd.DataFrame(
        {
            "part": "train",
            "id": names,
            "label": labels,
            "path": [f"train/{name}.png" for name in names],
            "bytes": 1,
            "sha256": digests,
            "group": [names[number - number % copies] for number in range(count)],
        }
    )
    run.mkdir(parents=True)
    text = dict.fromkeys(index.columns.drop("bytes"), "str")
    index.astype({**text, "bytes": "int64"}).to_parquet(run / "index.parquet", index=False)
    records = {
        name: make_member(run / "members" / name, names, labels, classes, folds, doubt)
        for name in members
    }
    (run / "submission.csv").write_text("ID,x\n1,0.5\n", encoding="utf-8")
    content = build_manifest(
        settings,
        data_digest(index),
        ENVIRONMENT,
        records,
        submission=run / "submission.csv",
        seconds=83.25,
        guards=guard_digests(run),
    )
    content["beside"]["written"] = "2020-03-01T12:34:56+00:00"
    content["beside"]["commit"] = "d" * 40
    place_of(run, settings)
    write_sealed(run / "manifest.json", content)
    return run


def make_member(
    folder: Path,
    ids: Sequence[str],
    labels: Sequence[str],
    classes: Sequence[str],
    folds: int = 0,
    doubt: float = 1.0,
) -> dict[str, Any]:
    """A complete member's files; the content of member.json."""
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3, 4],
            "phase": ["frozen", "frozen", "unfrozen", "unfrozen"],
            "train_loss": [1.5, 1.25, 1.0, 0.75],
            "valid_loss": [1.4, 0.7, 0.9, 1.1],
            "accuracy": [0.25, 0.5, 0.75, 0.5],
            "error_rate": [0.75, 0.5, 0.25, 0.5],
            "learning_rate": [0.001, 0.001, 0.0005, 0.0001],
            "seconds": [1.0, 1.0, 1.0, 1.0],
        }
    )
    for place in [f"fold-{fold + 1}" for fold in range(folds)] or ["."]:
        write_csv(folder / place / "history.csv", history)
    draws = Key((folder.name, "made")).uniforms(len(ids) * len(classes))
    scores = doubt * draws.reshape(len(ids), len(classes))
    for row, label in enumerate(labels):
        scores[row, classes.index(label)] += 1.0
    probabilities = scores / scores.sum(axis=1, keepdims=True) if len(ids) else scores
    table = pd.DataFrame(probabilities.astype(np.float32), columns=list(classes))
    table.insert(0, "id", list(ids))
    write_csv(folder / "test.csv", table)
    table.insert(1, "label", list(labels))
    write_csv(folder / "valid.csv", table)
    (folder / "weights.safetensors").write_bytes(folder.name.encode())
    record = {
        "identity": {
            "settings": {},
            "data": "a" * 64,
            "environment": ENVIRONMENT["decides"],
        },
        "images": {"train": 3 * len(ids), "valid": len(ids), "test": len(ids)},
        "scores": {"train_loss": 0.75, "valid_loss": 1.1, "accuracy": 0.6666666865348816},
        "seconds": 61.0625,
    }
    for fold in range(folds):
        record_member(folder / f"fold-{fold + 1}", **record)
    return record_member(folder, **record)


def draw(path: Path, name: str) -> str:
    """A picture of stripes whose colours depend on its name; its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = (255 * Key((name, "colours")).uniforms(12)).astype(np.uint8).reshape(4, 1, 3)
    Image.fromarray(colours.repeat(8, axis=0).repeat(48, axis=1)).save(path)
    return sha256_file(path)


def write_audit(run: Path, *, title: str = "8 images are copies", image: str = "000000") -> None:
    """audit.json of two findings and two groups."""
    both = [
        {"part": "train", "id": image, "label": "leaf_rust", "path": f"train/{image}.png"},
        {"part": "train", "id": "000001", "label": "stem_rust", "path": "train/000001.png"},
    ]
    content = {
        "version": 1,
        "images": {"train": 1234, "test": 567},
        "findings": [
            {
                "check": "duplicates",
                "severity": "error",
                "title": title,
                "count": 8,
                "images": [f"train/train/{image}.png"],
                "details": [f"{image}: labelled twice"],
            },
            {
                "check": "format",
                "severity": "note",
                "title": "the extension is another format's",
                "count": 40,
                "images": [f"train/{number}" for number in range(40)],
                "details": [],
            },
        ],
        "groups": [
            {"kind": "file", "images": both, "conflict": True, "spans": False},
            {"kind": "near", "images": both * 5, "conflict": False, "spans": True},
        ],
        "policy": {
            "duplicates": "group",
            "conflicts": "keep",
            "dropped": {"000003": "0" * 64},
            "unread": {"000004": ""},
        },
    }
    write_sealed(run / "audit.json", content)
    record_run(run)


def write_blend(run: Path, weights: Mapping[str, float], why: str = "the lowest score") -> None:
    """blend.json of two candidates."""
    content = {
        "version": 1,
        "asked": "auto",
        "method": "optimised",
        "why": why,
        "missing": [],
        "metric": "log_loss",
        "images": 12,
        "without_copies": 12,
        "weights": dict(weights),
        "temperature": 1.25,
        "candidates": [
            {
                "method": "arithmetic",
                "nested": 0.75,
                "fitted": 0.75,
                "weights": {},
                "temperature": 1.0,
            },
            {
                "method": "optimised",
                "nested": None,
                "fitted": 0.5,
                "weights": {},
                "temperature": 1.0,
            },
            {
                "method": "optimised",
                "nested": 0.625,
                "fitted": 0.5,
                "weights": {},
                "temperature": 1.25,
            },
        ],
        "members": dict.fromkeys(weights, 0.8125),
        "without": dict.fromkeys(weights, 0.6875),
        "origin": {
            "blend": {"method": "auto"},
            "settings": {"method": "auto"},
            "submission": {},
            "predictions": {},
        },
    }
    write_sealed(run / "blend.json", content)
    record_run(run)


def write_chosen_blend(run: Path, folder: Path, method: str, *, calibrate: bool) -> dict[str, Any]:
    """blend.json of the blend that the settings of folder/ ask for; its content."""
    changes = [f"blend.method={method}", f"blend.calibrate={str(calibrate).lower()}"]
    settings = read_settings(folder / "competition.toml", changes=changes)
    chosen = choose_run_blend(run, settings)
    origin = describe_origin(run, settings, list(chosen.weights), None)
    content = {**chosen.content(), "origin": origin}
    write_sealed(run / "blend.json", content)
    record_run(run)
    return content


def write_twins(run: Path, **changes: Any) -> None:
    """twins.json beside the run, of its own files unless `changes` say otherwise."""
    files = json.loads((run / "manifest.json").read_text())["content"]["members"]["a"]["files"]
    rows = [
        {"member": "a", "file": file, "first": digest, "second": digest, "difference": ""}
        for file, digest in files.items()
    ]
    content = {
        "same": True,
        "control_differs": True,
        "perturbations": ["hash-seed", "kill"],
        "comparisons": rows,
        "ledgers": {},
        "control": [],
    }
    write_sealed(run.parent / "twins" / "twins.json", content | changes)


def write_verify(run: Path, name: str = "verify.json", **changes: Any) -> None:
    """verify.json beside the run, of its own files unless `changes` say otherwise."""
    write_twins(run)
    twins = json.loads((run.parent / "twins" / "twins.json").read_text())
    (run.parent / "twins" / "twins.json").unlink()
    rows = twins["comparisons"]
    content = {"same": True, "submission": True, "blend": None, "comparisons": rows}
    content |= changes
    grade = whole_grade("same bits" if content["same"] else "different")
    write_sealed(run.parent / "verify" / run.name / name, {"grade": grade, **content})
