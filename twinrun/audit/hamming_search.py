"""Pairs of hashes that differ in few bits, without comparing all pairs.

A hash is cut into blocks of bits. Where two hashes differ in at most d bits and there are m blocks,
one block differs in at most d // m: those pairs alone are looked at, by a table of each block's
values (Norouzi, Punjani and Fleet, "Fast search in Hamming space with multi-index hashing", CVPR
2012).
Nothing is missed, and nothing is found that differs in more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from twinrun.console import progress_bars

# Pairs that are compared at once: what a thread holds of them is about 20 MB.
_CHUNK = 1 << 17
# What comparing a pair takes, in looks at a table.
_PAIR = 4
# A table of a block's values has at most 2**22 places.
_WIDEST = 22
_RADII = range(4)


@dataclass(frozen=True)
class Layout:
    """How hashes are cut.

    Attributes:
        blocks: Their number; block b takes the bits b, b + blocks, b + 2 * blocks ...
        radius: In so many bits at most a pair differs in one of its blocks.
    """

    blocks: int
    radius: int


def choose_layout(count: int, bits: int, most: int) -> Layout | None:
    """The layout that takes the least time for so many hashes; None for comparing all pairs.

    Args:
        count: Hashes.
        bits: Of each.
        most: Bits in which a pair may differ.
    """
    pairs = count * (count - 1) / 2
    best, least = None, pairs * _PAIR
    for radius in _RADII:
        blocks = most // (radius + 1) + 1
        width = -(-bits // blocks)
        if width > _WIDEST:
            continue
        looks = blocks * sum(comb(width, flipped) for flipped in range(radius + 1))
        cost = looks * (count + pairs / 2 ** (bits / blocks) * _PAIR)
        if cost < least:
            best, least = Layout(blocks, radius), cost
    return best


def near_pairs(
    words: np.ndarray, most: int, layout: Layout | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs of hashes that differ in at most `most` bits, in portions.

    Args:
        words: The hashes: uint64, hashes x words; all different.
        most: Bits in which a pair may differ.
        layout: From `choose_layout`, which is asked when there is none.

    Yields:
        Positions of first and second, int64; a pair may come again in a later portion.
    """
    bits = words.shape[1] * 64
    layout = layout or choose_layout(len(words), bits, most)
    if layout is None:
        yield from _all_pairs(words, most)
        return
    if layout.blocks * (layout.radius + 1) <= most:
        raise ValueError(f"{layout} misses pairs that differ in {most} bits")
    with progress_bars() as bars, ThreadPoolExecutor(os.cpu_count()) as pool:
        bar = bars.add_task("looking for near copies", total=layout.blocks, note="")
        # Each block's answer is small: what is near, not what was looked at.
        for found in pool.map(lambda b: _in_block(words, most, layout, b), range(layout.blocks)):
            bars.advance(bar)
            yield from found


def _all_pairs(words: np.ndarray, most: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rows = max(1, _CHUNK // max(1, len(words)))
    for start in range(0, len(words), rows):
        first = words[start : start + rows, None]
        near = np.bitwise_count(first ^ words[None]).sum(2, dtype=np.int64) <= most
        one, other = np.nonzero(near)
        kept = one + start < other
        yield one[kept] + start, other[kept]


def _in_block(
    words: np.ndarray, most: int, layout: Layout, block: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The near pairs that differ in at most `radius` bits of one block."""
    keys, width = _values(words, layout.blocks, block)
    order = np.argsort(keys, kind="stable")
    # Word by word in memory: that is how they are compared.
    keys, words = keys[order], np.asfortranarray(words[order])
    # Where each value begins among the sorted ones.
    starts = np.searchsorted(keys, np.arange((1 << width) + 1))
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for flipped in range(layout.radius + 1):
        for places in combinations(range(width), flipped):
            mask = sum(1 << place for place in places)
            one = np.arange(len(keys)) if not mask else np.flatnonzero(keys ^ mask > keys)
            partner = keys[one] ^ mask
            begin = starts[partner] if mask else one + 1
            found += _compare_chunks(words, most, one, begin, starts[partner + 1] - begin)
    return [(order[one], order[other]) for one, other in found]


def _compare_chunks(
    words: np.ndarray, most: int, one: np.ndarray, begin: np.ndarray, counts: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The near ones of pairs (one[i], begin[i] + 0 ... counts[i] - 1), a chunk at a time."""
    some = counts > 0
    one, begin, counts = one[some], begin[some], counts[some]
    ends = np.cumsum(counts)
    done = 0
    while done < len(one):
        before = ends[done - 1] if done else 0
        # One that has more partners than a chunk is a chunk of its own.
        until = max(done + 1, int(np.searchsorted(ends, before + _CHUNK, "right")))
        part = counts[done:until]
        offsets = np.arange(part.sum()) - np.repeat(np.cumsum(part) - part, part)
        second = np.repeat(begin[done:until], part) + offsets
        differ = np.zeros(len(second), np.uint16)
        # Half of the bits tell nearly all pairs apart that are not near.
        for word in range(words.shape[1] // 2):
            own = np.repeat(words[one[done:until], word], part)
            differ += np.bitwise_count(own ^ words[second, word])
        left = np.flatnonzero(differ <= most)
        if len(left):
            first, second = np.repeat(one[done:until], part)[left], second[left]
            near = np.bitwise_count(words[first] ^ words[second]).sum(1, dtype=np.int64) <= most
            yield first[near], second[near]
        done = until


def _values(words: np.ndarray, blocks: int, block: int) -> tuple[np.ndarray, int]:
    """The value of one block in each hash, int64, and its width in bits."""
    places = np.arange(block, words.shape[1] * 64, blocks)
    values = np.zeros(len(words), np.int64)
    for number, place in enumerate(places.tolist()):
        bit = (words[:, place // 64] >> np.uint64(place % 64)) & np.uint64(1)
        values |= bit.astype(np.int64) << number
    return values, len(places)
