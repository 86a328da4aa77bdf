"""Each image decoded once, into a cache that is kept from run to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from twinrun.config.data_folder import join_errors
from twinrun.data.cache_files import OF_THE_FILE
from twinrun.data.cache_filling import CacheOfSize
from twinrun.data.decode_settings import DecodeSettings
from twinrun.data.hindered_images import hindered_images
from twinrun.data.index import unreadable_images
from twinrun.data.pixels import Pixels
from twinrun.data.scale import FoundScale, find_scale


def cache_pixels(
    index: pd.DataFrame,
    folder: Path,
    sizes: Sequence[int],
    cache: Path,
    *,
    how: DecodeSettings = DecodeSettings(),  # noqa: B008  (frozen)
    unreadable: Mapping[str, str] | None = None,
) -> dict[int, Pixels]:
    """The images of an index, decoded: those that are not in the cache yet are added to it.

    Threads decode, as many as there are cores: Pillow lets them run in parallel, and unlike
    processes they need no start and leave nobody behind when this one is killed. The bits do not
    depend on their number.

    Args:
        index: From `list_images` or `build_index`.
        folder: The data folder.
        sizes: Shorter sides, in pixels.
        cache: The folder of all caches.
        how: Files are decoded.
        unreadable: What `list_images` says of files that cannot be read.

    Returns:
        By size.

    Raises:
        InputError: Images that cannot be read, and a range that cannot be found, in one message;
            the reading of images was hindered; the disk is too small, the folder cannot be written.
    """
    found = find_scale(index, folder, cache, min(sizes), how)
    pixels, undecoded = _cache_pixels(index, folder, sizes, cache, how, found)
    reasons = {**(unreadable or {}), **undecoded}
    problems = [unreadable_images(reasons, len(index), folder, part=how.part)] if reasons else []
    problems += [found.problem] if found.problem else []
    if problems:
        raise join_errors(folder, problems)
    return pixels


def cache_readable_pixels(
    index: pd.DataFrame,
    folder: Path,
    sizes: Sequence[int],
    cache: Path,
    *,
    how: DecodeSettings = DecodeSettings(),  # noqa: B008  (frozen)
) -> tuple[dict[int, Pixels], dict[str, str]]:
    """As `cache_pixels`, but images that cannot be decoded are told apart from the others.

    Files without a digest, which cannot be read at all, are passed over.

    Returns:
        Those that can be decoded, by size; and why the others cannot be, by path.

    Raises:
        InputError: As `cache_pixels`, of all but these images; their reading was hindered.
    """
    found = find_scale(index, folder, cache, min(sizes), how)
    if found.problem:
        raise found.problem
    return _cache_pixels(index, folder, sizes, cache, how, found)


def _cache_pixels(
    index: pd.DataFrame,
    folder: Path,
    sizes: Sequence[int],
    cache: Path,
    how: DecodeSettings,
    found: FoundScale,
) -> tuple[dict[int, Pixels], dict[str, str]]:
    with_file = index[index["sha256"] != ""]
    wanted = with_file.drop_duplicates("sha256").set_index("sha256")["path"]
    unreadable = dict(found.unreadable)
    wanted = wanted.drop([*unreadable, *found.undecided.difference(list(unreadable))])
    pixels: dict[int, Pixels] = {}
    for size in sorted(set(sizes)):
        of_size = CacheOfSize(cache, size, how, found.scale)
        # What one size cannot decode no other can.
        pixels[size], reasons = of_size.fill(wanted.drop(list(unreadable), errors="ignore"), folder)
        if of_size.hindered:
            raise hindered_images(_by_path(with_file, of_size.hindered), len(index), folder)
        unreadable |= reasons
    return pixels, _by_path(with_file, unreadable)


def _by_path(index: pd.DataFrame, reasons: Mapping[str, str]) -> dict[str, str]:
    """Reasons by the SHA-256 of a file, for each file that has it."""
    bad = index[index["sha256"].isin(reasons)]
    return {path: reasons[file] for path, file in zip(bad["path"], bad["sha256"], strict=True)}


def with_pixels(index: pd.DataFrame, pixels: dict[int, Pixels]) -> pd.DataFrame:
    """An index with what decoding has shown of each image.

    Returns:
        With what the file shows: format (as its content says), mode, width and height (pixels,
        upright), orientation (EXIF's, 1 for upright), note (what of its metadata cannot be read),
        missing (why only a part of it is there), wide (more than 8 bits a value), and of such a
        file the lowest and highest value and how many are not_numbers. And for each size a column
        such as pixels_224: the digest of the decoded pixels.
    """
    index = index.copy()
    for each in pixels.values():
        found = each.table.loc[index["sha256"]].reset_index(drop=True)
        for name in OF_THE_FILE:
            index[name] = found[name].to_numpy()
        index[each.column] = found["digest"].to_numpy()
    return index
