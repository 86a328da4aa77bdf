"""What is not the same in two runs and is no matter of the machine: code, data, settings, seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from twinrun.blend_methods.methods import names_without_fit
from twinrun.compare.evidence import ValueDifference
from twinrun.compare.grade import Cause
from twinrun.compare.runs import RunComparison
from twinrun.errors import gaps
from twinrun.run_folder.records import read_record
from twinrun.run_folder.tables import read_index

# A setting that says on what a run is computed, and not what: the environment has it too.
_OF_THE_MACHINE = "run.threads"
_SEED = "run.seed"
# What no machine rounds: a difference there is one of what was computed. The order of images is
# also another one on another number of ranks, which is a difference of the environment.
_OF_THE_RECIPE = ("files", "split", "order", "optimizer")
_RANKS = "ranks"


def find_causes(report: RunComparison, manifests: Sequence[Mapping[str, Any]]) -> tuple[Cause, ...]:
    """What is different besides the machine in two runs, by kind.

    Args:
        report: The runs, compared.
        manifests: The content of both manifests.

    Raises:
        InputError: A file of a run is damaged.
    """
    before, now = (manifest["content"] for manifest in manifests)
    settings = [
        gap for gap in report.settings if gap.name != _OF_THE_MACHINE and gap not in report.of_hooks
    ]
    lines: dict[str, list[str]] = {
        "own code": [f"{gap.name} differs" for gap in report.of_hooks],
        **{"data": [], "labels": []},
        "settings": [_describe(gap) for gap in settings if gap.name != _SEED],
        "seed": [_describe(gap) for gap in settings if gap.name == _SEED],
        "pretrained weights": list(_other_weights(report)),
        "blend": list(other_fixed_blend(before["blend"], now["blend"], before["settings"])),
    }
    if before["data"] != now["data"]:
        lines["data"], lines["labels"] = _other_images(*report.runs)
    if not any(lines.values()):
        # Else the order of the images, say, follows from a different seed.
        lines["recipe"] = list(_other_recipe(report))
    return tuple(Cause(kind, tuple(found)) for kind, found in lines.items() if found)


def other_fixed_blend(
    before: Mapping[str, Any] | None, now: Mapping[str, Any] | None, settings: Mapping[str, Any]
) -> Iterator[str]:
    """What differs in two blends whose weights are fixed by the settings, and not fitted.

    Args:
        before: As a manifest has it, `shapes.TakenBlend`; None: it is not known.
        now: Likewise.
        settings: Of the run, as its manifest has them.
    """
    if before and now and not _is_fitted(settings):
        for name, old, new in gaps(_without_hooks(before), _without_hooks(now)):
            yield f"{name}: {old} then, {new} now"


def other_fitted_blend(
    before: Mapping[str, Any] | None,
    now: Mapping[str, Any] | None,
    settings: Mapping[str, Any],
    bound: float,
) -> Iterator[str]:
    """What differs in two blends that were fitted, by more than rounding.

    Args:
        before: As for `other_fixed_blend`.
        now: Likewise.
        settings: Likewise.
        bound: Of the difference of a weight or temperature.
    """
    if before and now and _is_fitted(settings):
        for name, old, new in gaps(_without_hooks(before), _without_hooks(now)):
            numbers = isinstance(old, float) and isinstance(new, float)
            if not numbers or not abs(old - new) < bound:
                yield f"blend, {name}: {old} then, {new} now"


def _without_hooks(blend: Mapping[str, Any]) -> dict[str, Any]:
    """A blend without the digests of own code, which is a cause by itself."""
    return {name: value for name, value in blend.items() if name != "hooks"}


def _is_fitted(settings: Mapping[str, Any]) -> bool:
    blend = settings.get("blend", {})
    return bool(blend.get("calibrate")) or blend.get("method") not in names_without_fit()


def _describe(gap: ValueDifference) -> str:
    return f"{gap.name}: {gap.first} then, {gap.second} now"


def _other_images(first: Path, second: Path) -> tuple[list[str], list[str]]:
    """Lines about images, and lines about labels, that are not the same in two indexes."""
    then, now = (_images(run) for run in (first, second))
    images = [f"{image}: missing" for image in sorted(then.keys() - now.keys())]
    images += [f"{image}: new" for image in sorted(now.keys() - then.keys())]
    labels = []
    for image in sorted(then.keys() & now.keys()):
        (label, digest), (new_label, new_digest) = then[image], now[image]
        if digest != new_digest:
            images.append(f"{image}: changed")
        if label != new_label:
            labels.append(f"{image}: was {label}, is {new_label}")
    if not images and not labels:
        images = ["the digests of the data are not the same"]
    return images, labels


def _images(run: Path) -> dict[str, tuple[str, str]]:
    """(label, SHA-256) by "part/id"."""
    index = read_index(run)
    names = index["part"] + "/" + index["id"]
    return dict(zip(names, zip(index["label"], index["sha256"], strict=True), strict=True))


def _other_recipe(report: RunComparison) -> Iterator[str]:
    """What else the ledgers show that no machine rounds."""
    for member in report.members:
        stages = [name for name in member.comparison.stages if name in _OF_THE_RECIPE]
        if any(gap.name.startswith(_RANKS) for gap in report.environment):
            stages = [name for name in stages if name != "order"]
        if stages:
            yield f"{member.title}: the ledgers differ in {', '.join(stages)}"


def _other_weights(report: RunComparison) -> Iterator[str]:
    for member in report.members:
        then, now = (_weights(folder) for folder in member.folders)
        if then != now:
            yield f"{member.title}: {then} then, {now} now"


def _weights(folder: Path) -> str:
    record = read_record(folder) or {}
    found = record.get("pretrained")
    return f"{found['file']}, SHA-256 {found['sha256'][:8]}" if found else "none"
