"""From prediction files to a submission: blended, checked, recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from competition.ensemble.blending import blend
from competition.ensemble.probabilities import probability_problems, read_probabilities
from competition.ensemble.submission import (
    answers,
    bind_to_sample,
    read_sample,
    read_submission,
    submission_problems,
)
from competition.errors import InputError, NegativeVerdict, shorten
from competition.files import sha256_file, write_csv, write_json
from competition.settings import Settings


def members_to_blend(folder: Path, settings: Settings) -> list[tuple[Path, float]]:
    """The test predictions of a run's members, with the weights of the settings.

    Raises:
        InputError: A member that has a weight is not complete.
    """
    weights = {name: settings.weight(name) for name in settings.members if settings.weight(name)}
    missing = [n for n in weights if not (folder / "members" / n / "member.json").is_file()]
    if missing:
        raise InputError(
            f"not complete in {folder}: {', '.join(missing)}",
            mend="Train them first (competition train --help), or name another run with --run.",
        )
    return [(folder / "members" / name / "test.csv", weight) for name, weight in weights.items()]


def copies_to_join(folder: Path, settings: Settings) -> list[list[str]]:
    """The test images of a run that are to get one answer: those with the same decoded pixels.

    Args:
        folder: runs/<run>.
        settings: submission.copies says whether any are to.

    Returns:
        Their ids: a list for each set of two and more.

    Raises:
        InputError: The run has no index.
    """
    if settings.submission.copies == "keep":
        return []
    path = folder / "index.parquet"
    if not path.is_file():
        raise InputError(
            f'submission.copies = "mean" needs {path}, which says what are copies',
            mend="Train the run's members first, or set submission.copies to 'keep'.",
        )
    index = pd.read_parquet(path, use_threads=False)
    test = index[index["part"] == "test"]
    names = [str(name) for name in index.columns]
    sizes = [int(name.removeprefix("pixels_")) for name in names if name.startswith("pixels_")]
    groups = test.groupby(f"pixels_{max(sizes)}", sort=False)["id"]
    return [ids.tolist() for _, ids in groups if len(ids) > 1]


def joined(table: pd.DataFrame, copies: Sequence[Sequence[str]]) -> pd.DataFrame:
    """A table of probabilities in which copies have one answer: the mean of theirs.

    Args:
        table: Ids in the first column, a column of probabilities per class.
        copies: From `copies_to_join`.
    """
    id_column, *classes = table.columns
    rows = {image: row for row, image in enumerate(table[id_column])}
    values = table[classes].to_numpy(copy=True)
    for ids in copies:
        # In the order of ids: the order in which files are named must not change a bit.
        some = [rows[image] for image in sorted(ids) if image in rows]
        if some:
            values[some] = values[some].mean(axis=0)
    return pd.DataFrame({id_column: table[id_column], **dict(zip(classes, values.T, strict=True))})


def blend_files(
    files: Sequence[tuple[Path, float]],
    settings: Settings,
    sample_path: Path | None,
    output: Path,
    copies: Sequence[Sequence[str]] = (),
) -> None:
    """Blend prediction files and write what a submission asks for, in the order of the sample.

    Args:
        files: Prediction files and their weights; the mean is taken in this order.
        settings: Method, clamp and renormalise; and what is asked of a submission. A label or one
            probability is taken from the finished blend.
        sample_path: The host's sample submission; the first file decides ids and order when None.
        output: The file to write.
        copies: From `copies_to_join`: their answers become one.

    Raises:
        NegativeVerdict: The blend is not a valid submission; it is not written.
        InputError: A file cannot be read, or the files do not fit together.
    """
    tables = [read_probabilities(path) for path, _ in files]
    names = [str(path) for path, _ in files]
    blended = blend(tables, [weight for _, weight in files], settings.blend, names)
    if copies:
        blended = joined(blended, copies)
    what = "the blend, which was not written,"
    columns = settings.submission.columns
    if columns == "probability" and settings.submission.rows_sum_to_one:
        id_column, *classes = blended.columns
        problems = probability_problems(blended, id_column, classes, rows_sum_to_one=True)
        _refuse(what, problems)
    if sample_path is not None:
        sample = read_sample(sample_path, settings.classes, columns)
        blended = bind_to_sample(answers(blended, settings.classes, columns), sample)
    else:
        if columns != "classes":
            blended = answers(blended, settings.classes, columns)
        sample = blended
    _refuse(what, _problems(blended, sample, settings))
    write_csv(output, blended)


def validate_file(path: Path, settings: Settings, sample_path: Path) -> int:
    """Check a submission against the sample; the number of its rows.

    Raises:
        NegativeVerdict: It is not valid; everything that is wrong is listed.
        InputError: A file is missing or cannot be read as a table.
    """
    columns = settings.submission.columns
    sample = read_sample(sample_path, settings.classes, columns)
    submission = read_submission(path, columns)
    _refuse(str(path), _problems(submission, sample, settings))
    return len(submission)


def _problems(submission: pd.DataFrame, sample: pd.DataFrame, settings: Settings) -> list[str]:
    asked = settings.submission
    return submission_problems(
        submission,
        sample,
        # One of two probabilities has no sum to check.
        rows_sum_to_one=asked.rows_sum_to_one and asked.columns == "classes",
        labels=settings.classes if asked.columns == "label" else (),
    )


def _refuse(what: str, problems: Sequence[str]) -> None:
    if problems:
        sums = any("row's sum" in problem for problem in problems)
        raise NegativeVerdict(
            f"{what} is not a valid submission:",
            details=shorten(problems, most=20),
            mend="Set blend.renormalise = true to bring the rows to a sum of 1." if sums else "",
        )


def record_blend(folder: Path, settings: Settings) -> None:
    """Bring manifest.json up to date with a submission that was blended anew."""
    path = folder / "manifest.json"
    if path.is_file():
        content = json.loads(path.read_text(encoding="utf-8"))
        for part in ("blend", "submission"):
            content["content"]["settings"][part] = getattr(settings, part).model_dump(mode="json")
        content["content"]["submission"] = sha256_file(folder / "submission.csv")
        write_json(path, content)
