"""A fact of the environment from outside, in one file: set, recorded, watched, told and mended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest

from twinrun.compare.first_difference import Difference
from twinrun.errors import InputError
from twinrun.registry import IncompleteEntry
from twinrun.repro.environment import set_up
from twinrun.repro.fact import Fact
from twinrun.repro.facts import FACTS, write_out_environment
from twinrun.repro.in_force import hold, refuse_changed
from twinrun.repro.stage import Known
from twinrun.repro.stages import ENVIRONMENT

# A library of one's own that computes in one of two ways.
library = SimpleNamespace(exact=True)

EXACT = Fact(
    name="exact",
    words="whether the library sums exactly",
    decides=True,
    read=lambda _: library.exact,
    pin=lambda _: setattr(library, "exact", True),
    changed_by="library.exact",
    mend="let nothing set library.exact",
    neutral=True,
)


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    with FACTS.including(EXACT):
        yield
    library.exact = True


def test_it_is_set_recorded_and_watched() -> None:
    library.exact = False
    found = set_up(threads=1, device="cpu")
    assert library.exact
    assert "exact" not in found["decides"]
    assert found["beside"]["in_force"]["exact"] is True
    library.exact = False
    with pytest.raises(InputError) as refused:
        refuse_changed(found, "a")
    assert refused.value.details == (
        "exact, whether the library sums exactly: True at the start, False now; set by "
        "library.exact",
    )
    hold(found, "a")
    assert library.exact


def test_what_cannot_be_set_is_part_of_what_decides_bits() -> None:
    library.speed = "slow"
    speed = replace(EXACT, name="speed", read=lambda _: library.speed, pin=None, neutral="fast")
    with FACTS.including(speed):
        found = set_up(threads=1, device="cpu")
        assert found["decides"]["speed"] == "slow"
        assert write_out_environment({})["speed"] == "fast"
        library.speed = "fast"
        with pytest.raises(InputError, match=r"speed.*'slow' at the start, 'fast' now"):
            hold(found, "a")


def test_a_difference_in_it_is_told_with_its_words_and_its_mend() -> None:
    differing = Difference(
        "environment", 0, 0, changed=("exact",), only_first=(), only_second=(), total=1
    )
    advice = ENVIRONMENT.explain(differing, Known())
    assert "exact: whether the library sums exactly" in advice.cause
    assert advice.next == "let nothing set library.exact"


@pytest.mark.parametrize(
    ("part", "entry"), [("name", replace(EXACT, name="")), ("words", replace(EXACT, words=""))]
)
def test_a_part_that_is_left_out_is_named(part: str, entry: Fact) -> None:
    with pytest.raises(IncompleteEntry, match=f"lacks: {part}$"):
        FACTS.add(entry)


def test_what_decides_bits_says_how_to_mend_it() -> None:
    with pytest.raises(ValueError, match="does not say how to mend it"):
        replace(EXACT, mend=None)
