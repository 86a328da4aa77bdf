"""Which images are copies of each other: one file, the same pixels, or nearly the same picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from twinrun.audit.fingerprints import hash_words
from twinrun.audit.hamming_search import near_pairs

# Two hashes of 256 bits that differ in at most so many are called nearly the same picture. Of real
# photos, copies lie below (saved again, resized, brighter, cut by 1 %: at most 40) and different
# photos far above (86 at least, among 32,384 pairs): docs/audit.md has the measurement.
NEAR_BITS = 47

# Links that are held before they are made into components.
PORTION = 1 << 20

Kind = Literal["file", "pixels", "near"]


@dataclass(frozen=True)
class Group:
    """Images that are copies of each other.

    Attributes:
        kind: What holds all of them together: the same file, the same decoded pixels, or only that
            they look nearly the same.
        rows: Their positions in the index, ascending.
        conflict: Whether its training images have more than one label.
        spans: Whether it has training and test images.
    """

    kind: Kind
    rows: tuple[int, ...]
    conflict: bool
    spans: bool


def copies(index: pd.DataFrame, column: str) -> np.ndarray:
    """A number for each image, equal for those with one file or one picture; int64.

    Args:
        index: From `with_pixels`.
        column: Of the pixels' digests. One file has always one picture.
    """
    return pd.factorize(index[column])[0].astype(np.int64)


def look_alikes(exact: np.ndarray, hashes: list[bytes], left_out: np.ndarray) -> np.ndarray:
    """A number for each image, equal for those that copies and near-copies link together; int64.

    Time grows with the number of images and of pairs that are near; memory with the images alone.

    Args:
        exact: From `copies`.
        hashes: Of each image, from `fingerprint_images`.
        left_out: bool; images without a picture: their hashes say nothing.
    """
    words = hash_words(hashes)
    # The images of one hash are linked in a chain, and one of them is looked up.
    seen = np.flatnonzero(~left_out)
    _, first, inverse = np.unique(words[seen], axis=0, return_index=True, return_inverse=True)
    chosen = seen[first]
    links = [(np.arange(len(exact)), _first_of_equals(exact)), (seen, chosen[inverse.ravel()])]
    portions = ((chosen[one], chosen[other]) for one, other in near_pairs(words[chosen], NEAR_BITS))
    return _connect(len(exact), links, portions)


def duplicate_groups(index: pd.DataFrame, exact: np.ndarray, alike: np.ndarray) -> list[Group]:
    """The groups of two and more images, in the order of their first one.

    Args:
        index: From `with_pixels`.
        exact: From `copies`.
        alike: From `look_alikes`.
    """
    sizes = np.bincount(alike)
    rows = np.flatnonzero(sizes[alike] > 1)
    rows = rows[np.argsort(alike[rows], kind="stable")]
    found = []
    parts, labels = index["part"].to_numpy(), index["label"].to_numpy()
    files = pd.factorize(index["sha256"])[0]
    for members in np.split(rows, np.flatnonzero(np.diff(alike[rows])) + 1) if len(rows) else []:
        train = members[parts[members] == "train"]
        kind: Kind = "near"
        if len(set(files[members])) == 1:
            kind = "file"
        elif len(set(exact[members])) == 1:
            kind = "pixels"
        found.append(
            Group(
                kind,
                tuple(members.tolist()),
                conflict=len(set(labels[train])) > 1,
                spans=0 < len(train) < len(members),
            )
        )
    return sorted(found, key=lambda group: group.rows)


def _first_of_equals(numbers: np.ndarray) -> np.ndarray:
    """For each position the first one with the same number."""
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    return first[inverse]


def _connect(
    count: int,
    links: Iterable[tuple[np.ndarray, np.ndarray]],
    portions: Iterable[tuple[np.ndarray, np.ndarray]],
) -> np.ndarray:
    """Numbers of connected components; a portion of links is forgotten when it has been used."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    everything = np.arange(count)

    def components(pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        one, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
        graph = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(count, count))
        return np.asarray(connected_components(graph, directed=False)[1], np.int64)

    numbers = components(list(links))
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    for portion in portions:
        waiting.append(portion)
        if sum(len(one) for one, _ in waiting) > PORTION:
            numbers = components([(everything, _first_of_equals(numbers)), *waiting])
            waiting = []
    return components([(everything, _first_of_equals(numbers)), *waiting]) if waiting else numbers
