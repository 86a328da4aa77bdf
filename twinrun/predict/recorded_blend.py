"""The blend that a run recorded: which members, by which mean, with which weights."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from twinrun.blend.average import blend_tables
from twinrun.blend.parts import every_member
from twinrun.blend.select import fixed_blend
from twinrun.blend_methods.methods import BLEND_METHODS
from twinrun.config.settings import Settings
from twinrun.errors import InputError
from twinrun.files import sha256_json
from twinrun.run_folder.manifest import read_blend
from twinrun.run_folder.paths import RunFolder


@dataclass(frozen=True)
class RecordedBlend:
    """What makes one answer of the members' predictions.

    Attributes:
        method: A name in BLEND_METHODS.
        weights: By member, sorted; of a partial blend of folds by fold. Members of no weight are
            not among them, since they move no bit.
        model: The numbers of a stack, as blend.json has them; None where there is none.
        temperature: 1 leaves the blend as it is.
        missing: Members and folds that the settings give a weight, and that the blend is made
            without.
        partial: It is to be replaced when these are complete; else the settings allow it.
    """

    method: str
    weights: Mapping[str, float]
    model: Mapping[str, Any] | None
    temperature: float
    missing: tuple[str, ...]
    partial: bool

    def record(self) -> dict[str, Any]:
        """As `record.UsedBlend`."""
        content = asdict(self) | {"weights": dict(self.weights), "missing": list(self.missing)}
        model = content.pop("model")
        return content | ({"model": sha256_json(model)} if model is not None else {})

    @property
    def across_images(self) -> bool:
        """Whether what an image is given depends on the images beside it."""
        return BLEND_METHODS.get(self.method).mean.across_images

    def blend(self, tables: Mapping[str, pd.DataFrame], settings: Settings) -> pd.DataFrame:
        """The members' predictions as one, as the run's submission has them before it is bound.

        Args:
            tables: Of each member of `weights`: ids, then float64 probabilities per class.
            settings: Of the run.

        Raises:
            InputError: Rows of which nothing is left to renormalise; or the numbers of a stack are
                none of such a model.
        """
        files = [((name, tables[name]), weight) for name, weight in self.weights.items()]
        how = BLEND_METHODS.get(self.method).combination(self.model, list(self.weights))
        return blend_tables(files, how, settings.blend, temperature=self.temperature)


def find_blend(run: Path, settings: Settings, manifest: Mapping[str, Any]) -> RecordedBlend:
    """The blend of a run: that of its submission, or the settings' fixed one where none was made.

    Args:
        run: runs/<run>.
        settings: Of its manifest.
        manifest: Its content.

    Raises:
        InputError: blend.json is damaged; or none was made, and the settings ask for one that is to
            be fitted, or for members that are not complete and may not be missing.
    """
    taken = manifest["content"]["blend"]
    if taken is None:
        taken = fixed_blend(settings, every_member(run, settings).names).record()
    weights = dict(sorted(taken["weights"].items()))
    return RecordedBlend(
        method=taken["method"],
        weights={name: weight for name, weight in weights.items() if weight},
        model=_recorded_model(run, taken),
        temperature=taken["temperature"],
        missing=tuple(_missing(weights, settings)),
        partial=bool(taken.get("partial")),
    )


def _recorded_model(run: Path, taken: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if "model" not in taken:
        return None
    model: Mapping[str, Any] | None = read_blend(run).get("stack")
    if model is None or sha256_json(model) != taken["model"]:
        raise InputError(
            f"{RunFolder(run).blend} does not hold the stack that the run's manifest names",
            fix="Blend the run again with `twinrun blend`.",
        )
    return model


def _missing(taken: Collection[str], settings: Settings) -> Iterator[str]:
    for member in sorted(settings.members):
        if not settings.weight(member) or member in taken:
            continue
        folds = [each.name for each in settings.trainings(member)]
        some = any(name in taken for name in folds)
        yield from (name for name in folds if name not in taken) if some else (member,)
