"""No near pair is missed, and none is found that is not near: against comparing all pairs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from twinrun.audit.hamming_search import Layout, choose_layout, near_pairs

MOST = 47
LAYOUTS = [Layout(48, 0), Layout(24, 1), Layout(16, 2), Layout(12, 3)]


def drawn(count: int, *, planted: int = 0) -> np.ndarray:
    """Random hashes of 256 bits; `planted` of them differ from another one in 1, 2, 3 ... bits."""
    draws = np.random.default_rng(5)
    bits = draws.integers(0, 2, (count, 256), dtype=np.uint8)
    for number in range(planted):
        flipped = draws.choice(256, number + 1, replace=False)
        bits[count - 1 - number] = bits[number]
        bits[count - 1 - number, flipped] ^= 1
    return np.packbits(bits, axis=1).view(np.uint64)


def found(words: np.ndarray, layout: Layout | None) -> set[tuple[int, int]]:
    return {
        (min(pair), max(pair))
        for one, other in near_pairs(words, MOST, layout)
        for pair in zip(one.tolist(), other.tolist(), strict=True)
    }


def compared(words: np.ndarray) -> set[tuple[int, int]]:
    return {
        (one, other)
        for one, other in combinations(range(len(words)), 2)
        if int(np.bitwise_count(words[one] ^ words[other]).sum()) <= MOST
    }


@pytest.mark.parametrize("layout", [None, *LAYOUTS])
def test_all_near_pairs_are_found_and_no_others(layout: Layout | None) -> None:
    words = drawn(300, planted=60)
    expected = compared(words)
    assert len(expected) == 47  # of 60 planted, those of 1 to 47 bits
    assert found(words, layout) == expected


def test_a_bucket_that_is_larger_than_a_portion_loses_no_pair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("twinrun.audit.hamming_search._CHUNK", 7)
    words = drawn(120, planted=40)
    words[:, 0] = 0  # a block in which all are alike
    assert found(words, Layout(16, 2)) == found(words, None) == compared(words)


def test_a_layout_that_would_miss_pairs_is_refused() -> None:
    with pytest.raises(ValueError, match="misses pairs"):
        found(drawn(10), Layout(15, 2))


@pytest.mark.parametrize("count", [0, 1])
def test_of_fewer_than_two_there_is_no_pair(count: int) -> None:
    assert found(drawn(2)[:count], None) == set()


def test_the_layout_is_right_for_any_number_and_not_all_pairs_for_many() -> None:
    for count in (2, 100, 1_000, 10_000, 100_000, 1_000_000):
        layout = choose_layout(count, 256, MOST)
        if count >= 1_000:
            assert layout is not None
            assert layout.blocks * (layout.radius + 1) > MOST
    assert choose_layout(20, 256, MOST) is None
