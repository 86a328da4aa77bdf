"""The stages of a run in their order: index, pixels, members, their scores, manifest."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from competition.data.caching import cached_pixels, with_pixels
from competition.data.index import build_index, data_digest
from competition.data.pixels import Pixels
from competition.delivery.provenance import manifest, recorded_blend
from competition.determinism.environment import set_up
from competition.ensemble.scoring import score
from competition.ensemble.submission import read_sample, refuse_other_images
from competition.files import read_csv, whole_file, write_json
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
    pixels: dict[int, Pixels]
    sample_path: Path
    environment: dict[str, Any]
    data: str

    @cached_property
    def _digests(self) -> dict[int, str]:
        """Of the data with the pixels of a size."""
        return {size: data_digest(self.index, each.column) for size, each in self.pixels.items()}

    def identity(self, name: str) -> dict[str, Any]:
        data = self._digests[self.settings.members[name].image_size]
        return member_identity(name, self.settings, data, self.environment)

    def member_folder(self, name: str) -> Path:
        return self.folder / "members" / name


def prepare(settings: Settings, folder: Path) -> Prepared:
    """Check the data, decode it and set up the environment; only the cache is written to.

    Args:
        settings: Of the run.
        folder: runs/<run>.

    Raises:
        InputError: About the data, the sample submission, the cache or the device.
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
    sizes, cache = settings.image_sizes(), settings.cache_folder(folder.parent)
    pixels = cached_pixels(index, settings.data_folder, sizes, cache)
    environment = set_up(
        threads=settings.run.threads, device=settings.run.device, workers=settings.run.workers
    )
    decides = environment["decides"]
    say(
        f"[bold]device[/]    {decides.get('gpu', decides['device'])}, torch "
        f"{decides['packages']['torch']}, threads {decides['threads']}, seed {settings.run.seed}"
    )
    return Prepared(
        settings,
        folder,
        with_pixels(index, pixels),
        pixels,
        sample_path,
        environment,
        data_digest(index),
    )


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
                name, settings, run.index, run.pixels, run.environment, run.member_folder(name)
            )
            took = clock(records[name]["seconds"])
            say(f"{label} {settings.members[name].network}, {_result(records[name])}, {took}")
        keep_record(run, started)
    return {name: records[name] for name in names}


def _result(record: dict[str, Any]) -> str:
    scores = record["scores"]
    return f"valid loss {scores['valid_loss']:.4f}, accuracy {scores['accuracy']:.3f}"


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
            blend=recorded_blend(run.folder),
        )
        write_json(run.folder / "manifest.json", content)
