"""A run before and after its trainings: index, pixels, audit; scores, manifest."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from twinrun.audit.audit import Audit, audit
from twinrun.audit.validation_warnings import validation_warnings
from twinrun.blend.held_out import own_scores, read_held_out_tables
from twinrun.blend.submission import read_sample, refuse_other_images
from twinrun.config.any_csv import said_of_sample, separator_of
from twinrun.config.data_folder import join_errors
from twinrun.config.settings import Settings
from twinrun.config.trainings import member_of
from twinrun.console import say
from twinrun.data.cache import cache_pixels, cache_readable_pixels, with_pixels
from twinrun.data.decode_settings import DecodeSettings
from twinrun.data.index import data_digest, list_images, unreadable_images
from twinrun.data.passed_over import lines_on, passed_over
from twinrun.data.pixels import Pixels
from twinrun.data.unread import left_out, refuse_too_many, with_unread
from twinrun.data.wide_values import ValueRange
from twinrun.errors import InputError
from twinrun.files import is_there
from twinrun.image_formats import Other
from twinrun.locks import lock_record
from twinrun.networks.table import refuse_unusable
from twinrun.repro.environment import set_up
from twinrun.repro.gpus import refuse_precisions
from twinrun.repro.group import current_group
from twinrun.repro.versions import imported_packages
from twinrun.run_folder.manifest import (
    build_manifest,
    guard_digests,
    read_taken_blend,
    read_written_blend,
    write_manifest,
)
from twinrun.run_folder.paths import RunFolder
from twinrun.run_folder.place import write_place
from twinrun.run_folder.records import (
    find_complete_member,
    member_identity,
    read_record,
    same_origin,
)


@dataclass(frozen=True)
class Prepared:
    """A run before its first member: settings, checked data, environment, folder.

    The index is as the audit's policy leaves it.

    Attributes:
        mixed: Members that were trained in a different environment belong to it all the same.
    """

    settings: Settings
    folder: Path
    index: pd.DataFrame
    pixels: dict[int, Pixels]
    sample_path: Path
    environment: dict[str, Any]
    data: str
    audit: Audit
    mixed: bool = False

    @property
    def scale(self) -> ValueRange | None:
        """The range that wide images are seen in; None where there are none."""
        return next((each.scale for each in self.pixels.values()), None)

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
        size = self.settings.members[member_of(name)].cached_size
        if size not in self._digests:
            self._digests[size] = data_digest(self.index, self.pixels[size].column)
        return member_identity(name, self.settings, self._digests[size], self.environment)

    def member_folder(self, name: str) -> Path:
        """The folder of a member or of one of its trainings."""
        return RunFolder(self.folder).training(name).path

    def complete(self, name: str) -> dict[str, Any] | None:
        """The record of a member or of one of its trainings; None where it is not complete.

        Raises:
            InputError: It was made from something else than this run, or its files were changed.
        """
        return find_complete_member(self.member_folder(name), self.identity(name), mixed=self.mixed)


def prepare(
    settings: Settings, folder: Path, environment: dict[str, Any] | None = None
) -> Prepared:
    """Check the data, decode and audit it, set up the environment; only the cache is written to.

    Args:
        settings: Of the run.
        folder: runs/<run>.
        environment: From `set_up` on the machines that train, when this one does not.

    Raises:
        InputError: About networks, the data, the sample submission, the cache or the device.
        NegativeVerdict: The audit has found what the settings want no training on.
    """
    index, unreadable, sample_path, passed = look_at_data(settings)
    cache = settings.cache_folder(folder.parent)
    with current_group().first_on_machine():
        pixels, reasons = _decode(index, unreadable, settings, cache)
    if scale := pixels[max(pixels)].scale:
        say(("values", "bold"), f"    from {scale.words}, of images of more than 8 bits a value")
    read = index[~index["path"].isin(reasons)].reset_index(drop=True)
    audited = audit(with_pixels(read, pixels), pixels, settings, left_out(index, reasons), passed)
    audited.refuse()
    for line in audited.summary():
        say(*line)
    here = environment is None
    environment = environment or set_up(
        threads=settings.run.threads,
        device=settings.run.device,
        workers=settings.run.workers,
        packages=settings.code.packages,
    )
    for package in imported_packages(settings.code.packages) if here else ():
        if not package.is_installed:
            say(("warning", "yellow"), f"   {package.warning}")
    decides = environment["decides"]
    if here and decides["device"] == "cuda":
        refuse_precisions({name: each.precision for name, each in settings.members.items()})
    say(
        ("device", "bold"),
        f"    {decides.get('gpu', decides['device'])}, torch {decides['packages']['torch']}, "
        f"threads {decides['threads']}, seed {settings.run.seed}",
    )
    whole = with_unread(audited.index, index, reasons)
    return Prepared(
        settings,
        folder,
        whole,
        pixels,
        sample_path,
        environment,
        data_digest(whole),
        audited,
    )


def look_at_data(
    settings: Settings,
) -> tuple[pd.DataFrame, dict[str, str], Path, dict[str, Other]]:
    """Check networks, data and sample submission, and print what there is; nothing is written.

    Returns:
        The index; why files cannot be read, by path; the sample submission; what was passed over.

    Raises:
        InputError: As `prepare` of these.
    """
    refuse_unusable(settings.network_uses())
    said: list[str] = []
    index, unreadable = list_images(settings, said)
    sample_path = settings.sample_path()
    test_ids = index.loc[index["part"] == "test", "id"].tolist()
    asked = (settings.asked_classes, settings.submission.columns)
    try:
        sample = read_sample(sample_path, *asked, known=test_ids)
        refuse_other_images(sample, test_ids, sample_path, *asked)
        said += said_of_sample(sample_path.name, separator_of(sample_path))
    except InputError as problem:
        data = settings.data_folder
        goes_on = settings.data.unreadable == "prior" or not unreadable
        files = [] if goes_on else [unreadable_images(unreadable, len(index), data)]
        raise join_errors(data, [*files, problem]) from None
    counts = index["part"].value_counts()
    say(
        ("data", "bold"),
        f"      {counts['train']} training and {counts['test']} test images, "
        f"{len(settings.classes)} classes",
    )
    for note in said:
        say(f"          {note}")
    passed = passed_over(settings, index["path"])
    for line in lines_on(passed):
        say(*line)
    return index, unreadable, sample_path, passed


def _decode(
    index: pd.DataFrame, unreadable: Mapping[str, str], settings: Settings, cache: Path
) -> tuple[dict[int, Pixels], dict[str, str]]:
    """The images, by size; and why some cannot be read, by path, where the settings go on."""
    folder, sizes = settings.data_folder, settings.cached_sizes()
    how = DecodeSettings.of(settings)
    if settings.data.unreadable != "prior":
        return cache_pixels(index, folder, sizes, cache, how=how, unreadable=unreadable), {}
    pixels, found = cache_readable_pixels(index, folder, sizes, cache, how=how)
    reasons = {**unreadable, **found}
    refuse_too_many(index, reasons, settings.classes, folder)
    return pixels, reasons


def warn_of_validation(run: Prepared, names: Sequence[str]) -> None:
    """Print what the members' validation cannot tell, once for all of them.

    Raises:
        InputError: Images cannot be dealt out to the folds.
    """
    for warning in validation_warnings(run.settings, run.train, names):
        say(("warning", "yellow"), f"   {warning}")


def fold_scores(run: Prepared, names: Sequence[str]) -> dict[str, list[float]]:
    """Of each member that has folds their scores, by the settings' metric, as far as there are."""
    found = {}
    for name in names:
        folds = [each.name for each in run.settings.trainings(name) if each.fold]
        if folds:
            tables = read_held_out_tables(run.folder, folds, run.settings.classes)
            found[name] = list(own_scores(tables, run.settings.competition.metric).values())
    return found


def keep_record(run: Prepared, started: float) -> None:
    """Write manifest.json for all that the run folder holds: members made from this, submission.

    And before it local.json, which says where all of it comes from on this machine.

    Args:
        run: The run.
        started: time.perf_counter() at the command's start.
    """
    with lock_record(run.folder):
        members = {}
        for name in run.settings.members:
            record = read_record(run.member_folder(name))
            own = run.identity(name)
            if record is not None and same_origin(record["identity"], own, mixed=run.mixed):
                members[name] = record
        folder = RunFolder(run.folder)
        submission = folder.submission if is_there(folder.submission) else None
        content = build_manifest(
            run.settings,
            run.data,
            run.environment,
            members,
            submission=submission,
            seconds=time.perf_counter() - started,
            guards=guard_digests(run.folder),
            blend=read_taken_blend(run.folder),
            scale=run.scale,
        )
        written = read_written_blend(run.folder)
        if submission and written:
            # The submission that is there, and not the one that the settings of now would give.
            for part in ("blend", "submission"):
                content["content"]["settings"][part] = written["origin"][part]
        settings = run.settings
        write_place(
            run.folder,
            config=settings.config,
            data_folder=settings.data_folder,
            cache=settings.run.cache,
            tables=settings.table_folders(),
        )
        write_manifest(run.folder, content)
