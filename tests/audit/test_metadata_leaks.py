"""What gives a class away is told from chance: small counts fool nobody."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from twinrun.audit.metadata_leaks import MetadataLeak, metadata_leaks


def told(
    values: list[str], labels: list[str], photos: list[int] | None = None
) -> list[MetadataLeak]:
    found = np.array(photos or range(len(labels)))
    return metadata_leaks({"format": pd.Series(values)}, pd.Series(labels), found)


def test_a_format_of_one_class_gives_it_away() -> None:
    labels = ["a"] * 30 + ["b"] * 30 + ["c"] * 30
    values = ["PNG"] * 12 + ["JPEG"] * 78
    (found,) = told(values, labels)
    assert (found.value, found.label, found.hits, found.images) == ("PNG", "a", 12, 12)
    assert found.share == pytest.approx(1 / 3)
    # 12 of 12 at 1/3 each, and four questions: PNG with a, JPEG with a, b and c.
    assert found.chance == pytest.approx(4 / 3**12)


@pytest.mark.parametrize("images", [1, 2, 3, 5])
def test_a_few_images_of_one_class_are_chance(images: int) -> None:
    labels = ["a"] * 30 + ["b"] * 30 + ["c"] * 30
    assert told(["PNG"] * images + ["JPEG"] * (90 - images), labels) == []


def test_twelve_copies_of_one_photo_are_one_image() -> None:
    labels = ["a"] * 30 + ["b"] * 30 + ["c"] * 30
    values = ["PNG"] * 12 + ["JPEG"] * 78
    assert told(values, labels)
    assert told(values, labels, [0] * 12 + list(range(1, 79))) == []
    # Of six photos twice each, half of the images are counted.
    labels = ["a"] * 60 + ["b"] * 60
    values = ["PNG"] * 24 + ["JPEG"] * 96
    (found,) = told(values, labels, [*range(12), *range(12), *range(12, 108)])
    assert (found.hits, found.images) == (12, 12)


def test_a_size_of_its_own_for_every_image_gives_nothing_away() -> None:
    labels = ["a", "b"] * 500
    assert told([f"{number} x 300" for number in range(1000)], labels) == []


def test_two_classes_that_differ_in_a_property_are_both_given_away() -> None:
    labels = ["a"] * 40 + ["b"] * 40
    found = told(["2020-01-01"] * 38 + ["2020-01-02"] * 42, labels)
    assert [(each.value, each.label) for each in found] == [
        ("2020-01-02", "b"),
        ("2020-01-01", "a"),
    ]


def test_a_value_that_shifts_the_odds_without_giving_the_class_away_is_not_told() -> None:
    labels = (["a"] * 60 + ["b"] * 40) * 10 + (["a"] * 40 + ["b"] * 60) * 10
    assert told(["PNG"] * 1000 + ["JPEG"] * 1000, labels) == []


def test_the_share_of_a_frequent_class_is_no_leak() -> None:
    draws = np.random.default_rng(0)
    labels = ["a"] * 950 + ["b"] * 50
    values = draws.choice(["PNG", "JPEG"], 1000).tolist()
    assert told(values, labels) == []


def test_random_properties_are_told_in_less_than_one_case_of_a_hundred() -> None:
    draws = np.random.default_rng(1)
    false = 0
    for _ in range(200):
        labels = draws.choice(["a", "b", "c"], 60).tolist()
        values = draws.choice([f"v{number}" for number in range(12)], 60).tolist()
        false += bool(told(values, labels))
    assert false <= 2


def test_a_thousand_classes_are_quick_and_one_that_is_given_away_is_named() -> None:
    labels = [f"class{number % 1000}" for number in range(20_000)]
    values = ["PNG" if label == "class7" else "JPEG" for label in labels]
    (found,) = told(values, labels)
    assert (found.value, found.label, found.images) == ("PNG", "class7", 20)
