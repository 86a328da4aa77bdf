"""What a message says of very long things."""

from __future__ import annotations

import pytest

from twinrun.errors import InputError


@pytest.mark.parametrize(("letters", "left_out"), [(2000, ""), (2001, "1"), (12_000, "10,000")])
def test_of_a_long_detail_the_middle_is_left_out(letters: int, left_out: str) -> None:
    cell = "a" * (letters - 1) + "b"
    (what, detail, fix) = InputError("wrong:", details=[cell], fix=cell).lines
    assert what == "wrong:"
    assert detail.endswith("b")
    assert (f"({left_out} letters left out)" in detail) == bool(left_out)
    assert len(detail) < 2050
    assert fix == cell, "a command that is to be copied stays whole"
