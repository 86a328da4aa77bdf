"""One training, of a member or of a fold of it, from recipe to files: predicted, written down."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors.torch
import torch
from fastai.data.core import DataLoaders
from fastai.learner import Learner

from twinrun.config.recipe import Member
from twinrun.config.settings import Settings
from twinrun.config.trainings import Training
from twinrun.console import say
from twinrun.data.folds import fold_ids
from twinrun.data.index import GROUP, data_digest
from twinrun.data.keyed_loader import KeyedLoader
from twinrun.data.loaders import member_loaders, prediction_loader
from twinrun.data.own_transforms import own_transforms
from twinrun.data.pixels import Pixels
from twinrun.data.splits import validation_ids
from twinrun.data.tta import tta_views
from twinrun.data.unread import readable, with_shares
from twinrun.errors import InputError
from twinrun.files import sha256_file, whole_file, write_csv
from twinrun.hooks.calls import telling_mistakes
from twinrun.metrics import member_scores
from twinrun.networks.beginning import keep
from twinrun.networks.table import family_of, weights_of
from twinrun.repro.digests import digest_tensors, fetch_digests
from twinrun.repro.group import current_group
from twinrun.repro.in_force import hold, refuse_changed
from twinrun.repro.keys import Key
from twinrun.repro.ledger import Ledger
from twinrun.repro.ranks import ALONE, current_rank
from twinrun.run_folder.paths import TrainingFolder
from twinrun.run_folder.records import member_identity, training_digests, write_record
from twinrun.train.averages import averages_of, estimate_norms
from twinrun.train.beginning import begin_with
from twinrun.train.callbacks import Bars
from twinrun.train.checkpoints import Checkpoints
from twinrun.train.fit import fit
from twinrun.train.learner import build_learner
from twinrun.train.own_parts import OwnParts
from twinrun.train.predict import predict
from twinrun.train.record_start import record_start
from twinrun.train.recorder import Recorder
from twinrun.train.signals import TimeLimit
from twinrun.train.too_large import name_what_to_lower
from twinrun.train.tracking import tracking_of


@dataclass
class TrainingSetup:
    """All that a training needs, ready to begin.

    Attributes:
        training: Which one it is.
        member: The recipe.
        labels: Class by id, of the training images.
        index: Of the run.
        pixels: The cache of the member's size.
        learner: Untrained.
        identity: What decides the bits.
        environment: From `set_up`.
        ledger: With the rows of what comes before the first step.
        pretrained: Name and SHA-256 of the file of weights that it began with; empty: none.
    """

    settings: Settings
    training: Training
    member: Member
    labels: dict[str, str]
    index: pd.DataFrame
    pixels: Pixels
    loaders: DataLoaders
    learner: Learner
    identity: dict[str, Any]
    environment: dict[str, Any]
    ledger: Ledger
    pretrained: dict[str, str]

    def take_average(self, ledger: Ledger) -> None:
        """Make the weights those that the recipe uses, if it is not the last ones.

        Args:
            ledger: Of the training, to which they are noted.
        """
        average = averages_of(self.learner)
        if average is None:
            return
        average.put_in_place()
        epochs, steps = self.ledger.about["epochs"], self.ledger.about["steps"]
        with telling_mistakes():
            estimate_norms(self.learner, epochs)
        weights = self.learner.model.state_dict().values()
        digest = digest_tensors(list(weights))
        ledger.add("average", digest, epoch=epochs, step=steps, what="weights.safetensors")

    def predictions(self) -> dict[str, pd.DataFrame]:
        """valid.csv and test.csv as the learner's weights give them, by file name.

        Raises:
            InputError: The training has diverged, or as `refuse_changed`.
        """
        valid = self._predicted(self.loaders.valid)
        valid.insert(1, "label", [self.labels[image] for image in valid["id"]])
        seen = readable(self.index)
        seen = seen[seen["part"] == "test"].reset_index(drop=True)
        unlabelled = prediction_loader(self.loaders, seen, self.pixels)
        test = with_shares(self._predicted(unlabelled), self.index)
        self.refuse_changed()
        return {"valid.csv": valid, "test.csv": test}

    def refuse_changed(self) -> None:
        """Check that what decides bits is as it was before the first step.

        Raises:
            InputError: Code that ran since has changed how a library computes.
        """
        refuse_changed(self.environment, self.training.title)

    def _predicted(self, loader: KeyedLoader) -> pd.DataFrame:
        passes, mean = tta_views(self.member), self.member.test_time.mean
        with telling_mistakes():
            return predict(self.learner.model, loader, self.settings.classes, passes, mean)


def set_up_training(
    name: str,
    settings: Settings,
    index: pd.DataFrame,
    pixels: Mapping[int, Pixels],
    environment: dict[str, Any],
) -> TrainingSetup:
    """Split the data, build loaders and learner of a training, and begin its ledger.

    Args:
        name: The training's name: a member's in the settings, or one of its folds.
        settings: Of the run.
        index: From `with_pixels`, as the audit's policy leaves it.
        pixels: From `cache_pixels`, by size.
        environment: From `set_up`.

    Raises:
        InputError: Too few images, or pretrained weights that cannot be had; what decides bits is
            not what `set_up` found, and cannot be set.
    """
    training = settings.training(name)
    member = settings.members[training.member]
    own = pixels[member.cached_size]
    classes = settings.classes
    key = Key((settings.run.seed, *training.key))
    train = index[index["part"] == "train"].reset_index(drop=True)
    held_out = _held_out(train, training, member, settings.run.seed)
    statistics = family_of(member.network).pixel_statistics(member.network)
    ranks = current_rank() if "ranks" in environment["decides"] else ALONE
    loaders = member_loaders(
        train,
        held_out=held_out,
        pixels=own,
        classes=classes,
        member=member,
        key=key,
        workers=settings.run.workers,
        statistics=statistics,
        device=torch.device(environment["decides"]["device"]),
        ranks=ranks,
        own_items=own_transforms(settings, "item_transforms", member, training.name),
        own_batches=own_transforms(settings, "batch_transforms", member, training.name),
    )
    labels = dict(zip(train["id"], train["label"], strict=True))
    found = Counter(labels[image] for image in loaders.train.ids)
    counts = {name: found[name] for name in classes}
    parts = OwnParts(settings, member, training.name)
    learner = build_learner(
        member, loaders, classes=len(classes), key=key, counts=counts, own=parts
    )
    first = None
    if member.begin.sha256 is not None:
        first = keep(member.begin.sha256, settings.begin_file(training.member))
        if told := begin_with(learner.model, first, training.title):
            say((training.title, "bold"), f" begins with {first.name[:14]}...: {told}")
    if ranks.count > 1:
        parts.refuse_for_ranks(learner.own_loss)
        if member.gradient_checkpointing and loaders.device.type == "cuda":
            raise InputError(
                f"{training.title}: gradient_checkpointing does not go with several ranks on GPUs: "
                "their batch norms would count each batch twice",
                fix="Train it with one rank, or without.",
            )
        current_group().share_steps(learner)
    # All libraries are imported by now; fastai itself sets a flag of cuDNN.
    hold(environment, training.title)
    identity = member_identity(name, settings, data_digest(index, own.column), environment)
    ledger = Ledger(
        {
            **identity,
            "level": settings.run.ledger,
            "code": environment["beside"]["code"],
            "epochs": member.epochs.frozen + member.epochs.unfrozen,
            "steps": len(loaders.train),
        }
    )
    decides = {**identity["environment"], "precision": member.precision}
    if statistics is not None:
        decides["pixels"] = {"mean": statistics[0], "deviation": statistics[1]}
    record_start(ledger, decides, index, own.column, loaders, labels, learner.model)
    return TrainingSetup(
        settings=settings,
        training=training,
        member=member,
        labels=labels,
        index=index,
        pixels=own,
        loaders=loaders,
        learner=learner,
        identity=identity,
        environment=environment,
        ledger=ledger,
        pretrained=_weights_file(member, first),
    )


def _held_out(train: pd.DataFrame, training: Training, member: Member, seed: int) -> list[str]:
    """The ids that a training validates with."""
    if training.fold:
        return fold_ids(train, folds=training.folds, seed=seed)[training.fold - 1]
    assert member.validation.share is not None
    return validation_ids(
        train["id"].tolist(),
        share=member.validation.share,
        seed=seed,
        groups=train[GROUP].tolist(),
    )


def _weights_file(member: Member, first: Path | None) -> dict[str, str]:
    if member.fetches_weights:
        first = weights_of(member.network).fetch(member.network)
    return {} if first is None else {"file": first.name, "sha256": sha256_file(first)}


@dataclass(frozen=True)
class RemoteRun:
    """What reaches the run that a training belongs to, when a different machine trains it.

    Attributes:
        node: The machine's number in its cluster; beside what decides bits, in member.json.
        saved: Called when a checkpoint has been written into the folder.
        bars: Get its progress, in place of those of this process's terminal.
    """

    node: str
    saved: Callable[[], None]
    bars: Bars


def train_member(
    name: str,
    settings: Settings,
    index: pd.DataFrame,
    pixels: Mapping[int, Pixels],
    environment: dict[str, Any],
    folder: Path,
    *,
    tracking: Path | None = None,
    remote: RemoteRun | None = None,
    limit: TimeLimit | None = None,
) -> dict[str, Any]:
    """Train a member, or a fold of it, and write its files.

    The last of them is member.json, which says that the training is complete.

    A training that was interrupted resumes from its last checkpoint. Of several ranks the first
    alone writes; all return what it has written.

    Args:
        name: The training's name: a member's in the settings, or one of its folds.
        settings: Of the run.
        index: From `with_pixels`, as the audit's policy leaves it.
        pixels: From `cache_pixels`, by size.
        environment: From `set_up`.
        folder: runs/<run>/members/<name>.
        tracking: runs/<run>/tracking, where the settings' trackers write; None: nothing is tracked.
        remote: For a training on a machine other than its run's.
        limit: The time that it has; None: all.

    Returns:
        The content of member.json: what decided the bits, the scores of the epoch whose weights are
        taken (with test-time augmentation: those of valid.csv), the files' digests, the seconds
        that this process took; beside these what it was trained on that decides no bit, and where
        it resumed.

    Raises:
        InputError: As the stages say, or the folder cannot be written.
        Stopped: Ctrl-C or SIGTERM came.
        OutOfTime: The time was over; a checkpoint was written.
    """
    started, group = time.perf_counter(), current_group()
    setup = set_up_training(name, settings, index, pixels, environment)
    saved = None if remote is None else remote.saved
    place = TrainingFolder(folder)
    checkpoints = Checkpoints(place.checkpoint, setup.identity, saved)
    recorder = Recorder(setup.ledger, settings.run.ledger)
    first = not setup.loaders.train.ranks.rank
    mindful = partial(name_what_to_lower, setup.training, setup.member, settings.run.workers)
    with mindful(setup.learner.model):
        trained = fit(
            setup.learner,
            setup.member,
            name=setup.training.title,
            folder=folder if first else None,
            recorder=recorder,
            checkpoints=checkpoints,
            seconds=settings.run.checkpoint_seconds,
            metric=settings.competition.metric,
            tracking=tracking_of(settings, name, tracking if first else None),
            bars=None if remote is None else remote.bars,
            unchanged=setup.refuse_changed,
            limit=limit,
        )
    ledger = recorder.ledger
    scores, last = trained.scores, (trained.epochs, setup.ledger.about["steps"])
    ranks = setup.loaders.train.ranks
    after = f"stopped {setup.training.title} in its predictions; its checkpoint is written"
    with limit.ends(after) if limit else nullcontext(), mindful(setup.learner.model):
        # The last epoch's checkpoint is there until the record is.
        setup.take_average(ledger)
        if ranks.count > 1:
            weights = digest_tensors(list(setup.learner.model.state_dict().values()))
            group.refuse_different("result", {"weights": fetch_digests([weights])[0]})
        predictions = setup.predictions()
    if ranks.rank:
        return group.broadcast(dict[str, Any]())
    if tta_views(setup.member) or averages_of(setup.learner):
        # An epoch's are of one look at every image, by its last weights.
        scores |= member_scores(predictions["valid.csv"], settings.competition.metric)
    for file, table in predictions.items():
        write_csv(folder / file, table)
        probabilities = torch.from_numpy(table[settings.classes].to_numpy(copy=True))
        digest = digest_tensors([probabilities])
        ledger.add("prediction", digest, epoch=last[0], step=last[1], what=file)
    ledger.write(place.ledger)
    with whole_file(place.weights) as temporary:
        # Not save_file: on a full disk it raises an error that is no OSError.
        weights = setup.learner.model.state_dict()
        temporary.write_bytes(
            safetensors.torch.save({name: each.contiguous() for name, each in weights.items()})
        )
    record = {
        "identity": setup.identity,
        "images": {
            "train": len(setup.loaders.train.ids),
            "valid": len(predictions["valid.csv"]),
            "test": len(predictions["test.csv"]),
        },
        "scores": scores,
        **training_digests(folder),
        "seconds": round(time.perf_counter() - started, 3),
        "beside": {
            **{name: each for name, each in environment["beside"].items() if name != "code"},
            "resumed": recorder.resumed,
        },
    }
    if setup.pretrained:
        record["pretrained"] = setup.pretrained
    if setup.member.take.epoch == "best":
        record["taken"] = trained.taken
    if remote is not None:
        record["node"] = remote.node
    write_record(folder, record)
    checkpoints.clear()
    # Ten networks in a row must not add up in memory.
    del setup, recorder, ledger
    gc.collect()
    return group.broadcast(record)
