"""How far the runs of several seeds are apart: what "within the spread of seeds" is judged by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from twinrun.compare.prediction_gaps import (
    PredictionGap,
    compare_predictions,
    compare_submissions,
    score_of,
)
from twinrun.run_folder.manifest import read_manifest_if_there
from twinrun.run_folder.paths import PREDICTION_FILES, RunFolder
from twinrun.run_folder.records import checked_file
from twinrun.run_folder.spread import write_spread


def record_spread(
    runs: Sequence[Path], metric: str, columns: str, classes: Sequence[str]
) -> dict[str, dict[str, Any]] | None:
    """Write spread.json into each of the runs of several seeds.

    Of each number it holds the largest that any two of the runs give. Runs that are made from
    something else than the last one, but for the seed, runs that are not complete and those whose
    submission is partial are left out.

    Args:
        runs: Folders runs/<run>. Of those of one seed, the last is compared.
        metric: Of the competition, a name in METRICS.
        columns: What a submission holds, a name in FORMS.
        classes: That it is of.

    Returns:
        `verdict_shapes.SeedSpread` by member; None where fewer than two runs can be compared.

    Raises:
        InputError: A file of a run is damaged, or a folder cannot be written.
    """
    manifests = _of_one_kind(runs)
    seeds = {content["settings"]["run"]["seed"]: run for run, content in manifests.items()}
    if len(seeds) < 2:
        return None
    folders = [RunFolder(run) for _, run in sorted(seeds.items())]
    contents = list(manifests.values())
    members = [
        name for name in contents[0]["members"] if all(name in each["members"] for each in contents)
    ]
    found = {name: _member_spread(name, folders, metric) for name in members}
    submitted = all(each["submission"] for each in contents)
    submission = None
    if submitted:
        pairs = combinations([folder.submission for folder in folders], 2)
        gaps = [
            compare_submissions(*pair, columns=columns, classes=classes, bound=0.0)
            for pair in pairs
        ]
        submission = _widest(gaps) | {"score": None}
    for run, content in manifests.items():
        write_spread(
            run,
            {
                "metric": metric,
                "seeds": sorted(seeds),
                "files": {
                    name: {
                        file: content["members"][name]["files"][file] for file in PREDICTION_FILES
                    }
                    for name in members
                },
                "submission_file": content["submission"] if submitted else None,
                "members": found,
                "submission": submission,
            },
        )
    return found


def _of_one_kind(runs: Sequence[Path]) -> dict[Path, dict[str, Any]]:
    """The content of the manifests of the runs that are as the last whole one but for the seed."""
    found = {run: read_manifest_if_there(run) for run in runs}
    contents = {
        run: manifest["content"]
        for run, manifest in found.items()
        # What members still lack would be taken for what seeds do.
        if manifest and not (manifest["content"]["blend"] or {}).get("partial")
    }
    if not contents:
        return {}
    wanted = _without_seed(list(contents.values())[-1])
    return {run: content for run, content in contents.items() if _without_seed(content) == wanted}


def _without_seed(content: Mapping[str, Any]) -> list[Any]:
    settings = content["settings"]
    run = {name: value for name, value in settings["run"].items() if name != "seed"}
    return [settings | {"run": run}, content["data"], content["code"], content["environment"]]


def _member_spread(name: str, folders: Sequence[RunFolder], metric: str) -> dict[str, Any]:
    trainings = [folder.training(name) for folder in folders]
    scores = [score_of(checked_file(each.path, each.valid.name), metric) for each in trainings]
    pairs = combinations([checked_file(each.path, each.test.name) for each in trainings], 2)
    gaps = [compare_predictions(name, *pair, metric, 0.0) for pair in pairs]
    score = max(scores) - min(scores)
    return _widest(gaps) | {"score": None if any(map(math.isnan, scores)) else score}


def _widest(gaps: Sequence[PredictionGap]) -> dict[str, Any]:
    return {name: max(getattr(gap, name) for gap in gaps) for name in ("largest", "mean", "tops")}
