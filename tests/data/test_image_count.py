"""Images counted, copies of one photo once."""

from __future__ import annotations

import re
from pathlib import Path

import twinrun
from twinrun.data.image_count import ENOUGH, ImageCount


def test_copies_of_one_image_count_once() -> None:
    count = ImageCount.of(["a", "b", "a", "a"])
    assert (count.all, count.distinct) == (4, 2)
    assert count.words() == "4 images (2 without copies)"
    assert count.words("held-out image") == "4 held-out images (2 without copies)"


def test_without_copies_there_is_one_number() -> None:
    assert ImageCount.of(["a"]).words() == "1 image"
    assert ImageCount.of(str(n) for n in range(1234)).words() == "1,234 images"
    assert ImageCount.of([]).words() == "0 images"


def test_enough_are_so_many_that_are_no_copies_of_each_other() -> None:
    assert ImageCount.of(range(ENOUGH)).enough
    assert not ImageCount.of(range(ENOUGH - 1)).enough
    assert not ImageCount.of([n % (ENOUGH - 1) for n in range(1000)]).enough


def test_how_many_are_enough_is_asked_in_one_place() -> None:
    """Others name the number in a message, and compare nothing with it."""
    root = Path(twinrun.__file__).parent
    compared = re.compile(r"[<>]=? *ENOUGH|ENOUGH *[<>]|(?<!<)[<>]=? *30\b|ewer than 30")
    found = {
        path.relative_to(root).as_posix()
        for path in (*root.rglob("*.py"), *root.rglob("*.html"))
        if compared.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"data/image_count.py"}
