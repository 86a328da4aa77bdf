"""Folds: every image held out once, groups whole, classes even; decided by seed and ids alone."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinrun.data.folds import absent_classes, fold_ids
from twinrun.errors import InputError

unhurried = settings(deadline=None, max_examples=40)  # a busy machine is no failure

# Sizes of the classes, and how many images are alike: 1 for a single image.
classes = st.lists(st.integers(6, 30), min_size=2, max_size=4)


def images(sizes: dict[str, int], alike: dict[str, list[int]] | None = None) -> pd.DataFrame:
    """So many images of each class; `alike`: sizes of groups of duplicates of a class."""
    rows = []
    for label, count in sizes.items():
        group_of: dict[int, str] = {}
        number = 0
        for each, size in enumerate((alike or {}).get(label, [])):
            for _ in range(size):
                group_of[number] = f"{label}-group{each}"
                number += 1
        for number in range(count):
            name = f"{label}{number:03d}"
            rows.append({"id": name, "label": label, "group": group_of.get(number, name)})
    return pd.DataFrame(rows)


def counts(table: pd.DataFrame, parts: list[list[str]]) -> list[Counter[str]]:
    labels = dict(zip(table["id"], table["label"], strict=True))
    return [Counter(labels[image] for image in part) for part in parts]


@unhurried
@given(sizes=classes, folds=st.integers(2, 6), seed=st.integers(0, 2**32))
def test_every_image_is_held_out_once_and_classes_are_even(
    sizes: list[int], folds: int, seed: int
) -> None:
    table = images({f"c{number}": size for number, size in enumerate(sizes)})
    parts = fold_ids(table, folds=folds, seed=seed)
    assert len(parts) == folds
    assert sorted(image for part in parts for image in part) == sorted(table["id"])
    assert all(part == sorted(part) for part in parts)
    for label in {f"c{number}" for number in range(len(sizes))}:
        held_out = [count[label] for count in counts(table, parts)]
        assert max(held_out) - min(held_out) <= 1


@unhurried
@given(groups=st.lists(st.integers(2, 5), max_size=6), seed=st.integers(0, 1000))
def test_no_group_is_torn_apart_and_classes_are_as_even_as_groups_allow(
    groups: list[int], seed: int
) -> None:
    table = images({"a": 40, "b": 25}, {"a": groups})
    parts = fold_ids(table, folds=4, seed=seed)
    group_of = dict(zip(table["id"], table["group"], strict=True))
    where = [{group_of[image] for image in part} for part in parts]
    assert sum(map(len, where)) == len(set(group_of.values()))
    for label in ("a", "b"):
        held_out = [count[label] for count in counts(table, parts)]
        # Single images, of which there are enough, fill up what groups left uneven.
        assert max(held_out) - min(held_out) <= 1


def test_a_group_of_two_classes_stays_whole_too() -> None:
    table = images({"a": 12, "b": 12})
    table.loc[table["id"].isin(["a003", "b007"]), "group"] = "conflict"
    parts = fold_ids(table, folds=3, seed=1)
    assert any({"a003", "b007"} <= set(part) for part in parts)


@unhurried
@given(seed=st.integers(0, 1000), data=st.data())
def test_the_order_of_the_rows_and_the_names_of_groups_mean_nothing(
    seed: int, data: st.DataObject
) -> None:
    table = images({"a": 20, "b": 11, "c": 7}, {"a": [3, 2], "c": [2]})
    expected = fold_ids(table, folds=3, seed=seed)
    order = data.draw(st.permutations(range(len(table))))
    shuffled = table.iloc[order].reset_index(drop=True)
    assert fold_ids(shuffled, folds=3, seed=seed) == expected
    renamed = shuffled.assign(group=[f"x{name[::-1]}" for name in shuffled["group"]])
    assert fold_ids(renamed, folds=3, seed=seed) == expected


def test_groups_of_several_images_decide_and_groups_of_one_do_not() -> None:
    table = images({"a": 20, "b": 11})
    alone = table.assign(group=table["id"].str.replace("0", "group"))
    assert fold_ids(alone, folds=3, seed=5) == fold_ids(table, folds=3, seed=5)
    together = images({"a": 20, "b": 11}, {"a": [4]})
    assert fold_ids(together, folds=3, seed=5) != fold_ids(table, folds=3, seed=5)


def test_another_seed_gives_other_folds() -> None:
    table = images({"a": 20, "b": 20})
    seen = {str(fold_ids(table, folds=4, seed=seed)) for seed in range(20)}
    assert len(seen) == 20


def test_the_folds_are_what_they_always_were() -> None:
    # Others would make every score that was ever written down incomparable.
    table = images({"a": 5, "b": 4}, {"a": [2]})
    assert fold_ids(table, folds=2, seed=13) == [
        ["a000", "a001", "a003", "b002", "b003"],
        ["a002", "a004", "b000", "b001"],
    ]


@pytest.mark.parametrize(
    ("sizes", "alike", "folds", "told"),
    [
        ({"a": 2, "b": 2}, {}, 5, "4 training images cannot be dealt out to 5 folds"),
        ({"a": 2, "b": 1}, {}, 3, "3 training images cannot be dealt out to 3 folds"),
        (
            {"a": 6, "b": 1},
            {"a": [3, 3]},
            4,
            "3 groups of duplicates and single images cannot be dealt out to 4 folds",
        ),
        ({"a": 3, "b": 3}, {}, 4, "every class has fewer images than the 4 folds"),
        ({"a": 9, "b": 1}, {}, 3, "b: all of its images (1) are held out by fold"),
        ({"a": 9, "b": 3}, {"b": [3]}, 3, "b: all of its images (3) are held out by fold"),
    ],
)
def test_too_few_images_or_groups_are_refused_and_how_to_mend_it_is_said(
    sizes: dict[str, int], alike: dict[str, list[int]], folds: int, told: str
) -> None:
    with pytest.raises(InputError) as why:
        fold_ids(images(sizes, alike), folds=folds, seed=0)
    assert told in str(why.value)
    assert "validation." in why.value.fix


def test_a_class_with_fewer_images_than_folds_is_allowed_and_said() -> None:
    table = images({"a": 20, "b": 2})
    parts = fold_ids(table, folds=4, seed=0)
    held_out = [count["b"] for count in counts(table, parts)]
    assert sorted(held_out) == [0, 0, 1, 1]
    (line,) = absent_classes(table, parts)
    empty = [str(number) for number, count in enumerate(held_out, 1) if not count]
    assert line == f"b: 2 images, none in folds {', '.join(empty)}"
    even = images({"a": 20, "b": 4})
    assert absent_classes(even, fold_ids(even, folds=4, seed=0)) == []
