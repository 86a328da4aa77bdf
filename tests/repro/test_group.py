"""What ranks do together: alone nothing of it costs anything; a group in use is asked instead."""

from __future__ import annotations

from typing import TypeVar

import pytest
import torch

from twinrun.errors import InputError
from twinrun.repro.group import Group, current_group, use_group
from twinrun.repro.ranks import ALONE

T = TypeVar("T")


def test_a_process_that_is_alone_waits_for_nobody() -> None:
    rows, group = torch.arange(3.0), current_group()
    group.wait_for_all()
    group.refuse_different("beginning", {"a": 1})
    group.share_steps(None)
    assert group.broadcast("x") == "x"
    assert group.gather_objects("x") == ["x"]
    assert group.any_rank(False, True) == (False, True)
    assert group.joint_digest(7) == 7
    assert group.gather_batch(rows, 2, ALONE) is rows
    with group.first_on_machine():
        pass


class Two(Group):
    """Of two ranks the second has a value of its own."""

    def __init__(self, other: object) -> None:
        self.other = other

    def gather_objects(self, value: T) -> list[T]:
        return [value, self.other]  # type: ignore[list-item]


def test_a_group_is_in_use_for_a_block() -> None:
    before, two = current_group(), Two({})
    with use_group(two):
        assert current_group() is two
    assert current_group() is before


@pytest.mark.parametrize("ours", [{"data": "x"}, {"data": "x", "more": 1}])
def test_ranks_that_begin_with_different_things_are_named(ours: dict[str, object]) -> None:
    with (
        use_group(Two({"data": "y"})),
        pytest.raises(InputError, match="rank 1 has a different data than rank 0") as error,
    ):
        current_group().refuse_different("data", ours)
    assert "data: 'x' in rank 0, 'y' in rank 1" in error.value.details
