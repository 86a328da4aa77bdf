"""`augment` stands for values of several settings, under those that a recipe says itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from twinrun.config.reading import read_settings
from twinrun.config.recipe import Member
from twinrun.errors import InputError
from twinrun.transforms.sets import AUGMENT_SETS


def test_a_set_is_its_values_in_the_settings_and_in_the_identity(small_toml: Path) -> None:
    named = read_settings(small_toml, changes=['recipe.augment="medium"'])
    values = AUGMENT_SETS.get("medium").values
    written = read_settings(small_toml, changes=[f"recipe.{k}={v}" for k, v in values.items()])
    assert named.members["a"].transforms == written.members["a"].transforms
    assert named.members["a"].transforms["erasing"] == values["erasing"]
    assert named.training_content("a") == written.training_content("a")
    assert named.training_content("a") != read_settings(small_toml).training_content("a")


def test_what_a_recipe_or_a_member_says_itself_counts(small_toml: Path) -> None:
    changes = ['recipe.augment="heavy"', "recipe.blur=0.0", "members.b.erasing=0.9"]
    members = read_settings(small_toml, changes=changes).members
    assert [each.transforms["blur"] for each in members.values()] == [0.0, 0.0]
    assert [each.transforms["erasing"] for each in members.values()] == [0.25, 0.9]
    assert [each.transforms["noise"] for each in members.values()] == [0.05, 0.05]


def test_a_member_may_take_a_different_set_or_none(small_toml: Path) -> None:
    changes = ['recipe.augment="heavy"', 'members.b.augment="light"']
    members = read_settings(small_toml, changes=changes).members
    assert [each.transforms["rand_augment"] for each in members.values()] == [9.0, 0.0]
    assert [each.transforms["rotate"] for each in members.values()] == [10.0, 5.0]


def test_it_is_read_back_as_it_was_written(small_toml: Path) -> None:
    member = read_settings(small_toml, changes=['recipe.augment="heavy"']).members["a"]
    assert Member.model_validate(member.model_dump(mode="json")) == member


def test_a_set_that_is_not_there_is_told_with_those_that_are(small_toml: Path) -> None:
    with pytest.raises(InputError, match=r"recipe\.augment.*light, medium, heavy"):
        read_settings(small_toml, changes=['recipe.augment="havy"'])
