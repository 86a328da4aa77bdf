"""What is a rank's: its part of a batch, its keys; and that a process alone is left as it is."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as some

from twinrun.errors import InputError
from twinrun.repro.environment import set_up
from twinrun.repro.keys import Key
from twinrun.repro.ranks import ALONE, Ranks, current_rank, rank_facts, refuse_uneven

VARIABLES = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def of_four(monkeypatch: pytest.MonkeyPatch, **others: str) -> None:
    for name, value in {**VARIABLES, **others}.items():
        monkeypatch.setenv(name, value)


@given(some.lists(some.integers(), min_size=1), some.integers(1, 9))
def test_the_parts_of_a_batch_are_the_batch_in_its_order(batch: list[int], count: int) -> None:
    parts = [Ranks(rank, count).share(batch) for rank in range(count)]
    # As long as one another, for the ranks go in step.
    assert all(len(one) == len(other) for one, other in pairwise(parts))
    together = [item for part in parts for item in part]
    assert together[: len(batch)] == batch
    if len(batch) % count == 0:
        assert together == batch


def test_alone_a_batch_and_a_key_are_as_they_are() -> None:
    key = Key((0, "a", "step", 1))
    assert ALONE.share([3, 1, 2]) == [3, 1, 2]
    assert ALONE.own(key) == key


def test_ranks_draw_other_numbers_than_one_another() -> None:
    key = Key((0, "a", "step", 1))
    drawn = {Ranks(rank, 2).own(key).integer() for rank in range(2)} | {key.integer()}
    assert len(drawn) == 3


def test_the_environment_says_which_rank_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert current_rank() == ALONE
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert current_rank() == ALONE
    of_four(monkeypatch)
    assert current_rank() == Ranks(1, 4, 1, 2)


@pytest.mark.parametrize(
    "others", [{"RANK": "4"}, {"RANK": "first"}, {"LOCAL_RANK": ""}, {"WORLD_SIZE": "many"}]
)
def test_an_environment_that_no_launcher_made_is_refused(
    monkeypatch: pytest.MonkeyPatch, others: dict[str, str]
) -> None:
    of_four(monkeypatch, **others)
    with pytest.raises(InputError, match="not as torchrun does"):
        current_rank()


def test_only_several_ranks_are_named_among_what_decides_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = set_up(threads=1, device="cpu")["decides"]
    assert not [name for name in before if "rank" in name]
    of_four(monkeypatch)
    now = set_up(threads=1, device="cpu")["decides"]
    assert now == before | {"ranks": 4, "ranks_backend": "gloo"}
    assert rank_facts(cuda=False) == {"ranks": 4, "ranks_backend": "gloo", "ranks_nccl": None}


def test_all_batches_that_cannot_be_shared_evenly_are_named_with_what_can() -> None:
    batches = {"a": 16, "b": 9, "c": 4, "d": 2}
    refuse_uneven(batches, ALONE)
    refuse_uneven({"a": 16}, Ranks(0, 4))
    with pytest.raises(InputError) as error:
        refuse_uneven(batches, Ranks(0, 4))
    assert error.value.details == (
        "b: batch_size = 9; set it to 8 or 12",
        "c: batch_size = 4; set it to 8",
        "d: batch_size = 2; set it to 8",
    )
