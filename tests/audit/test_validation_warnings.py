"""What a user is told of a validation that cannot tell much; once, whatever the members are."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from twinrun.audit.validation_warnings import validation_warnings
from twinrun.config.reading import read_settings
from twinrun.errors import InputError


def table(**counts: int) -> pd.DataFrame:
    rows = [(f"{name}{i}", name) for name, count in counts.items() for i in range(count)]
    found = pd.DataFrame(rows, columns=["id", "label"])
    return found.assign(group=found["id"])


def warnings(small_toml: Path, images: pd.DataFrame, *changes: str) -> list[str]:
    settings = read_settings(small_toml, changes=list(changes))
    return validation_warnings(settings, images, ["a", "b"])


def test_enough_images_are_nothing_to_warn_of(small_toml: Path) -> None:
    assert warnings(small_toml, table(x=60, y=60)) == []
    folds = "recipe.validation.folds=5"
    assert warnings(small_toml, table(x=20, y=20), folds) == []


def test_few_images_are_warned_of_once_with_what_one_of_them_weighs(small_toml: Path) -> None:
    (warning,) = warnings(small_toml, table(x=59, y=60))
    assert "fewer than 30 images (a, b on 29)" in warning
    (warning,) = warnings(small_toml, table(x=40, y=40), "members.b.validation.share=0.1")
    assert "(b on 8; a on 20)" in warning
    assert "on 8, one more that is right is 12.5 percent of accuracy" in warning
    (warning,) = warnings(small_toml, table(x=14, y=15), "recipe.validation.folds=2")
    assert "(a, b on 29)" in warning


def copied(images: pd.DataFrame, times: int) -> pd.DataFrame:
    """Each image so many times, as the audit groups copies."""
    parts = [images.assign(id=images["id"] + f"-{number}") for number in range(times)]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(
    "validation", ["recipe.validation.share=0.25", "recipe.validation.folds=5"]
)
def test_copies_of_one_image_are_one_image(small_toml: Path, validation: str) -> None:
    """Ten times the images, of which none tells anything new."""
    few = table(x=10, y=10)
    (plain,) = warnings(small_toml, few, validation)
    (warning,) = warnings(small_toml, copied(few, 10), validation)
    held, photos = (50, 5) if "share" in validation else (200, 20)
    assert f"(a, b on {photos})" in plain
    assert "fewer than 30 images, copies counted once " in warning
    assert f"(a, b on {held}, {photos} without copies)" in warning
    percent = f"{100 / photos:.1f} percent of accuracy"
    assert f"on {photos}, one more that is right is {percent}" in plain
    assert f"on {photos}, one more that is right with its copies is about {percent}" in warning


def test_enough_images_stay_enough_with_copies(small_toml: Path) -> None:
    assert warnings(small_toml, copied(table(x=60, y=60), 3)) == []


def test_a_class_that_folds_lack_is_warned_of_and_one_that_a_training_lacks_is_refused(
    small_toml: Path,
) -> None:
    folds = "members.b.validation.folds=4"
    (warning,) = warnings(small_toml, table(x=160, y=3), folds)
    assert "a class has fewer images than the 4 folds" in warning
    assert "y: 3 images, none in fold " in warning
    with pytest.raises(InputError, match="would leave a training without a class"):
        warnings(small_toml, table(x=160, y=1), folds)
