"""What a recorded run was made from: the images and settings of now are the same, or named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from twinrun.config.settings import Settings, write_out_content
from twinrun.data.index import list_images, unreadable_images
from twinrun.data.wide_values import ValueRange
from twinrun.errors import NegativeVerdict, gaps, shorten
from twinrun.run_folder.audit import read_audit_if_there
from twinrun.run_folder.manifest import recorded_range
from twinrun.run_folder.paths import RunFolder
from twinrun.run_folder.records import read_record
from twinrun.run_folder.tables import read_index


def refuse_other_data(run: Path, settings: Settings) -> None:
    """Check the images of the data folder against the run's index, before anything is computed.

    An image is the same when part, id, label and bytes are; the extension of its file may differ.
    So are those that were not trained on: they had a say in the range of values, or would be
    trained on now if they could be read.

    Raises:
        NegativeVerdict: Images are missing, changed or new; they are named.
        InputError: The data folder cannot be read, or the run has no index.
    """
    then = {**_left_out(run), **_images(read_index(run))}
    listed, unreadable = list_images(settings)
    if unreadable and settings.data.unreadable != "prior":
        raise unreadable_images(unreadable, len(listed), settings.data_folder)
    now = _images(listed)
    problems = [f"{image}: missing" for image in sorted(then.keys() - now.keys())]
    for image in sorted(then.keys() & now.keys()):
        (label, digest), (new_label, new_digest) = then[image], now[image]
        if digest != new_digest:
            problems.append(f"{image}: changed")
        elif label not in (None, new_label):
            problems.append(f"{image}: was {label}, is {new_label}")
    problems += [f"{image}: new" for image in sorted(now.keys() - then.keys())]
    if problems:
        raise NegativeVerdict(
            f"{settings.data_folder} is not the data that the run was made with; "
            f"{len(problems)} of {len(then)} images:",
            details=shorten(problems, most=30),
            fix="Fetch the competition's data again.",
        )


def _images(index: pd.DataFrame) -> dict[str, tuple[str | None, str]]:
    """(label, SHA-256) by "part/id"."""
    names = index["part"] + "/" + index["id"]
    return dict(zip(names, zip(index["label"], index["sha256"], strict=True), strict=True))


def _left_out(run: Path) -> dict[str, tuple[str | None, str]]:
    """As `_images`, of the training images that are not in the index; no label is recorded."""
    audit = read_audit_if_there(run)
    policy = audit["policy"] if audit else {"dropped": {}, "unread": {}}
    files = {**policy["dropped"], **policy["unread"]}
    return {f"train/{image}": (None, digest) for image, digest in files.items()}


def refuse_other_range(run: Path, scale: ValueRange | None) -> None:
    """Check the range that images of more than 8 bits a value were seen in, found anew.

    Raises:
        NegativeVerdict: It is not the recorded one.
    """
    recorded = recorded_range(run)
    then = ValueRange(*recorded) if recorded else None
    if then != scale:
        told, found = (each.words if each else "none" for each in (then, scale))
        raise NegativeVerdict(
            f"{RunFolder(run).manifest} has another range of values than these images were seen "
            f"in: {told} recorded, {found} now"
        )


def refuse_other_settings(run: Path, settings: Settings, names: Sequence[str]) -> None:
    """Check that the manifest's settings are those that each member was trained with.

    Weights alone do not show most of them.

    Raises:
        NegativeVerdict: Some are not; they are named.
    """
    found = []
    for name in names:
        record = read_record(RunFolder(run).training(name).path)
        trained = record["identity"]["settings"] if record else {}
        found += [
            f"{name}, {where}: {then!r} then, {now!r} in the manifest"
            for where, then, now in gaps(
                write_out_content(trained), write_out_content(settings.training_content(name))
            )
        ]
    if found:
        raise NegativeVerdict(
            f"{RunFolder(run).manifest} has settings that the members were not trained with:",
            details=shorten(found, most=20),
        )
