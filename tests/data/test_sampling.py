"""Which images an epoch takes of classes that are drawn more evenly: keyed, even, resumable."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from tests.data.test_keyed_loader import MakeLoaders, epoch_of, index, make_loaders, pixels, same
from twinrun.data.keyed_loader import KeyedLoader
from twinrun.data.sampling import ClassSampler, quotas
from twinrun.repro.keys import Key
from twinrun.repro.ranks import Ranks

__all__ = ["index", "make_loaders", "pixels"]
IDS = [f"{number:03d}" for number in range(30)]
LABELS = [0] * 21 + [1] * 6 + [2] * 3
KEY = Key((0, "a"))


def test_quotas_are_as_computed_by_hand() -> None:
    assert quotas([21, 6, 3], 1.0) == [10, 10, 10]
    assert quotas([21, 6, 3], 0.0) == [21, 6, 3]
    assert quotas([20, 0, 3, 1], 1.0) == [8, 0, 8, 8]
    assert quotas([4, 3, 3], 1.0) == [4, 3, 3]  # of equal remainders the first
    # Roots of 16, 4 and 1 are 4, 2 and 1: 12, 6 and 3 of 21.
    assert quotas([16, 4, 1], 0.5) == [12, 6, 3]


def test_each_class_is_drawn_evenly_and_no_image_twice_before_every_other() -> None:
    drawn = ClassSampler(IDS, LABELS, 1.0).draw(KEY, 0)
    assert len(drawn) == 30
    assert Counter(LABELS[position] for position, _ in drawn) == {0: 10, 1: 10, 2: 10}
    counts = Counter(position for position, _ in drawn)
    assert {counts[position] for position in range(27, 30)} == {3, 4}
    assert {counts[position] for position in range(21, 27)} == {1, 2}
    assert {counts[position] for position in range(21)} == {0, 1}
    times: dict[int, list[int]] = {}
    for position, number in drawn:
        times.setdefault(position, []).append(number)
    assert all(sorted(found) == list(range(len(found))) for found in times.values())
    labels = [LABELS[position] for position, _ in drawn]
    assert labels != sorted(labels)


def test_it_is_a_pure_function_of_key_epoch_and_ids() -> None:
    sampler = ClassSampler(IDS, LABELS, 1.0)
    first = [sampler.draw(KEY, epoch) for epoch in range(3)]
    assert [sampler.draw(KEY, epoch) for epoch in (2, 1, 0)] == first[::-1]
    assert first[0] != first[1]
    assert first[0] != sampler.draw(Key((1, "a")), 0)
    assert first[0] != sampler.draw(Key((0, "b")), 0)
    # The order in which images are listed decides nothing.
    turned = ClassSampler(IDS[::-1], LABELS[::-1], 1.0).draw(KEY, 0)
    assert [(29 - position, times) for position, times in turned] == first[0]


@pytest.fixture
def sampled(make_loaders: MakeLoaders) -> MakeLoaders:
    return lambda **options: make_loaders(sample="balanced", **options)


def test_it_changes_the_epoch_and_no_workers_ranks_or_resume_do(
    make_loaders: MakeLoaders, sampled: MakeLoaders
) -> None:
    whole = epoch_of(sampled().train, 1)
    assert not same(whole, epoch_of(make_loaders().train, 1))
    assert not same(whole, epoch_of(sampled().train, 0))
    assert same(whole, epoch_of(sampled().train, 1))
    assert same(whole, epoch_of(sampled(workers=2).train, 1))
    resumed = sampled().train
    resumed.first_step = 2
    assert same(whole[2:], epoch_of(resumed, 1))
    shared = [epoch_of(sampled(ranks=Ranks(rank=rank, count=2)).train, 1) for rank in (0, 1)]
    for batch, *parts in zip(whole, *shared, strict=True):
        for tensor, *own in zip(batch, *parts, strict=True):
            assert sorted(map(digest, torch.cat(own))) == sorted(map(digest, tensor))
    assert same(epoch_of(sampled().valid), epoch_of(make_loaders().valid))


def digest(row: torch.Tensor) -> bytes:
    return row.contiguous().numpy().tobytes()


def test_an_image_that_is_drawn_again_is_changed_anew_and_named(make_loaders: MakeLoaders) -> None:
    loader: KeyedLoader = make_loaders().train
    again = len(loader.ids)
    assert loader.name(0) == loader.ids[0]
    assert loader.name(again) == f"{loader.ids[0]} (2)"
    assert loader.ids_of([0, again]) == [loader.ids[0]] * 2
    first, second = loader.keys("augment", [0, again])
    assert first == loader.key.of("augment", 0, loader.ids[0])
    assert first != second
