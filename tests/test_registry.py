"""A table refuses what is not whole, what it has already, and a name that it does not know."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import pytest

from twinrun.errors import InputError
from twinrun.registry import IncompleteEntry, Registry


@dataclass(frozen=True)
class Colour:
    name: str
    words: str
    shade: str | None = None


class Shape(ABC):
    name: str
    words: str
    note: str | None = None

    @abstractmethod
    def area(self) -> float: ...


@pytest.fixture
def colours() -> Registry[Colour]:
    table: Registry[Colour] = Registry("colour", Colour, setting="paint.colour")
    table.add(Colour("red", "as a rose"))
    table.add(Colour("blue", "as the sea"))
    return table


def test_entries_stand_in_the_order_of_their_addition(colours: Registry[Colour]) -> None:
    assert colours.names == ["red", "blue"]
    assert [colour.words for colour in colours] == ["as a rose", "as the sea"]
    assert len(colours) == 2
    assert "red" in colours
    assert "green" not in colours
    assert colours.get("blue").words == "as the sea"


def test_an_unknown_name_is_refused_with_the_nearest_and_all(colours: Registry[Colour]) -> None:
    with pytest.raises(InputError) as refusal:
        colours.get("blu")
    assert str(refusal.value) == (
        "paint.colour: there is no colour 'blu'; did you mean 'blue'? Known: red, blue."
    )


def test_a_part_that_is_left_out_is_named(colours: Registry[Colour]) -> None:
    with pytest.raises(IncompleteEntry, match=r"colour 'green' lacks: words$"):
        colours.add(Colour("green", ""))
    assert colours.names == ["red", "blue"]


def test_a_method_that_is_left_out_is_named() -> None:
    class Round(Shape):
        name = "round"
        words = "a circle"

    with pytest.raises(TypeError, match="area"):
        Round()  # type: ignore[abstract]

    class Square:
        name = "square"

    table: Registry[Shape] = Registry("shape", Shape)
    with pytest.raises(IncompleteEntry, match="shape 'square' lacks: words, note, area"):
        table.add(Square())  # type: ignore[arg-type]


def test_a_second_entry_of_a_name_is_refused(colours: Registry[Colour]) -> None:
    with pytest.raises(ValueError, match="there is a colour 'red' already"):
        colours.add(Colour("red", "as blood"))


def test_an_entry_for_a_while_is_gone_afterwards(colours: Registry[Colour]) -> None:
    with colours.including(Colour("green", "as grass")):
        assert colours.names == ["red", "blue", "green"]
    assert colours.names == ["red", "blue"]
