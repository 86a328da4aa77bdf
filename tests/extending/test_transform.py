"""A random transform from outside: settings, messages, draws, pixels, cached size know it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from pydantic import Field

from twinrun.config.reading import read_settings
from twinrun.config.recipe import Member
from twinrun.data.augment import Augmentation, draw
from twinrun.errors import InputError
from twinrun.registry import IncompleteEntry
from twinrun.repro.keys import Key
from twinrun.transforms.table import TRANSFORMS
from twinrun.transforms.transform import (
    BatchChanges,
    GeometryTransform,
    LightTransform,
    Transform,
    where_drawn,
)

KEYS = [Key((0, "a", "augment", 0, f"image{number}")) for number in range(64)]
IMAGES = torch.randint(0, 256, (64, 3, 40, 40), generator=torch.Generator().manual_seed(0)).to(
    torch.uint8
)


class Shear(GeometryTransform):
    name = "shear"
    annotation = Annotated[float, Field(ge=0, lt=1)]
    default = 0.0
    neutral = 0.0
    help = "the most by which the upper edge moves to a side"
    draws = 2
    order = 35

    def magnification(self, value: float) -> float:
        return 1 + value

    def matrices(self, value: float, draws: np.ndarray) -> np.ndarray:
        gate, amount = draws
        sheared = np.tile(np.eye(3), (len(gate), 1, 1))
        sheared[:, 0, 1] = where_drawn(gate, value * (2 * amount - 1), 0.75, 0.0)
        return sheared


class Invert(LightTransform):
    name = "invert"
    annotation = bool
    default = False
    neutral = False
    help = "half of the images as negatives"
    draws = 1
    order = 70

    def levels(self, levels: np.ndarray, value: bool, draws: np.ndarray) -> np.ndarray:
        return np.where(draws[0][:, None] < 0.5, 1 - levels, levels)


@pytest.fixture
def shear() -> Iterator[Transform]:
    with TRANSFORMS.including(Shear()) as entry:
        yield entry


def pixels(member: Member) -> bytes:
    return Augmentation(member)(IMAGES, KEYS).numpy().tobytes()


def member_of(config: Path, *changes: str) -> Member:
    return read_settings(config, changes=changes).members["a"]


def test_a_recipe_without_it_has_the_same_bits_as_before(small_toml: Path) -> None:
    before = member_of(small_toml)
    bits, draws = pixels(before), draw(before, KEYS)
    with TRANSFORMS.including(Shear()):
        for changes in ([], ["recipe.shear=0"]):
            after = member_of(small_toml, *changes)
            assert pixels(after) == pixels(before) == bits
            assert after.cached_size == before.cached_size
            assert set(draw(after, KEYS)) == set(draws)


def test_with_it_the_numbers_of_the_others_are_the_same(small_toml: Path, shear: Transform) -> None:
    member = member_of(small_toml, "recipe.shear=0.5")
    without, drawn = draw(member_of(small_toml), KEYS), draw(member, KEYS)
    assert pixels(member) != pixels(member_of(small_toml))
    for name, numbers in without.items():
        assert np.array_equal(drawn[name], numbers)
        # What the draft of today's house did: shear's numbers were brightness' numbers.
        assert abs(np.corrcoef(drawn["shear"][1], numbers[1])[0, 1]) < 0.5
        assert not np.isin(drawn["shear"], numbers).any()


def test_one_that_draws_more_moves_no_others_numbers(
    small_toml: Path, shear: Transform, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = member_of(small_toml, "recipe.shear=0.5")
    before = draw(member, KEYS)
    monkeypatch.setattr(Shear, "draws", 7)
    after = draw(member, KEYS)
    assert after["shear"].shape == (7, len(KEYS))
    assert np.array_equal(after.pop("shear")[:2], before.pop("shear"))
    assert all(np.array_equal(after[name], before[name]) for name in before)


def test_light_from_outside_is_composed_with_the_lighting(small_toml: Path) -> None:
    plain = ["recipe.lighting=0.3", "recipe.flip_vertical=false", "recipe.zoom=1.0"]
    plain += ["recipe.warp=0.0", "recipe.rotate=0.0"]
    with TRANSFORMS.including(Invert()):
        lit = Augmentation(member_of(small_toml, *plain))(IMAGES, KEYS)
        member = member_of(small_toml, *plain, "recipe.invert=true")
        inverted = Augmentation(member)(IMAGES, KEYS)
        negative = draw(member, KEYS)["invert"][0] < 0.5
    assert 0 < negative.sum() < len(KEYS)
    for image, before, turned in zip(inverted, lit, negative, strict=True):
        assert torch.allclose(image, 1 - before if turned else before, atol=1e-6)


def test_the_settings_take_it_and_the_cache_follows(small_toml: Path, shear: Transform) -> None:
    text = small_toml.read_text(encoding="utf-8")
    small_toml.write_text(text.replace("mixup = 0.0", "shear = 0.9"), encoding="utf-8")
    settings = read_settings(small_toml)
    members = settings.members
    assert [member.transforms["shear"] for member in members.values()] == [0.0, 0.9]
    assert members["b"].cached_size > members["a"].cached_size
    # As everything of a recipe it stands in what is written of a run, and is read back from it.
    assert members["b"].model_dump(mode="json")["shear"] == 0.9
    assert Member.model_validate(members["b"].model_dump(mode="json")) == members["b"]
    assert settings.training_content("b")["member"]["shear"] == 0.9


def test_at_its_neutral_value_it_is_in_no_identity(small_toml: Path) -> None:
    before = read_settings(small_toml).training_content("b")
    with TRANSFORMS.including(Shear()):
        plain = read_settings(small_toml, changes=["recipe.shear=0.0"])
        sheared = read_settings(small_toml, changes=["recipe.shear=0.5"])
        assert plain.training_content("b") == before
        assert sheared.training_content("b") != before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("recipe.shear=1.0", ("recipe.shear", "1.0", "less than 1")),
        ('members.b.shear="much"', ("members.b.shear", "'much'", "number")),
        ("recipe.sheer=0.5", ("recipe.sheer", "did you mean 'shear'", "zoom_crop, shear, dropout")),
    ],
)
def test_its_mistakes_are_explained_as_all_others(
    small_toml: Path, shear: Transform, change: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(InputError) as refused:
        read_settings(small_toml, changes=[change, "run.seed=-1"])
    assert [word for word in (*words, "run.seed") if word not in str(refused.value)] == []


def test_without_the_entry_its_setting_is_unknown(small_toml: Path) -> None:
    with pytest.raises(InputError, match=r"recipe\.shear: unknown key"):
        read_settings(small_toml, changes=["recipe.shear=0.5"])


PARTS = ["name", "annotation", "default", "neutral", "help", "draws", "order"]


@pytest.mark.parametrize("part", PARTS)
def test_one_that_lacks_a_part_is_refused_by_that_parts_name(part: str) -> None:
    parts = {name: value for name, value in vars(Shear).items() if name in PARTS and name != part}
    methods: dict[str, Any] = {"matrices": Shear.matrices, "magnification": Shear.magnification}
    incomplete = type("Incomplete", (GeometryTransform,), {**parts, **methods})
    with (
        pytest.raises(IncompleteEntry, match=rf"lacks: {part}$"),
        TRANSFORMS.including(incomplete()),
    ):
        pass


@pytest.mark.parametrize(
    ("base", "method"),
    [
        (Transform, "apply"),
        (Transform, "magnification"),
        (GeometryTransform, "matrices"),
        (GeometryTransform, "magnification"),
        (LightTransform, "levels"),
    ],
)
def test_one_that_lacks_a_method_cannot_be_made(base: type[Transform], method: str) -> None:
    def nothing(self: Transform, *_: Any) -> None: ...

    methods = {name: nothing for name in base.__abstractmethods__ if name != method}
    parts = {name: vars(Shear)[name] for name in PARTS}
    with pytest.raises(TypeError, match=rf"abstract method '?{method}"):
        type("Incomplete", (base,), {**parts, **methods})()


def test_one_cannot_be_called_as_another_setting(small_toml: Path) -> None:
    class Mixup(Shear):
        name = "mixup"

    with TRANSFORMS.including(Mixup()), pytest.raises(TypeError, match="mixup"):
        read_settings(small_toml)


def test_changes_of_no_transform_are_none() -> None:
    changes = BatchChanges.none(2)
    assert np.array_equal(changes.matrices, np.broadcast_to(np.eye(3), (2, 3, 3)))
    assert changes.tables.dtype == np.float32
    assert np.array_equal(changes.tables, np.tile(np.arange(256, dtype=np.float32) / 255, (2, 1)))
