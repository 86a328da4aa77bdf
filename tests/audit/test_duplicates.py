"""Copies are linked to groups: by file, by pixels, by hash; chains and blanks included."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from twinrun.audit import duplicates as module
from twinrun.audit.duplicate_policy import apply_policy
from twinrun.audit.duplicates import NEAR_BITS, copies, duplicate_groups, look_alikes
from twinrun.config.sections import Data
from twinrun.errors import InputError


def hash_of(*flipped: int, seed: int = 0) -> bytes:
    bits = np.random.default_rng(seed).integers(0, 2, 256, dtype=np.uint8)
    bits[list(flipped)] ^= 1
    return np.packbits(bits).tobytes()


def table(*rows: tuple[str, str, str, str, str]) -> pd.DataFrame:
    """Rows of part, id, label, sha256, pixels."""
    found = pd.DataFrame(rows, columns=["part", "id", "label", "sha256", "pixels_32"])
    return found.assign(group=found["part"] + "/" + found["id"])


# By part and id, as an index is.
INDEX = table(
    ("test", "T1", "", "f1", "p1"),
    ("test", "T2", "", "f8", "p8"),
    ("train", "A", "x", "f1", "p1"),
    ("train", "B", "x", "f2", "p1"),
    ("train", "C", "x", "f3", "p3"),
    ("train", "D", "y", "f3", "p3"),
    ("train", "E", "y", "f5", "p5"),
    ("train", "F", "y", "f6", "p6"),
    ("train", "G", "x", "f7", "p7"),
)
# E and F are far from each other, but T2 is between them.
MIDDLE = hash_of(seed=9)
HASHES = [
    hash_of(seed=1),
    MIDDLE,
    hash_of(seed=1),
    hash_of(seed=1),
    hash_of(seed=3),
    hash_of(seed=3),
    hash_of(*range(NEAR_BITS), seed=9),
    hash_of(*range(100, 100 + NEAR_BITS), seed=9),
    hash_of(*range(NEAR_BITS + 1), seed=1),
]


@pytest.fixture
def found() -> tuple[np.ndarray, list[module.Group]]:
    exact = copies(INDEX, "pixels_32")
    alike = look_alikes(exact, HASHES, np.zeros(len(INDEX), bool))
    return exact, duplicate_groups(INDEX, exact, alike)


def test_groups_are_the_union_of_all_relations(
    found: tuple[np.ndarray, list[module.Group]],
) -> None:
    told = [
        (group.kind, [INDEX["id"][row] for row in group.rows], group.conflict, group.spans)
        for group in found[1]
    ]
    assert told == [
        ("pixels", ["T1", "A", "B"], False, True),
        ("near", ["T2", "E", "F"], False, True),
        ("file", ["C", "D"], True, False),
    ]


def test_many_portions_of_links_give_the_same_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(2)
    hashes = [hash_of(*draws.choice(256, 20), seed=n % 17) for n in range(200)]
    alone = np.arange(200)
    at_once = look_alikes(alone, hashes, np.zeros(200, bool))
    monkeypatch.setattr(module, "PORTION", 3)
    assert np.array_equal(look_alikes(alone, hashes, np.zeros(200, bool)), at_once)
    assert len(set(at_once.tolist())) == 17


def test_images_without_a_picture_are_not_alike() -> None:
    exact = np.array([0, 1, 2, 2])
    hashes = [hash_of()] * 4
    assert len(set(look_alikes(exact, hashes, np.zeros(4, bool)).tolist())) == 1
    numbers = look_alikes(exact, hashes, np.ones(4, bool)).tolist()
    # Those with the same pixels still are.
    assert len(set(numbers)) == 3
    assert numbers[2] == numbers[3]


def applied(
    found: tuple[np.ndarray, list[module.Group]], duplicates: str, conflicts: str
) -> tuple[dict[str, str], tuple[str, ...]]:
    exact, groups = found
    data = Data.model_validate({"folder": "data", "duplicates": duplicates, "conflicts": conflicts})
    result = apply_policy(INDEX, groups, exact, data)
    assert list(result.index.index) == list(range(len(result.index)))
    kept = result.index[result.index["part"] == "train"]
    assert (result.index["part"] == "test").sum() == 2
    return dict(zip(kept["id"], kept["group"], strict=True)), result.dropped


def test_grouping_drops_nothing(found: tuple[np.ndarray, list[module.Group]]) -> None:
    kept, dropped = applied(found, "group", "keep")
    assert dropped == ()
    assert kept == {
        "A": "train/A",
        "B": "train/A",
        "C": "train/C",
        "D": "train/C",
        "E": "train/E",
        "F": "train/E",
        "G": "train/G",
    }


def test_dropping_keeps_one_of_each_picture_and_groups_the_near(
    found: tuple[np.ndarray, list[module.Group]],
) -> None:
    kept, dropped = applied(found, "drop", "keep")
    assert dropped == ("B", "D")
    assert (kept["A"], kept["C"]) == ("train/A", "train/C")
    assert kept["E"] == kept["F"] == "train/E"


def test_left_alone_every_image_is_its_own_group(
    found: tuple[np.ndarray, list[module.Group]],
) -> None:
    kept, dropped = applied(found, "keep", "keep")
    assert dropped == ()
    assert kept == {name: f"train/{name}" for name in "ABCDEFG"}


def test_dropping_conflicts_drops_all_of_the_group(
    found: tuple[np.ndarray, list[module.Group]],
) -> None:
    kept, dropped = applied(found, "group", "drop")
    assert dropped == ("C", "D")
    assert "C" not in kept
    assert applied(found, "drop", "drop")[1] == ("B", "C", "D")


def test_a_class_of_which_nothing_is_left_is_refused() -> None:
    index = table(
        ("train", "A", "x", "f1", "p1"),
        ("train", "B", "x", "f2", "p2"),
        ("train", "C", "y", "f2", "p2"),
    )
    exact = copies(index, "pixels_32")
    groups = duplicate_groups(index, exact, exact)
    data = Data.model_validate({"folder": "data", "conflicts": "drop"})
    with pytest.raises(InputError, match="none of the class y"):
        apply_policy(index, groups, exact, data)
