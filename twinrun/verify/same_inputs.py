"""What a recorded run was made from: the images and settings of now are the same, or named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from twinrun.config.settings import Settings, write_out_content
from twinrun.data.index import list_images, unreadable_images
from twinrun.errors import NegativeVerdict, gaps, shorten
from twinrun.run_folder.audit import read_audit_if_there
from twinrun.run_folder.paths import RunFolder
from twinrun.run_folder.records import read_record
from twinrun.run_folder.tables import read_index


def refuse_other_data(run: Path, settings: Settings) -> None:
    """Check the images of the data folder against the run's index, before anything is computed.

    An image is the same when part, id, label and bytes are; the extension of its file may differ.

    Raises:
        NegativeVerdict: Images are missing, changed or new; they are named.
        InputError: The data folder cannot be read, or the run has no index.
    """
    then = _images(read_index(run))
    listed, unreadable = list_images(settings)
    if unreadable and settings.data.unreadable != "prior":
        raise unreadable_images(unreadable, len(listed), settings.data_folder)
    now = _images(listed)
    dropped = {f"train/{image}" for image in _read_dropped(run)}
    problems = [f"{image}: missing" for image in sorted(then.keys() - now.keys())]
    for image in sorted(then.keys() & now.keys()):
        (label, digest), (new_label, new_digest) = then[image], now[image]
        if digest != new_digest:
            problems.append(f"{image}: changed")
        elif label != new_label:
            problems.append(f"{image}: was {label}, is {new_label}")
    problems += [f"{image}: new" for image in sorted(now.keys() - then.keys() - dropped)]
    if problems:
        raise NegativeVerdict(
            f"{settings.data_folder} is not the data that the run was made with; "
            f"{len(problems)} of {len(then)} images:",
            details=shorten(problems, most=30),
            fix="Fetch the competition's data again.",
        )


def _images(index: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """(label, SHA-256) by "part/id"."""
    names = index["part"] + "/" + index["id"]
    return dict(zip(names, zip(index["label"], index["sha256"], strict=True), strict=True))


def _read_dropped(run: Path) -> list[str]:
    """The ids of training images that the audit's policy left out of the index."""
    audit = read_audit_if_there(run)
    return audit["policy"]["dropped"] if audit else []


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
