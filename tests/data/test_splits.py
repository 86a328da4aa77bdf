"""The held-out part: the share that was asked for, decided by seed and id alone."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from twinrun.data.splits import validation_ids
from twinrun.errors import InputError

IDS = [f"IMG{number:03d}" for number in range(60)]

shares = st.floats(min_value=0.001, max_value=0.999)
seeds = st.integers(0, 2**32)
listings = st.lists(st.text(min_size=1, max_size=8), unique=True, min_size=3, max_size=60)


@pytest.mark.parametrize(
    ("images", "share", "held_out"),
    [
        (10, 0.25, 2),
        (11, 0.25, 2),
        (12, 0.25, 3),
        (96, 0.2, 19),
        (876, 0.2, 175),
        (10, 0.099, 1),  # at least one
        (3, 0.001, 1),
        (10, 0.8, 8),  # two are left
    ],
)
def test_the_share_is_rounded_down_but_one_is_held_out(
    images: int, share: float, held_out: int
) -> None:
    ids = [f"IMG{number:03d}" for number in range(images)]
    assert len(validation_ids(ids, share=share, seed=0)) == held_out


@given(ids=listings, share=shares, seed=seeds)
def test_the_count_is_the_share_for_any_ids(ids: list[str], share: float, seed: int) -> None:
    expected = max(1, int(share * len(ids)))
    assume(len(ids) - expected >= 2)
    held_out = validation_ids(ids, share=share, seed=seed)
    assert len(held_out) == expected
    assert held_out == sorted(set(held_out))
    assert set(held_out) < set(ids)


@given(ids=listings, pair=st.tuples(shares, shares), seed=seeds)
def test_a_smaller_share_is_a_part_of_a_larger_one(
    ids: list[str], pair: tuple[float, float], seed: int
) -> None:
    smaller, larger = sorted(pair)
    assume(len(ids) - max(1, int(larger * len(ids))) >= 2)
    few = validation_ids(ids, share=smaller, seed=seed)
    many = validation_ids(ids, share=larger, seed=seed)
    assert set(few) <= set(many)


@given(ids=listings, share=st.floats(0.01, 0.3), seed=seeds, data=st.data())
def test_the_order_of_listing_means_nothing(
    ids: list[str], share: float, seed: int, data: st.DataObject
) -> None:
    listed_otherwise = data.draw(st.permutations(ids))
    expected = validation_ids(ids, share=share, seed=seed)
    assert validation_ids(listed_otherwise, share=share, seed=seed) == expected


@given(seed=st.integers(0, 1000), other=st.integers(0, 1000))
def test_another_seed_holds_out_other_images(seed: int, other: int) -> None:
    assume(seed != other)
    # 20 of 60: two independent draws are the same once in 10**15.
    one = validation_ids(IDS, share=1 / 3, seed=seed)
    assert validation_ids(IDS, share=1 / 3, seed=other) != one


def test_the_draw_is_uniform_over_the_ids() -> None:
    # 400 draws of 15 out of 60: each id is expected 100 times, with a deviation of 8.7.
    counts = dict.fromkeys(IDS, 0)
    for seed in range(400):
        for image_id in validation_ids(IDS, share=0.25, seed=seed):
            counts[image_id] += 1
    assert min(counts.values()) > 60
    assert max(counts.values()) < 140


@pytest.mark.parametrize(
    ("images", "share"), [(0, 0.25), (1, 0.25), (2, 0.25), (3, 0.7), (10, 0.9)]
)
def test_too_few_images_to_train_on_are_refused(images: int, share: float) -> None:
    with pytest.raises(InputError, match=f"^{images} training images with .* {share} leave") as why:
        validation_ids(IDS[:images], share=share, seed=0)
    assert "validation.share" in why.value.fix


def test_the_split_is_what_it_always_was() -> None:
    # Another one would make every score that was ever written down incomparable.
    assert validation_ids(IDS, share=0.1, seed=13) == [
        "IMG008",
        "IMG015",
        "IMG018",
        "IMG035",
        "IMG041",
        "IMG051",
    ]


def group_of(sizes: list[int]) -> list[str]:
    """Names of groups of these sizes, one after the other."""
    return [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]


def test_groups_of_one_change_nothing() -> None:
    for seed in range(20):
        alone = validation_ids(IDS, share=0.25, seed=seed, groups=[f"x{name}" for name in IDS])
        assert alone == validation_ids(IDS, share=0.25, seed=seed)


def test_a_group_is_held_out_as_a_whole_or_not_at_all() -> None:
    groups = group_of([1, 2, 3, 4, 5] * 4)
    apart = 0
    for seed in range(50):
        held_out = set(validation_ids(IDS, share=0.25, seed=seed, groups=groups))
        assert 15 <= len(held_out) <= 19  # the last group may bring four more
        for name in set(groups):
            members = {i for i, group in zip(IDS, groups, strict=True) if group == name}
            assert not members & held_out or members <= held_out
            plain = set(validation_ids(IDS, share=0.25, seed=seed))
            apart += bool(members & plain) and not members <= plain
    assert apart > 100  # without groups they are torn


def test_a_smaller_share_of_groups_is_a_part_of_a_larger_one_in_any_order() -> None:
    groups = group_of([1, 2, 3, 4, 5] * 4)
    for seed in range(20):
        few = validation_ids(IDS, share=0.1, seed=seed, groups=groups)
        many = validation_ids(IDS[::-1], share=0.3, seed=seed, groups=groups[::-1])
        assert set(few) < set(many)


def test_what_a_group_is_called_decides_nothing() -> None:
    groups = group_of([2] * 30)
    other = [f"test/{name}" for name in groups]
    assert validation_ids(IDS, share=0.2, seed=3, groups=groups) == validation_ids(
        IDS, share=0.2, seed=3, groups=other
    )


def test_copies_that_leave_too_few_to_train_on_are_refused_with_the_reason() -> None:
    with pytest.raises(InputError, match="59 of them are copies") as why:
        for seed in range(10):
            validation_ids(IDS, share=0.5, seed=seed, groups=group_of([59, 1]))
    assert "data.duplicates" in why.value.fix
