"""New images through every member and fold of a run, into a table or a submission."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinrun.errors import InputError, gaps, shorten
from twinrun.predict.asked import Asked
from twinrun.predict.feed import Decoded, Decoder, decode_ahead
from twinrun.predict.networks import Networks
from twinrun.predict.progress import show_progress
from twinrun.predict.record import write_predictions
from twinrun.run_folder.manifest import recorded_range

if TYPE_CHECKING:
    import pandas as pd

# Where networks have to be read again for each chunk, that many images make it worth while.
_LARGE_CHUNK = 512
# Of images that cannot be read so many are named.
_MOST_NAMED = 50


@dataclass(frozen=True)
class Predicted:
    """What was written.

    Attributes:
        output: The file.
        record: What it was made of, beside it.
        images: How many were predicted.
        unread: By id why an image cannot be read: it got the share of each class.
        parts: By id why only a part of an image was there.
        copies: Sets of images with the same pixels, which got the mean of their answers.
        seconds: That decoding and networks took together.
        elsewhere: (what, then, now) of what decides bits and is not as the run had it.
    """

    output: Path
    record: Path
    images: int
    unread: Mapping[str, str]
    parts: Mapping[str, str]
    copies: Sequence[Sequence[str]]
    seconds: float
    elsewhere: Sequence[tuple[str, Any, Any]]


@dataclass
class _Gathered:
    """What has come out so far.

    Attributes:
        blended: As they come; none of a blend that looks across images.
        members: Of such a blend, what each has predicted.
    """

    blended: list[pd.DataFrame] = field(default_factory=list)
    members: defaultdict[str, list[pd.DataFrame]] = field(default_factory=lambda: defaultdict(list))
    digests: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    alike: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, asked: Asked, tables: Mapping[str, pd.DataFrame]) -> None:
        """Take what members have predicted of some images."""
        if not asked.blend.across_images:
            self.blended.append(asked.blend.blend(tables, asked.settings))
            return
        for name, table in tables.items():
            self.members[name].append(table)


def predict_images(asked: Asked) -> Predicted:
    """Predict, and write the file and its record beside it.

    Raises:
        InputError: Images cannot be read and data.unreadable says so, a network answers with what
            is no number, or the file cannot be written.
        NegativeVerdict: What came out is no valid submission.
    """
    import torch

    from twinrun.predict.ensemble import Ensemble
    from twinrun.repro.environment import set_up
    from twinrun.repro.in_force import hold, refuse_changed
    from twinrun.train.predict import rows_computed

    settings, images = asked.settings, asked.images
    decoder = Decoder(*_how(asked))
    _refuse_unread(asked, _problems_at_once(asked, decoder))
    environment = set_up(
        threads=settings.run.threads,
        device=settings.run.device,
        packages=settings.code.packages,
    )
    device = torch.device(environment["decides"]["device"])
    networks = Networks(asked.trainings, settings, device)
    ensemble = Ensemble(settings, asked.trained, networks)
    networks.of(asked.trainings[0])  # with its library, which may set what decides bits
    hold(environment, "the prediction")
    batches = {
        rows_computed(each.member.prediction_batch_size, each.ranks) for each in asked.trainings
    }
    chunk = _chunk(batches, all_kept=networks.all_kept)
    threads = max(1, (os.cpu_count() or 1) - (settings.run.threads if device.type == "cpu" else 0))
    gathered, count = _Gathered(), len(asked.trainings)
    with show_progress(len(images.ids), count) as shown:
        for found in decode_ahead(images, decoder, threads=threads, chunk=chunk):
            seen = _take(gathered, found)
            _refuse_unread(asked, gathered.unread)
            if seen:
                part = len(seen) / count
                gathered.add(asked, ensemble.members(seen, lambda: shown.advance(part)))  # noqa: B023
            shown.advance(len(found) - len(seen))
            del found, seen  # before the next ones are all there
        seconds = shown.seconds
    refuse_changed(environment, "the prediction")
    copies = _write(asked, gathered)
    _record(asked, gathered, environment)
    return Predicted(
        output=asked.output,
        record=asked.record,
        images=len(images.ids),
        unread=gathered.unread,
        parts=gathered.parts,
        copies=copies,
        seconds=seconds,
        elsewhere=_elsewhere(asked, environment),
    )


def _how(asked: Asked) -> tuple[Any, list[int]]:
    from twinrun.data.decode_settings import DecodeSettings

    how = DecodeSettings.of(asked.settings, recorded_range(asked.run))
    sizes = [each.member.cached_size for each in asked.trainings]
    if asked.averages_copies:  # told by the largest pixels, also where the blend sees no such ones
        sizes.append(asked.settings.cached_sizes()[-1])
    return how, sizes


def _problems_at_once(asked: Asked, decoder: Decoder) -> dict[str, str]:
    """What the first bytes of the files show already; asked only where it ends the prediction."""
    if asked.settings.data.unreadable == "prior":
        return {}
    images = zip(asked.images.ids, asked.images.paths, strict=True)
    return {name: why for name, path in images if (why := decoder.problem(path))}


def _refuse_unread(asked: Asked, unread: Mapping[str, str]) -> None:
    if unread and asked.settings.data.unreadable != "prior":
        paths = dict(zip(asked.images.ids, asked.images.paths, strict=True))
        lines = [f"{paths[name]}: {unread[name]}" for name in sorted(unread)]
        raise InputError(
            f"{len(unread):,} of {len(paths):,} images cannot be read, as far as was looked:",
            details=shorten(lines, most=_MOST_NAMED),
            fix=[
                "Fetch these files again, or take them out.",
                f'The run was made with data.unreadable = "{asked.settings.data.unreadable}"; with '
                '"prior" such an image gets the share of each class.',
            ],
        )
    if len(unread) == len(asked.images.ids):
        raise InputError("none of the images can be read", fix="Fetch these files again.")


def _chunk(batches: set[int], *, all_kept: bool) -> int:
    """How many images are predicted together: whole batches of each member, where that is few."""
    together = math.lcm(*batches)
    if together > _LARGE_CHUNK:
        together = max(batches)
    return together if all_kept else -(-_LARGE_CHUNK // together) * together


def _take(gathered: _Gathered, found: Sequence[Decoded]) -> list[Decoded]:
    """Those that could be decoded; what is to be remembered of all is."""
    for image in found:
        gathered.digests[image.id] = image.sha256
        if image.problem:
            gathered.unread[image.id] = image.problem
        else:
            gathered.alike[image.digest].append(image.id)
        if image.missing:
            gathered.parts[image.id] = image.missing
    return [image for image in found if not image.problem]


def _write(asked: Asked, gathered: _Gathered) -> list[list[str]]:
    """Write the file; the sets of copies that got one answer."""
    from twinrun.blend.after import change_after
    from twinrun.blend.hand_in import write_submission
    from twinrun.files import write_csv

    table = _blend(asked, gathered)
    if asked.sample is None:
        write_csv(asked.output, change_after(table, asked.settings))
        return []
    copies = [ids for ids in gathered.alike.values() if asked.averages_copies and len(ids) > 1]
    write_submission(table, asked.settings, asked.sample, asked.output, copies=copies)
    return copies


def _blend(asked: Asked, gathered: _Gathered) -> pd.DataFrame:
    """All images, as the run's test images are before they are bound to a sample."""
    import pandas as pd

    unread = sorted(gathered.unread)
    if not asked.blend.across_images:
        table = pd.concat(gathered.blended, ignore_index=True)
        return _with_shares(table, asked, unread) if unread else table
    members = {name: pd.concat(each, ignore_index=True) for name, each in gathered.members.items()}
    if not unread:
        return asked.blend.blend(members, asked.settings)
    # As in the run: images that cannot be read stand among the others, whatever they come out as.
    members = {name: _with_shares(each, asked, unread) for name, each in members.items()}
    table = asked.blend.blend(members, asked.settings)
    read = table[~table[table.columns[0]].isin(unread)]
    return _with_shares(read, asked, unread)


def _with_shares(table: pd.DataFrame, asked: Asked, unread: Sequence[str]) -> pd.DataFrame:
    """With the share of each class among the run's training images for those not read."""
    from twinrun.data.unread import add_shares
    from twinrun.run_folder.tables import read_index

    whole = add_shares(table, read_index(asked.run), unread)
    return whole.sort_values(table.columns[0], kind="stable", ignore_index=True)


def _elsewhere(asked: Asked, environment: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    from twinrun.repro.facts import write_out_environment

    then = write_out_environment(asked.manifest["content"]["environment"])
    return list(gaps(then, write_out_environment(environment["decides"])))


def _record(asked: Asked, gathered: _Gathered, environment: Mapping[str, Any]) -> None:
    from twinrun.files import sha256_file, sha256_json
    from twinrun.repro.source import code_digest, read_engine

    write_predictions(
        asked.record,
        {
            "version": 1,
            "output": {
                "file": asked.output.name,
                "kind": "predictions" if asked.sample is None else "submission",
                "sha256": sha256_file(asked.output),
            },
            "images": gathered.digests,
            "unread": gathered.unread,
            "parts": gathered.parts,
            "weights": {each.name: each.digest for each in asked.trainings},
            "blend": asked.blend.record(),
            "hooks": asked.hooks,
            "settings": sha256_json(asked.manifest["content"]["settings"]),
            "sample": sha256_file(asked.sample) if asked.sample else None,
            "environment": environment["decides"],
            "code": code_digest(),
            "engine": read_engine(),
        },
    )
