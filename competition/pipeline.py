"""The stages in their order: index, members, blend, submission, manifest."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from competition.data.index import build_index, data_digest
from competition.delivery.provenance import manifest
from competition.determinism.environment import set_up
from competition.ensemble.blending import blend
from competition.ensemble.probabilities import probability_problems, read_probabilities
from competition.ensemble.scoring import Score, compared_score, score
from competition.ensemble.submission import (
    answers,
    bind_to_sample,
    read_sample,
    read_submission,
    refuse_other_images,
    submission_problems,
)
from competition.errors import InputError, NegativeVerdict, shorten
from competition.files import read_csv, sha256_file, whole_file, write_csv, write_json
from competition.locks import held, turn
from competition.settings import Settings
from competition.terminal import clock, say
from competition.training.records import completed_member, member_identity, read_record


@dataclass(frozen=True)
class Prepared:
    """A run before its first member: settings, checked data, environment, folder."""

    settings: Settings
    folder: Path
    index: pd.DataFrame
    sample_path: Path
    environment: dict[str, Any]
    data: str

    def identity(self, name: str) -> dict[str, Any]:
        return member_identity(name, self.settings, self.data, self.environment)

    def member_folder(self, name: str) -> Path:
        return self.folder / "members" / name


def prepare(settings: Settings, folder: Path) -> Prepared:
    """Check the data and set up the environment; nothing is written yet.

    Args:
        settings: Of the run.
        folder: runs/<run>.

    Raises:
        InputError: About the data, the sample submission or the device.
    """
    index = build_index(settings)
    sample_path = settings.data_folder / settings.data.sample_submission
    sample = read_sample(sample_path, settings.classes, settings.submission.columns)
    test = index[index["part"] == "test"]
    refuse_other_images(sample, test["id"].tolist(), sample_path)
    counts = index["part"].value_counts()
    say(
        f"[bold]data[/]      {counts['train']} training and {counts['test']} test images, "
        f"{len(settings.classes)} classes"
    )
    environment = set_up(
        threads=settings.run.threads, device=settings.run.device, workers=settings.run.workers
    )
    decides = environment["decides"]
    say(
        f"[bold]device[/]    {decides.get('gpu', decides['device'])}, torch "
        f"{decides['packages']['torch']}, threads {decides['threads']}, seed {settings.run.seed}"
    )
    return Prepared(settings, folder, index, sample_path, environment, data_digest(index))


def train(run: Prepared, names: Sequence[str], started: float) -> dict[str, dict[str, Any]]:
    """Train the members that are not complete yet, one after the other, and keep the run's record.

    The folders of all of them are locked meanwhile.

    Args:
        run: The run.
        names: Its members.
        started: time.perf_counter() at the command's start.

    Returns:
        The content of member.json by name, in the order given.

    Raises:
        InputError: ImageNet weights that cannot be had, a folder that cannot be written, that
            another process is training in, or that holds something else; checked for all members
            before the first is trained.
        Stopped: Ctrl-C or SIGTERM came.
    """
    settings = run.settings
    with held([run.member_folder(name) for name in names]):
        records: dict[str, dict[str, Any]] = {}
        for name in names:
            record = completed_member(run.member_folder(name), run.identity(name))
            if record is not None:
                records[name] = record
                # What a kill left between the record and their removal.
                shutil.rmtree(run.member_folder(name) / "checkpoint", ignore_errors=True)
        with turn(run.folder), whole_file(run.folder / "index.parquet") as temporary:
            run.index.to_parquet(temporary, index=False)
        to_train = [name for name in names if name not in records]
        if to_train:
            # fastai takes seconds to import; a run that has nothing to train does without.
            from competition.training.members import train_member
            from competition.training.weights import fetch_imagenet
        needed = {settings.members[n].network for n in to_train if settings.members[n].pretrained}
        for network in sorted(needed):
            fetch_imagenet(network)
        # Also before the end: what an interrupted run was made from can be asked for.
        keep_record(run, started)
        for number, name in enumerate(names, 1):
            label = f"[bold]{name}[/] ({number}/{len(names)})"
            if name in records:
                say(f"{label} is complete already, {_result(records[name])}")
                continue
            records[name] = train_member(
                name, settings, run.index, run.environment, run.member_folder(name)
            )
            took = clock(records[name]["seconds"])
            say(f"{label} {settings.members[name].network}, {_result(records[name])}, {took}")
        keep_record(run, started)
    return {name: records[name] for name in names}


def _result(record: dict[str, Any]) -> str:
    scores = record["scores"]
    return f"valid loss {scores['valid_loss']:.4f}, accuracy {scores['accuracy']:.3f}"


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


def blend_files(
    files: Sequence[tuple[Path, float]], settings: Settings, sample_path: Path | None, output: Path
) -> None:
    """Blend prediction files and write what a submission asks for, in the order of the sample.

    Args:
        files: Prediction files and their weights; the mean is taken in this order.
        settings: Method, clamp and renormalise; and what is asked of a submission. A label or one
            probability is taken from the finished blend.
        sample_path: The host's sample submission; the first file decides ids and order when None.
        output: The file to write.

    Raises:
        NegativeVerdict: The blend is not a valid submission; it is not written.
        InputError: A file cannot be read, or the files do not fit together.
    """
    tables = [read_probabilities(path) for path, _ in files]
    names = [str(path) for path, _ in files]
    blended = blend(tables, [weight for _, weight in files], settings.blend, names)
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


def blend_score(run: Prepared, names: Sequence[str]) -> Score:
    """The blend's score, by the settings' metric, on the images that every member held out.

    There is at least one: a member with a smaller share holds out a part of what the others do.
    """
    tables = [_held_out(run, name) for name in names]
    common = sorted(set.intersection(*(set(table["id"]) for table in tables)))
    held_out = [table.set_index("id").loc[common].reset_index() for table in tables]
    labels = held_out[0]["label"]
    probabilities = [table.drop(columns="label") for table in held_out]
    weights = [run.settings.weight(name) for name in names]
    blended = blend(probabilities, weights, run.settings.blend, names)
    return compared_score(blended, labels, run.settings.competition.metric)


def member_scores(run: Prepared, names: Sequence[str]) -> dict[str, float]:
    """Each member's score, by the settings' metric, on the images that it held out."""
    metric = run.settings.competition.metric
    tables = {name: _held_out(run, name) for name in names}
    return {
        name: score(table.drop(columns="label"), table["label"], metric)
        for name, table in tables.items()
    }


def _held_out(run: Prepared, name: str) -> pd.DataFrame:
    """A member's valid.csv: id, label, a column of probabilities per class, in their order."""
    return read_csv(run.member_folder(name) / "valid.csv", text=("id", "label"))


def keep_record(run: Prepared, started: float) -> None:
    """Write manifest.json for all that the run folder holds: members made from this, submission.

    Args:
        run: The run.
        started: time.perf_counter() at the command's start.
    """
    with turn(run.folder):
        members = {}
        for name in run.settings.members:
            record = read_record(run.member_folder(name))
            if record is not None and record["identity"] == run.identity(name):
                members[name] = record
        submission = run.folder / "submission.csv"
        content = manifest(
            run.settings,
            run.data,
            run.environment,
            members,
            submission=submission if submission.is_file() else None,
            seconds=time.perf_counter() - started,
        )
        write_json(run.folder / "manifest.json", content)


def record_blend(folder: Path, settings: Settings) -> None:
    """Bring manifest.json up to date with a submission that was blended anew."""
    path = folder / "manifest.json"
    if path.is_file():
        content = json.loads(path.read_text(encoding="utf-8"))
        for part in ("blend", "submission"):
            content["content"]["settings"][part] = getattr(settings, part).model_dump(mode="json")
        content["content"]["submission"] = sha256_file(folder / "submission.csv")
        write_json(path, content)
