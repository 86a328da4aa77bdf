"""From prediction files to a submission: blended, checked, recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from twinrun.blend.average import Named, blend_tables
from twinrun.blend.choice import describe_origin
from twinrun.blend.copies import find_copies
from twinrun.blend.hand_in import write_submission
from twinrun.blend.held_out import align_held_out, read_groups, read_held_out
from twinrun.blend.parts import Parts, every_member
from twinrun.blend.select import ChosenBlend, blend_of_folds, choose_blend, fixed_blend
from twinrun.blend_methods.methods import mean_of, names_without_fit
from twinrun.config.identity import identity_settings
from twinrun.config.sections import Blend, check_weight
from twinrun.config.settings import Settings
from twinrun.data.unread import with_shares
from twinrun.errors import InputError
from twinrun.files import sha256_file
from twinrun.probabilities import check_probabilities, read_probabilities
from twinrun.run_folder.manifest import (
    read_taken_blend,
    renew_guard,
    write_blend,
    write_manifest,
)
from twinrun.run_folder.paths import PREDICTION_FILES, RunFolder
from twinrun.run_folder.records import checked_file, read_record
from twinrun.run_folder.tables import read_index_if_there, read_predictions


def choose_run_blend(
    folder: Path,
    settings: Settings,
    tables: Mapping[str, pd.DataFrame] | None = None,
    parts: Parts | None = None,
) -> ChosenBlend:
    """The blend of a run's members that the settings ask for, fitted where they ask for a fit.

    It is scored on the images that every one of them held out; duplicates, as the run's index
    groups them, stay together. Of folds alone nothing is fitted or scored. Nothing is written.

    Args:
        folder: runs/<run>.
        settings: Of the blend.
        tables: The members' held-out predictions, from `read_held_out_tables`; what is not among
            them is read.
        parts: What it is made of; from `every_member` when None.

    Raises:
        InputError: As `every_member`, a valid.csv is damaged, or a fit is asked for and there is no
            image that all of them held out.
    """
    parts = parts or every_member(folder, settings)
    if parts.folds:
        return blend_of_folds(settings, parts)
    names, given = parts.names, tables or {}
    held = align_held_out(
        {
            name: given[name]
            if name in given
            else read_held_out(RunFolder(folder).training(name).path, settings.classes)
            for name in names
        },
        read_groups(folder),
        settings,
    )
    chosen = choose_blend(held, settings, names) if held.ids else fixed_blend(settings, names)
    return replace(chosen.with_missing(parts), hooks=settings.hook_digests("blend"))


def blend_run(
    folder: Path,
    settings: Settings,
    sample_path: Path | None,
    output: Path,
    tables: Mapping[str, pd.DataFrame] | None = None,
    written: Blend | None = None,
    parts: Parts | None = None,
) -> ChosenBlend:
    """Blend a run's members into a submission; of the run's own, write blend.json beside it.

    Args:
        folder: runs/<run>.
        settings: Of the blend and the submission.
        sample_path: As for `blend_files`.
        output: The file to write.
        tables: As for `choose_run_blend`.
        written: As for `describe_origin`.
        parts: As for `choose_run_blend`.

    Raises:
        NegativeVerdict: As `blend_files`.
        InputError: As `choose_run_blend` and `blend_files`.
    """
    chosen = choose_run_blend(folder, settings, tables, parts)
    blended = blended_predictions(folder, settings, chosen)
    copies = find_copies(folder, settings)
    write_submission(blended, settings, sample_path, output, copies=copies)
    if output == RunFolder(folder).submission:
        origin = describe_origin(folder, settings, list(chosen.weights), written)
        write_blend(folder, {**chosen.content(), "origin": origin})
    return chosen


def blended_predictions(folder: Path, settings: Settings, chosen: ChosenBlend) -> pd.DataFrame:
    """What a blend of a run's members makes of the test images, before a submission is made of it.

    Args:
        folder: runs/<run>.
        settings: Clamp and renormalise.
        chosen: From `choose_run_blend`.

    Returns:
        id (text), and a float64 column per class; images that cannot be read have the classes'
        shares.

    Raises:
        InputError: A member's test.csv is damaged, or as `blend_tables`.
    """
    files = [(_member_predictions(folder, name), weight) for name, weight in chosen.weights.items()]
    how = chosen.combination
    blended = blend_tables(files, how, settings.blend, temperature=chosen.temperature)
    index = read_index_if_there(folder)
    return blended if index is None else with_shares(blended, index)


def blend_files(
    files: Sequence[tuple[Path, float]],
    settings: Settings,
    sample_path: Path | None,
    output: Path,
    *,
    copies: Sequence[Sequence[str]] = (),
) -> None:
    """Blend prediction files and write what a submission asks for, in the order of the sample.

    Args:
        files: Prediction files and their weights; the mean is taken in this order.
        settings: Method, clamp and renormalise; and what is asked of a submission. A label or one
            probability is taken from the finished blend.
        sample_path: The host's sample submission; the first file decides ids and order when None.
        output: The file to write.
        copies: From `find_copies`: their answers become one.

    Raises:
        NegativeVerdict: The blend is not a valid submission; it is not written.
        InputError: A file cannot be read, the files do not fit together, a weight is none, or the
            settings ask for a blend that has to be fitted: these files come with weights, and
            without labels.
    """
    if settings.blend.fitted:
        calibrated = ", blend.calibrate = true" if settings.blend.calibrate else ""
        raise InputError(
            f'blend.method = "{settings.blend.method}"{calibrated} is fitted to predictions of '
            "images whose labels are known; files with weights (FILE=WEIGHT) have none",
            fix="Blend a run's members (twinrun blend --run NAME), or choose "
            f"--method {names_without_fit()} "
            "(and --set blend.calibrate=false).",
        )
    for path, weight in files:
        try:
            check_weight(weight)
        except ValueError as error:
            raise InputError(f"{path}={weight:g}: a weight is {error}") from None
    mean = mean_of(settings.blend.method)
    tables = [((str(path), _read_predictions(path)), weight) for path, weight in files]
    blended = blend_tables(tables, mean, settings.blend)
    write_submission(blended, settings, sample_path, output, copies=copies)


def _member_predictions(run: Path, name: str) -> Named:
    path = RunFolder(run).training(name).test
    return str(path), check_probabilities(read_predictions(path.parent, path.name), path)


def _read_predictions(path: Path) -> pd.DataFrame:
    """A prediction file from anywhere; one that a complete member has written is compared first."""
    if path.name in PREDICTION_FILES and read_record(path.parent) is not None:
        checked_file(path.parent, path.name)
    return read_probabilities(path)


def record_blend(folder: Path, settings: Settings, manifest: dict[str, Any] | None) -> None:
    """Bring manifest.json up to date with a submission that was blended anew.

    Args:
        folder: runs/<run>.
        settings: Of the blend and the submission.
        manifest: The content of the run's manifest.json, read before anything was written; None
            where there is none.
    """
    if manifest is not None:
        content = manifest["content"]
        for part in ("blend", "submission"):
            content["settings"][part] = identity_settings(getattr(settings, part))
        content["submission"] = sha256_file(RunFolder(folder).submission)
        content["blend"] = read_taken_blend(folder)
        write_manifest(folder, renew_guard(manifest, RunFolder(folder).blend))
