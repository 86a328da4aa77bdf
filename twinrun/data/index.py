"""The data folder as a table: one row per image, sorted by id, with the digests of the files."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from twinrun.config.any_csv import read_sample_csv
from twinrun.config.image_ids import image_id, training_ids
from twinrun.config.label_layout import test_images
from twinrun.config.settings import Settings
from twinrun.config.training_data import read_training
from twinrun.console import progress_bars
from twinrun.data.cache_files import in_blocks
from twinrun.data.hindered import is_of_the_folder
from twinrun.data.hindered_images import hindered_images
from twinrun.errors import InputError, shorten
from twinrun.files import sha256_file, sha256_json
from twinrun.plain_files import open_descriptor
from twinrun.process import without_collector
from twinrun.submission_forms import FORMS

# (part, id, label, path relative to the data folder, with slashes); a test image has label "".
Entry = tuple[str, str, str, str]

# A column: equal for images that must not be torn apart. Until the audit has found copies, each
# image is alone in a group that is called "train/ID" or "test/ID".
GROUP = "group"
_CONTENT = ["part", "id", "label", "sha256"]
# Up to so many bytes a file is digested sooner than it is handed to another thread.
_SMALL = 1 << 16


def build_index(settings: Settings, said: list[str] | None = None) -> pd.DataFrame:
    """Find every image of the competition, and digest its file; nothing is decoded.

    Args:
        settings: Of the competition.
        said: As `list_images`.

    Returns:
        As `list_images`, all of whose files can be read.

    Raises:
        InputError: As `list_images`; or files cannot be read, which are listed all together.
    """
    index, unreadable = list_images(settings, said)
    if unreadable:
        raise unreadable_images(unreadable, len(index), settings.data_folder)
    return index


def list_images(
    settings: Settings, said: list[str] | None = None
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Find every image of the competition, and digest its file; nothing is decoded.

    Args:
        settings: Of the competition.
        said: Gets a line for each thing that was passed over or read in an unusual way.

    Returns:
        One row per image, sorted by part and id, all text but the numbers: part ("train" or
        "test"), id, label (empty for test), path (relative to the data folder, with slashes),
        bytes, sha256 (of the file; empty where it cannot be read), group (each image's own).
        And why files cannot be read, by path.

    Raises:
        InputError: The folder is not laid out as the settings say; what is wrong is listed all
            together.
    """
    with without_collector():
        return _build(settings, said)


def _build(settings: Settings, said: list[str] | None) -> tuple[pd.DataFrame, dict[str, str]]:
    folder = settings.data_folder
    if not folder.is_dir():
        raise settings.no_data_folder()
    found = read_training(settings)
    said = [] if said is None else said
    said += found.said
    entries = [
        *_train_entries(settings, found.labels),
        *_test_entries(settings, found.labels, said),
    ]
    parts, ids, labels, paths = map(list, zip(*entries, strict=True))
    _refuse_shared_ids(entries)
    sizes, digests, unreadable = _read_all(paths, folder)
    index = pd.DataFrame(
        {
            "part": parts,
            "id": ids,
            "label": labels,
            "path": paths,
            "bytes": sizes,
            "sha256": digests,
            GROUP: [f"{part}/{image_id}" for part, image_id in zip(parts, ids, strict=True)],
        }
    )
    order = sorted(range(len(entries)), key=lambda row: entries[row][:2])
    return index.take(order).reset_index(drop=True), unreadable


def data_digest(index: pd.DataFrame, *more: str) -> str:
    """SHA-256 of the content of an index: ids, labels and files; no path, no time.

    Which training images belong together counts where some do: they are held out together.

    Args:
        index: From `build_index`, or as the audit's policy leaves it.
        more: Columns that count too, such as the digests of the decoded pixels.
    """
    content = index[[*_CONTENT, *more]].to_numpy().tolist()
    train = index[index["part"] == "train"]
    content += train.loc[train[GROUP].duplicated(keep=False), ["id", GROUP]].to_numpy().tolist()
    return sha256_json(content)


def _train_entries(settings: Settings, labels: Mapping[str, str]) -> list[Entry]:
    ids = training_ids(settings.data.ids, list(labels))
    return [
        ("train", name, label, path)
        for name, (path, label) in zip(ids, labels.items(), strict=True)
    ]


def _test_entries(settings: Settings, labels: Mapping[str, str], said: list[str]) -> list[Entry]:
    there = test_images(settings.data, settings.data_folder)
    images = [path for path in there if path not in labels]
    if len(images) < len(there):
        images = _find_asked(settings, there, labels, said)
    if not images:
        names = settings.data.test
        places = [settings.data_folder / n for n in ([names] if isinstance(names, str) else names)]
        which = "that is no training image " if there else ""
        raise InputError(
            f"no image {which}in the test folder {' or '.join(map(str, places))}",
            fix="Put the test images there, or set data.test.",
        )
    return [("test", image_id(settings.data.ids, path), "", path) for path in images]


def _find_asked(
    settings: Settings, there: Sequence[str], labels: Mapping[str, str], said: list[str]
) -> list[str]:
    """The test images of a folder that holds training images too: those that the sample names.

    Raises:
        InputError: The sample names images that have a label.
    """
    path = settings.sample_path()
    ids = {image: image_id(settings.data.ids, image) for image in there}
    if not path.is_file():  # which is told where the sample is asked for
        return [image for image in there if image not in labels]
    form = FORMS.get(settings.submission.columns)
    known = set(ids.values())
    sample = read_sample_csv(path, all_text=True).fillna("")
    asked = set(form.images(sample, settings.asked_classes, known)[0])
    both = [image for image in there if image in labels and ids[image] in asked]
    if both:
        raise InputError(
            f"images that have a label, and that {path} asks for:",
            details=shorten(both),
            fix="Name the table of the training images alone: data.labels.",
        )
    neither = [image for image in there if image not in labels and ids[image] not in asked]
    if neither:
        images = "image is" if len(neither) == 1 else "images are"
        said.append(
            f"{len(neither):,} {images} left out, without a label and not in {path.name}: "
            f"{', '.join(shorten(neither, most=3))}"
        )
    return [image for image in there if image not in labels and ids[image] in asked]


def _refuse_shared_ids(entries: Sequence[Entry]) -> None:
    if len({entry[:2] for entry in entries}) == len(entries):
        return
    owners: dict[tuple[str, str], list[str]] = defaultdict(list)
    for part, image, _, path in entries:
        owners[part, image].append(path)
    shared = [f"{key[1]}: {', '.join(paths)}" for key, paths in owners.items() if len(paths) > 1]
    if shared:
        raise InputError(
            "two images with one id:",
            details=shorten(shared),
            fix="Set data.ids to 'name' or 'path', as the sample submission names them.",
        )


def _read_all(paths: Sequence[str], folder: Path) -> tuple[list[int], list[str], dict[str, str]]:
    """Bytes and SHA-256 of each file; large ones on all cores: hashlib lets threads run.

    And why files cannot be read, by path.

    Raises:
        InputError: The reading of files was hindered.
    """
    sizes, digests = [0] * len(paths), [""] * len(paths)
    unreadable: dict[str, str] = {}
    hindered: dict[str, str] = {}

    def tell(row: int, error: OSError) -> None:
        (unreadable if is_of_the_folder(error) else hindered)[paths[row]] = _reason(error)

    with progress_bars() as bars, ThreadPoolExecutor(os.cpu_count()) as pool:
        task = bars.add_task("reading images", total=len(paths), note="")
        # Moving the bar takes longer than a small image.
        for block in in_blocks(range(len(paths))):
            large: list[int] = []
            for row in block:
                try:
                    sizes[row], digest = _read(f"{folder}/{paths[row]}")
                except OSError as error:
                    tell(row, error)
                    continue
                if not sizes[row]:
                    unreadable[paths[row]] = "the file is empty"
                elif digest is None:
                    large.append(row)
                else:
                    digests[row] = digest
            found = pool.map(_digest, [folder / paths[row] for row in large])
            for row, answer in zip(large, found, strict=True):
                if isinstance(answer, OSError):
                    tell(row, answer)
                else:
                    digests[row] = answer
            bars.advance(task, len(block))
    if hindered:
        raise hindered_images(hindered, len(paths), folder)
    return sizes, digests, unreadable


def unreadable_images(
    unreadable: Mapping[str, str], total: int, folder: Path, *, part: bool = False
) -> InputError:
    """The error for images of a data folder that cannot be read.

    Args:
        unreadable: The reason by path.
        total: Of so many images.
        folder: The data folder.
        part: What there is of one that is cut short was taken already.
    """
    ways = '"prior" leaves training images out and gives test images the share of each class'
    if not part:
        ways = f'"partial" takes what is there of one that is cut short, {ways}'
    return InputError(
        f"{len(unreadable)} of {total} images in {folder} cannot be read:",
        details=shorten([f"{path}: {unreadable[path]}" for path in sorted(unreadable)], most=50),
        fix=f"Fetch these files again, or set data.unreadable: {ways}.",
    )


def _read(path: str) -> tuple[int, str | None]:
    """Bytes of a file, and their SHA-256 if they are few.

    Python's file objects take as long as the digest itself.
    """
    file = open_descriptor(path)
    try:
        size = os.fstat(file).st_size
        if size > _SMALL:
            return size, None
        return size, hashlib.sha256(os.read(file, _SMALL)).hexdigest()
    finally:
        os.close(file)


def _digest(path: Path) -> str | OSError:
    try:
        return sha256_file(path)
    except OSError as error:
        return error


def _reason(error: OSError) -> str:
    if isinstance(error, IsADirectoryError):
        return "a folder, not an image"
    return error.strerror or str(error)
