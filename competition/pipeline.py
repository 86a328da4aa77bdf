"""The stages of a run in their order: index, pixels, audit, members, their scores, manifest."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd
from rich.markup import escape

from competition.data.audit import Audit, audit
from competition.data.caching import cached_pixels, with_pixels
from competition.data.folds import check_folds
from competition.data.index import build_index, data_digest
from competition.data.pixels import Pixels
from competition.data.validating import validation_warnings
from competition.delivery.provenance import manifest, recorded_blend
from competition.determinism.environment import set_up
from competition.ensemble.out_of_fold import put_together
from competition.ensemble.scoring import METRICS, score
from competition.ensemble.submission import read_sample, refuse_other_images
from competition.files import read_csv, whole_file, write_json
from competition.locks import held, turn
from competition.networks import timm_name
from competition.settings import Settings
from competition.terminal import clock, say
from competition.training.records import (
    completed_member,
    member_identity,
    read_record,
    refuse_other_kind,
)
from competition.trainings import Training


@dataclass(frozen=True)
class Prepared:
    """A run before its first member: settings, checked data, environment, folder.

    The index is as the audit's policy leaves it.
    """

    settings: Settings
    folder: Path
    index: pd.DataFrame
    pixels: dict[int, Pixels]
    sample_path: Path
    environment: dict[str, Any]
    data: str
    audit: Audit

    @cached_property
    def train(self) -> pd.DataFrame:
        """The index's training rows."""
        return self.index[self.index["part"] == "train"].reset_index(drop=True)

    @cached_property
    def _digests(self) -> dict[int, str]:
        """Of the data with the pixels of a size: for 100,000 images each takes seconds."""
        return {}

    def identity(self, name: str) -> dict[str, Any]:
        """What decides the bits of a training, or of all trainings of a member with folds."""
        size = self.settings.members[name.partition("/")[0]].cached_size
        if size not in self._digests:
            self._digests[size] = data_digest(self.index, self.pixels[size].column)
        return member_identity(name, self.settings, self._digests[size], self.environment)

    def member_folder(self, name: str) -> Path:
        """The folder of a member or of one of its trainings."""
        return self.folder / "members" / name


def prepare(settings: Settings, folder: Path) -> Prepared:
    """Check the data, decode and audit it, set up the environment; only the cache is written to.

    Args:
        settings: Of the run.
        folder: runs/<run>.

    Raises:
        InputError: About timm's networks, the data, the sample submission, the cache or the device.
        NegativeVerdict: The audit has found what the settings want no training on.
    """
    if any(timm_name(member.network) for member in settings.members.values()):
        # timm takes seconds to import.
        from competition.training.bodies import refuse_unknown_bodies

        refuse_unknown_bodies(settings.members)
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
    sizes, cache = settings.cached_sizes(), settings.cache_folder(folder.parent)
    pixels = cached_pixels(index, settings.data_folder, sizes, cache)
    audited = audit(with_pixels(index, pixels), pixels, settings)
    audited.refuse()
    for line in audited.in_short():
        say(line)
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
        audited.index,
        pixels,
        sample_path,
        environment,
        data_digest(audited.index),
        audited,
    )


def warn_of_validation(run: Prepared, names: Sequence[str]) -> None:
    """Print what the members' validation cannot tell, once for all of them.

    Raises:
        InputError: Images cannot be dealt out to the folds.
    """
    for warning in validation_warnings(run.settings, run.train, names):
        say(f"[yellow]warning[/]   {escape(warning)}")


def train(run: Prepared, names: Sequence[str], started: float) -> dict[str, dict[str, Any]]:
    """Train the members that are not complete yet, one after the other, and keep the run's record.

    Of a member with folds, what is not complete of them. The members' folders are locked
    meanwhile.

    Args:
        run: The run.
        names: Its members.
        started: time.perf_counter() at the command's start.

    Returns:
        The content of member.json by name, in the order given.

    Raises:
        InputError: Pretrained weights that cannot be had, a folder that cannot be written, that
            another process is training in, or that holds something else; images that cannot be
            dealt out to folds; checked for all members before the first is trained.
        Stopped: Ctrl-C or SIGTERM came.
    """
    settings = run.settings
    check_folds(settings, run.train, names)
    trainings = {name: settings.trainings(name) for name in names}
    with held([run.member_folder(name) for name in names]):
        records = _complete(run, trainings)
        with turn(run.folder), whole_file(run.folder / "index.parquet") as temporary:
            run.index.to_parquet(temporary, index=False)
        write_json(run.folder / "audit.json", run.audit.content())
        recipes = [
            settings.members[name]
            for name, own in trainings.items()
            if name not in records and any(each.name not in records for each in own)
        ]
        if recipes:
            # fastai takes seconds to import; a run that has nothing to train does without.
            from competition.training.tracking import refuse_missing_trackers
            from competition.training.weights import fetch_weights

            refuse_missing_trackers(settings.run.tracking)
        for network in sorted({recipe.network for recipe in recipes if recipe.pretrained}):
            fetch_weights(network)
        # Also before the end: what an interrupted run was made from can be asked for.
        keep_record(run, started)
        for number, name in enumerate(names, 1):
            _train(run, trainings[name], f"({number}/{len(names)})", records)
        keep_record(run, started)
    return {name: records[name] for name in names}


def _places(trainings: Sequence[Training]) -> list[str]:
    """The folders of a member below members/: its own, and those of its folds."""
    return list(dict.fromkeys([trainings[0].member, *(each.name for each in trainings)]))


def _complete(
    run: Prepared, trainings: Mapping[str, Sequence[Training]]
) -> dict[str, dict[str, Any]]:
    """The records of the members that are complete, and of the folds of the others that are."""
    records: dict[str, dict[str, Any]] = {}
    for member, own in trainings.items():
        for name in _places(own):
            folder = run.member_folder(name)
            if member not in records:  # whose record holds the digests of its folds' files too
                record = completed_member(folder, run.identity(name))
                if record is not None:
                    records[name] = record
            if name in records or member in records:
                # What a kill left between the record and their removal.
                shutil.rmtree(folder / "checkpoint", ignore_errors=True)
        refuse_other_kind(run.member_folder(member), folds=bool(own[0].fold))
    return records


def _train(
    run: Prepared, trainings: Sequence[Training], place: str, records: dict[str, dict[str, Any]]
) -> None:
    """Train what is not complete of a member, and put its folds together; add its records."""
    member = trainings[0].member
    if member in records:
        say(f"[bold]{member}[/] {place} is complete already, {_result(records[member])}")
        return
    for training in trainings:
        label, name = f"[bold]{training.title}[/] {place}", training.name
        if name in records:
            say(f"{label} is complete already, {_result(records[name])}")
            continue
        from competition.training.callbacks import ExtraMetric
        from competition.training.members import train_member

        metric = run.settings.competition.metric
        extra = ExtraMetric(metric, partial(score, metric=metric))
        records[name] = record = train_member(
            name,
            run.settings,
            run.index,
            run.pixels,
            run.environment,
            run.member_folder(name),
            metric=None if metric in ("log_loss", "accuracy") else extra,
            tracking=run.folder / "tracking",
        )
        network = run.settings.members[member].network
        say(f"{label} {network}, {_result(record)}, {clock(record['seconds'])}")
    if member not in records:
        records[member] = put_together(
            run.member_folder(member),
            run.identity(member),
            {training.folder: records[training.name] for training in trainings},
            run.train["id"].tolist(),
        )
        say(f"[bold]{member}[/] {place} out of fold: {_result(records[member])}")


def _result(record: dict[str, Any]) -> str:
    """The scores, but for the losses and rates that say the same in other words."""
    scores = record["scores"]
    others = [
        f"{METRICS[name].name} {value:.3f}" for name, value in scores.items() if name in METRICS
    ]
    return ", ".join([f"valid loss {scores['valid_loss']:.4f}", *others])


def member_scores(run: Prepared, names: Sequence[str]) -> dict[str, float]:
    """Each one's score, by the settings' metric, on the images that it held out.

    Args:
        run: The run.
        names: Of members or of trainings; of a member with folds it is the out-of-fold score.
    """
    metric = run.settings.competition.metric
    tables = {name: _held_out(run, name) for name in names}
    return {
        name: score(table.drop(columns="label"), table["label"], metric)
        for name, table in tables.items()
    }


def fold_scores(run: Prepared, names: Sequence[str]) -> dict[str, list[float]]:
    """The scores, as `member_scores` gives them, of the folds of each member that has folds."""
    folds = {name: [each.name for each in run.settings.trainings(name)] for name in names}
    return {
        name: list(member_scores(run, own).values()) for name, own in folds.items() if own != [name]
    }


def _held_out(run: Prepared, name: str) -> pd.DataFrame:
    """valid.csv of a member or training: id, label, a probability per class, in their order."""
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
