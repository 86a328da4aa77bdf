"""What a run would take, found without writing anything: data, a few images, two steps of each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from twinrun.config.settings import Settings
from twinrun.config.trainings import Training
from twinrun.data.a_few import Decoding, pixels_without_writing
from twinrun.data.cache import with_pixels
from twinrun.data.decode_settings import DecodeSettings
from twinrun.data.index import unreadable_images
from twinrun.data.pixels import Pixels
from twinrun.prepare import look_at_data
from twinrun.repro.environment import set_up
from twinrun.run_folder.paths import RunFolder
from twinrun.run_folder.records import read_record


@dataclass(frozen=True)
class Look:
    """A run before its first step, of which nothing is written.

    Attributes:
        settings: Of the run, without pretrained weights: none is to be fetched, and a step takes as
            long without.
        index: As the audit would find it; what it would drop is there.
        pixels: By size; a few images stand for all of them where they are not decoded yet.
        decoding: What is to be decoded, of all sizes.
        left: The trainings of which there is no record.
    """

    settings: Settings
    index: pd.DataFrame
    pixels: Mapping[int, Pixels]
    environment: dict[str, Any]
    decoding: Decoding
    left: list[Training]


def look(settings: Settings, folder: Path) -> Look:
    """Look at data and run, and print what there is.

    Args:
        settings: Of the run.
        folder: runs/<run>, which need not be there.

    Raises:
        InputError: As `look_at_data`; images that cannot be read, as far as that shows without
            decoding all; the device.
    """
    index, unreadable, _, _ = look_at_data(settings)
    if unreadable and settings.data.unreadable != "prior":
        raise unreadable_images(unreadable, len(index), settings.data_folder)
    index = index[index["sha256"] != ""].reset_index(drop=True)
    pixels: dict[int, Pixels] = {}
    decodings: list[Decoding] = []
    for size in settings.cached_sizes():
        pixels[size], decoding = pixels_without_writing(
            index,
            settings.data_folder,
            size,
            settings.cache_folder(folder.parent),
            DecodeSettings.of(settings),
        )
        decodings.append(decoding)
    environment = set_up(
        threads=settings.run.threads,
        device=settings.run.device,
        workers=settings.run.workers,
        packages=settings.code.packages,
    )
    return Look(
        settings.from_nothing(),
        with_pixels(index, pixels),
        pixels,
        environment,
        Decoding(
            sum(each.images for each in decodings),
            sum(each.seconds for each in decodings),
            sum(each.nbytes for each in decodings),
        ),
        [each for each in settings.select_trainings([]) if not _is_complete(folder, each)],
    )


def _is_complete(folder: Path, training: Training) -> bool:
    names = (training.member, training.name)
    return any(read_record(RunFolder(folder).training(name).path) is not None for name in names)


@contextmanager
def libraries_without_a_home() -> Iterator[None]:
    """Give matplotlib, which comes with fastai, a folder for the block that goes with it.

    As it is imported, it makes one of its own in the user's home.
    """
    if "MPLCONFIGDIR" in os.environ:
        yield
        return
    with TemporaryDirectory(prefix="twinrun-dry-run-") as folder:
        os.environ["MPLCONFIGDIR"] = folder
        try:
            yield
        finally:
            del os.environ["MPLCONFIGDIR"]


def free_disk(folder: Path) -> int:
    """Bytes that are free where a folder is, or would be made."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.is_dir())
    return shutil.disk_usage(there).free
