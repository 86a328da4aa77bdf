"""The data folder as a table: one row per image, sorted by id, with digests."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image, UnidentifiedImageError

from competition.data.pixels import UNREADABLE, decode, pixel_digest
from competition.errors import InputError, nearest, shorten
from competition.files import sha256_file, sha256_json
from competition.layout import (
    class_folders,
    images_in,
    read_labels,
    refuse_unspeakable_names,
    subfolder,
)
from competition.settings import Data, Settings
from competition.terminal import progress_bars

# (part, id, label, path); the label of a test image is empty.
Entry = tuple[str, str, str, Path]

_CONTENT = ["part", "id", "label", "sha256", "pixels"]


def build_index(settings: Settings) -> pd.DataFrame:
    """Find, check, decode and digest every image of the competition.

    Returns:
        One row per image, sorted by part and id, all text but the numbers: part ("train" or
        "test"), id, label (empty for test), path (relative to the data folder, with slashes),
        format (as the content says), mode, width and height (pixels, upright), bytes, sha256 (of
        the file), pixels (digest of the decoded pixels).

    Raises:
        InputError: The folder is not laid out as the settings say, or images cannot be read; what
            is wrong is listed all together.
    """
    folder = settings.data_folder
    if not folder.is_dir():
        raise settings.no_data_folder()
    entries = [*_train_entries(settings), *_test_entries(settings)]
    refuse_unspeakable_names(_relative(path, folder) for *_, path in entries)
    _refuse_shared_ids(entries, folder)
    rows = _read_all(entries, folder)
    return pd.DataFrame(rows).sort_values(["part", "id"], ignore_index=True)


def data_digest(index: pd.DataFrame) -> str:
    """SHA-256 of the content of an index: ids, labels, files and pixels; no path, no time."""
    return sha256_json(index[_CONTENT].to_numpy().tolist())


def _train_entries(settings: Settings) -> list[Entry]:
    part = subfolder(settings.data_folder, settings.data.train, "data.train")
    if settings.data.layout == "table":
        return _labelled_by_table(settings, part)
    return _labelled_by_folder(settings, part)


def _labelled_by_folder(settings: Settings, part: Path) -> list[Entry]:
    classes = settings.classes
    folders = class_folders(part)
    problems = [
        f"{folder}: no such class in the settings, {nearest(name, classes)}".rstrip(", ")
        for name, folder in folders.items()
        # A folder without an image takes nothing away from the training.
        if name not in classes and images_in(folder)
    ]
    entries: list[Entry] = []
    for name in classes:
        if name not in folders:
            problems.append(f"{part / name}: no such folder, but {name!r} is in the settings")
            continue
        images = images_in(folders[name])
        if not images:
            problems.append(f"{folders[name]}: no image in it")
        entries += [("train", _id(path, settings.data), name, path) for path in images]
    if problems:
        raise InputError(
            "the class folders and the settings do not agree:",
            details=shorten(problems),
            mend="Mend competition.classes or the folders.",
        )
    return entries


def _labelled_by_table(settings: Settings, part: Path) -> list[Entry]:
    data, classes = settings.data, settings.classes
    path = settings.data_folder / data.labels
    table = read_labels(data, settings.data_folder)
    labels: dict[str, str] = {}
    problems: list[str] = []
    for image_id, label in zip(table["id"], table["label"], strict=True):
        if image_id in labels:
            problems.append(f"{image_id}: stands in {path.name} more than once")
        if not label:
            problems.append(f"{image_id}: no label")
        elif label not in classes:
            problems.append(f"{image_id}: no class {label!r} in the settings")
        labels[image_id] = label
    unused = [name for name in classes if name not in labels.values()]
    problems += [f"{name}: a class of the settings without an image" for name in unused]
    images = [(_id(image, data), image) for image in images_in(part)]
    found = {image_id for image_id, _ in images}
    problems += [f"{name}: an image without a label" for name in sorted(found - set(labels))]
    problems += [
        f"{name}: a label without an image in {part}" for name in labels if name not in found
    ]
    if problems:
        raise InputError(
            f"{path} does not agree with the images and the settings:",
            details=shorten(problems),
            mend="Mend the table, the folder or competition.classes; if the table's ids end like "
            "file names, set data.ids to 'name'.",
        )
    return [("train", image_id, labels[image_id], image) for image_id, image in images]


def _test_entries(settings: Settings) -> list[Entry]:
    part = subfolder(settings.data_folder, settings.data.test, "data.test")
    images = images_in(part)
    if not images:
        raise InputError(f"no image in the test folder {part}", mend="Put the test images there.")
    return [("test", _id(path, settings.data), "", path) for path in images]


def _id(path: Path, data: Data) -> str:
    return path.stem if data.ids == "stem" else path.name


def _refuse_shared_ids(entries: Sequence[Entry], folder: Path) -> None:
    owners: dict[tuple[str, str], list[str]] = defaultdict(list)
    for part, image_id, _, path in entries:
        owners[part, image_id].append(_relative(path, folder))
    shared = [f"{key[1]}: {', '.join(paths)}" for key, paths in owners.items() if len(paths) > 1]
    if shared:
        raise InputError(
            "two images with one id:",
            details=shorten(shared),
            mend="Rename or remove all but one, or set data.ids to 'name'.",
        )


def _read_all(entries: Sequence[Entry], folder: Path) -> list[dict[str, Any]]:
    """Decode and digest the images on all cores: Pillow and hashlib let threads run in parallel."""
    rows: list[dict[str, Any]] = []
    unreadable: list[str] = []
    with progress_bars() as bars, ThreadPoolExecutor(os.cpu_count()) as pool:
        task = bars.add_task("reading images", total=len(entries), note="")
        for entry, row in zip(entries, pool.map(_read, entries), strict=True):
            bars.advance(task)
            path = _relative(entry[3], folder)
            if isinstance(row, str):
                unreadable.append(f"{path}: {row}")
            else:
                rows.append(row | {"path": path})
    if unreadable:
        raise InputError(
            f"{len(unreadable)} of {len(entries)} images in {folder} cannot be read:",
            details=shorten(sorted(unreadable), most=50),
            mend="Fetch these files again, or take them out.",
        )
    return rows


def _read(entry: Entry) -> dict[str, Any] | str:
    """The row of one image without its path, or why it cannot be read."""
    part, image_id, label, path = entry
    try:
        if path.is_dir():
            return "a folder, not an image"
        size = path.stat().st_size
        if size == 0:
            return "the file is empty"
        with Image.open(path) as file:
            kind, mode = file.format, file.mode
        image = decode(path)
        return {
            "part": part,
            "id": image_id,
            "label": label,
            "format": kind,
            "mode": mode,
            "width": image.width,
            "height": image.height,
            "bytes": size,
            "sha256": sha256_file(path),
            "pixels": pixel_digest(image),
        }
    except UnidentifiedImageError:
        return "not an image, whatever its name says"
    except UNREADABLE as error:
        return f"damaged or cut short ({error})"


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
