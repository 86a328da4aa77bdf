"""What a package's pages say of a run: from its own files, as it was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from twinrun.blend.copies import copies_column
from twinrun.blend_methods.methods import BLEND_METHODS
from twinrun.config.identity import write_out_settings
from twinrun.config.layouts import LAYOUTS
from twinrun.config.settings import Settings
from twinrun.console import clock
from twinrun.data.unread import WHY, class_shares
from twinrun.data.wide_values import exact_number
from twinrun.errors import InputError
from twinrun.package.engine import FOLDER
from twinrun.package.page_settings import page_settings
from twinrun.package.page_steps import describe_fit, submission_steps
from twinrun.package.paths import DEVELOPMENT_LOCK_NAME
from twinrun.package.worktree import WorkTree
from twinrun.repro.source import describe_engine
from twinrun.run_folder.audit import read_audit_if_there
from twinrun.run_folder.manifest import read_blend_if_there, recorded_hooks
from twinrun.run_folder.paths import RunFolder, TrainingFolder
from twinrun.run_folder.tables import has_history, read_history, read_index


def collect_page_facts(
    run: Path,
    manifest: Mapping[str, Any],
    tree: WorkTree,
    faults: Sequence[str],
    verdicts: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """What the pages are made from.

    Args:
        run: runs/<run>.
        manifest: The content of its manifest.json.
        tree: Of the source.
        faults: From `find_faults`.
        verdicts: The content of the verdicts of checks of this run, by the files' names.
    """
    content, beside = manifest["content"], manifest["beside"]
    settings = write_out_settings(Settings, content["settings"])
    return {
        "competition": settings["competition"],
        "data": settings["data"],
        "parts": _count_parts(run),
        "value_range": [exact_number(float(end)) for end in content.get("range") or ()],
        "layout": LAYOUTS.get(settings["data"]["layout"]).words,
        "run": run.resolve().name,
        "seed": settings["run"]["seed"],
        "threads": content["environment"]["threads"],
        "commit": tree.commit,
        "engine": _engine(manifest, tree),
        "development_lock": DEVELOPMENT_LOCK_NAME in tree.files,
        "faults": list(faults),
        "images": _count_images(run),
        "dropped": len(_left_out(run, "dropped")),
        "unread": len(_left_out(run, "unread")),
        "data_digest": content["data"],
        "submission": content["submission"],
        "steps": submission_steps(
            settings, _blend(run), _copies_column(run), _shares(run, settings)
        ),
        "fit": describe_fit(_blend(run)),
        "hooks": sorted(recorded_hooks(content)),
        "across": sorted(_across(run, content)),
        "recipes": page_settings(content["settings"]),
        "environment": content["environment"],
        "hardware": beside["environment"],
        "members": list(_members(run, manifest)),
        "training": clock(sum(beside["seconds"]["members"].values())),
        "command": clock(beside["seconds"]["command"]),
        "verdicts": {
            name: verdicts.get(f"{name}.json") for name in ("twins", "verify", "predictions")
        },
    }


def _across(run: Path, content: Mapping[str, Any]) -> Iterator[str]:
    """By what an image's answer depends on the images beside it; nothing where it does not."""
    method = _blend(run).get("method") or content["settings"]["blend"].get("method")
    if method and BLEND_METHODS.get(method).mean.across_images:
        yield f'the blend "{method}"'
    if "after_predictions" in recorded_hooks(content):
        yield "after_predictions of hooks.py"


def _engine(manifest: Mapping[str, Any], tree: WorkTree) -> dict[str, Any] | None:
    """The engine in code/; None where a package is forced without one."""
    try:
        engine = tree.engine()
    except InputError:
        return None
    made_by = describe_engine(manifest["beside"]["engine"])
    same = engine.code == manifest["content"]["code"]
    return {
        "place": engine.place,
        "wheel": engine.place != FOLDER,
        "title": made_by if same else f"not the run's, source {engine.code[:8]}",
    }


def _members(run: Path, manifest: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    content = manifest["content"]
    weights = content["settings"]["blend"].get("weights", {})
    fitted = _blend(run).get("weights") or weights
    for name, recipe in content["settings"]["members"].items():
        if name not in content["members"]:
            continue
        scores = content["members"][name]["scores"]
        seconds = manifest["beside"]["seconds"]["members"][name]
        epochs = _epoch_seconds(RunFolder(run).training(name))
        rest = seconds - sum(epochs)
        yield {
            "name": name,
            "network": recipe["network"],
            "image_size": recipe["image_size"],
            "sizes": ", ".join(
                f"{size} px from epoch {at}"
                for at, size in sorted(recipe.get("sizes", {}).items(), key=lambda x: int(x[0]))
            ),
            "pretrained": recipe["pretrained"] and "begin" not in recipe,
            "begin": recipe.get("begin", {}).get("sha256", ""),
            "validation": _validation(recipe["validation"]),
            "epochs": _epochs(recipe),
            "valid_loss": f"{scores['valid_loss']:.4f}",
            "accuracy": f"{scores['accuracy']:.3f}",
            # All digits: the submission is to be made again with them.
            "weight": repr(float(fitted.get(name, 0.0) if fitted else 1.0)).removesuffix(".0"),
            "seconds": clock(seconds),
            "epoch_seconds": clock(sum(epochs)),
            # Of a training that was resumed, only what its last process took is known.
            "rest": clock(rest) if epochs and rest >= 0 else "",
        }


def _validation(validation: Mapping[str, Any]) -> str:
    if validation.get("folds"):
        return f"each of {validation['folds']} folds"
    return f"{100 * validation['share']:g} %"


def _epochs(recipe: Mapping[str, Any]) -> str:
    """Of one training: first the head alone, then all layers."""
    frozen, unfrozen = recipe["epochs"]["frozen"], recipe["epochs"]["unfrozen"]
    once = f"{frozen} + {unfrozen}"
    folds = recipe["validation"].get("folds")
    return f"{folds} x ({once})" if folds else once


def _epoch_seconds(member: TrainingFolder) -> list[float]:
    """The seconds of each epoch of a member, and of its folds, as history.csv has them."""
    return [
        float(seconds)
        for each in member.all_trainings()
        if has_history(each.path)
        for seconds in read_history(each.history)["seconds"]
    ]


def _copies_column(run: Path) -> str:
    index = _index(run)
    return "of pixels" if index is None else copies_column(index)


def _shares(run: Path, settings: Mapping[str, Any]) -> dict[str, float]:
    """Of each class, where test images cannot be read; else empty."""
    index, classes = _index(run), settings["competition"]["classes"]
    if index is None or WHY not in index:
        return {}
    return dict(zip(classes, class_shares(index, classes).tolist(), strict=True))


def _index(run: Path) -> pd.DataFrame | None:
    """The index; None when it cannot be read, which is a fault of its own."""
    try:
        return read_index(run)
    except InputError:
        return None


def _count_images(run: Path) -> dict[str, int]:
    """The images by part; empty without an index."""
    index = _index(run)
    if index is None:
        return {}
    return {str(part): int(count) for part, count in index["part"].value_counts().items()}


def _count_parts(run: Path) -> int:
    """The images of which only a part is there."""
    index = _index(run)
    return int((index["missing"] != "").sum()) if index is not None and "missing" in index else 0


def _left_out(run: Path, why: str) -> Mapping[str, str]:
    """The training images that are `dropped` by the policy, or `unread`."""
    audit = read_audit_if_there(run)
    return audit["policy"][why] if audit else {}


def _blend(run: Path) -> dict[str, Any]:
    return read_blend_if_there(run) or {}
