"""The composed warp and the light tables do what fastai's transforms do with the same draws."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from fastai.torch_core import TensorImage
from fastai.vision import augment as fastai_augment
from torch import Tensor

from twinrun.config.recipe import Member
from twinrun.data.augment import Augmentation, batch_changes, draw
from twinrun.data.warp import warp_and_light
from twinrun.repro.keys import Key
from twinrun.transforms.table import TRANSFORMS
from twinrun.transforms.transform import NEVER_NEUTRAL

SIZE, BATCH = 48, 16
PLAIN = np.tile(np.arange(256, dtype=np.float32) / 255, (BATCH, 1))


def member(**changes: Any) -> Member:
    """A recipe; without changes nothing is drawn that changes an image."""
    plain = {"warp": 0.0, "rotate": 0.0, "zoom": 1.0, "zoom_crop": [], "lighting": 0.0}
    return Member.model_validate(
        {
            "network": "resnet18",
            "batch_size": 2,
            "epochs": {"frozen": 1, "unfrozen": 0},
            "validation": {"share": 0.1},
            "image_size": SIZE,
            **plain,
            **changes,
        }
    )


ALL = {
    "flip_vertical": True,
    "warp": 0.2,
    "rotate": 10.0,
    "zoom": 1.1,
    "zoom_crop": [0.75, 1.5],
    "lighting": 0.4,
}


@pytest.fixture
def images() -> Tensor:
    """Smooth pictures, uint8, channels last."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(BATCH, 3, 6, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=SIZE, mode="bicubic").clamp(0, 1)
    return (smooth * 255).to(torch.uint8).contiguous(memory_format=torch.channels_last)


def keys(count: int = BATCH, epoch: int = 0) -> list[Key]:
    return [Key((0, "a", "augment", epoch, f"image{number}")) for number in range(count)]


def matrices_of(recipe: Member, count: int = BATCH) -> np.ndarray:
    return batch_changes(recipe, keys(count)).matrices


def by_fastai(images: Tensor, *transforms: Any) -> Tensor:
    """fastai's own transforms, composed as `aug_transforms` composes them, on floats."""
    composed = fastai_augment.setup_aug_tfms(list(transforms))
    batch = TensorImage(images.float().div(255).contiguous())
    for transform in composed:
        batch = transform(batch, split_idx=0)
    plain: Tensor = batch.as_subclass(Tensor)
    return plain


def given(gate: np.ndarray, values: np.ndarray, probability: float, neutral: float) -> list[float]:
    found: list[float] = np.where(gate < probability, values, neutral).tolist()
    return found


def test_each_geometry_is_fastais_with_the_same_draws(images: Tensor) -> None:
    recipe = member(**ALL)
    draws = draw(recipe, keys())
    g, which = draws["flip_vertical"]
    gx, x, gy, y = draws["warp"]
    gr, r = draws["rotate"]
    gz, z, zx, zy = draws["zoom"]
    c, cx, cy = draws["zoom_crop"]
    numbers = [int(8 * w) if gate < 0.5 else 0 for gate, w in zip(g, which, strict=True)]
    transforms = [
        fastai_augment.Dihedral(p=1.0, draw=numbers),
        fastai_augment.Warp(
            p=1.0,
            draw_x=given(gx, 0.2 * (2 * x - 1), 0.75, 0.0),
            draw_y=given(gy, 0.2 * (2 * y - 1), 0.75, 0.0),
        ),
        fastai_augment.Rotate(p=1.0, draw=given(gr, 10 * (2 * r - 1), 0.75, 0.0)),
        fastai_augment.Zoom(
            p=1.0,
            draw=given(gz, 1 + 0.1 * z, 0.75, 1.0),
            draw_x=zx.tolist(),
            draw_y=zy.tolist(),
        ),
        fastai_augment.Zoom(
            p=1.0, draw=(0.75 + 0.75 * c).tolist(), draw_x=cx.tolist(), draw_y=cy.tolist()
        ),
    ]
    theirs = by_fastai(images, *transforms)
    ours = warp_and_light(images, matrices_of(recipe), PLAIN, SIZE)
    # Bytes are rounded: half a step, and a little for places in between, which OpenCV 4 takes in
    # steps of a 32nd of a pixel.
    steps = 0.7 if int(cv2.__version__.partition(".")[0]) >= 5 else 1.3
    assert (ours - theirs).abs().max() < steps / 255
    assert (ours - images.float().div(255)).abs().max() > 0.1


def test_light_is_fastais_with_the_same_draws(images: Tensor) -> None:
    recipe = member(lighting=0.4)
    gate, brightness, other, contrast = draw(recipe, keys())["lighting"]
    theirs = by_fastai(
        images,
        fastai_augment.Brightness(
            p=1.0, draw=given(gate, 0.5 * (1 + 0.4 * (2 * brightness - 1)), 0.75, 0.5)
        ),
        fastai_augment.Contrast(
            p=1.0,
            draw=given(other, np.exp((2 * contrast - 1) * -np.log(0.6)), 0.75, 1.0),
        ),
    )
    whole = np.broadcast_to(np.eye(3), (BATCH, 3, 3))
    ours = warp_and_light(images, whole, batch_changes(recipe, keys()).tables, SIZE)
    assert (ours - theirs).abs().max() < 1e-5


def test_the_draws_are_spread_as_fastais_are() -> None:
    matrices = matrices_of(member(rotate=10.0), 4000)
    degrees = np.degrees(np.arctan2(matrices[:, 0, 1], np.abs(matrices[:, 0, 0])))
    assert np.abs(degrees).max() <= 10.0001
    # Three quarters are turned, evenly to both sides.
    assert abs((np.abs(degrees) > 1e-4).mean() - 0.75) < 0.03
    assert abs(degrees.mean()) < 0.4
    flipped = (matrices[:, 0, 0] < 0).mean()
    assert abs(flipped - 0.5) < 0.03
    symmetries = matrices_of(member(flip_vertical=True), 4000).round().reshape(-1, 9)
    found, counts = np.unique(symmetries, axis=0, return_counts=True)
    assert len(found) == 8
    # The gate is closed for half of them, and of the open ones an eighth stays as it is.
    assert sorted(np.round(counts / 4000, 1)) == [0.1] * 7 + [0.6]


def test_nothing_asked_for_changes_nothing_but_flips(images: Tensor) -> None:
    found = Augmentation(member())(images, keys())
    plain = images.float().div(255)
    flipped = plain.flip(-1)
    mirrored = [(one - other).abs().max() < 1e-5 for one, other in zip(found, flipped, strict=True)]
    for one, straight, mirror in zip(found, plain, mirrored, strict=True):
        assert mirror or (one - straight).abs().max() < 1e-5
    assert 0 < sum(map(bool, mirrored)) < BATCH


def test_an_image_does_not_depend_on_its_neighbours(images: Tensor) -> None:
    augmentation = Augmentation(member(**ALL))
    whole = augmentation(images, keys())
    backwards = augmentation(
        images.flip(0).contiguous(memory_format=torch.channels_last), keys()[::-1]
    )
    assert torch.equal(backwards.flip(0), whole)
    for number in (0, 7):
        alone = augmentation(images[number : number + 1], keys()[number : number + 1])
        assert torch.equal(alone[0], whole[number])


def test_epochs_and_images_differ(images: Tensor) -> None:
    augmentation = Augmentation(member(**ALL))
    first, second = (augmentation(images, keys(epoch=epoch)) for epoch in (0, 1))
    assert all(not torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("name", ["flip_vertical", "warp", "rotate", "zoom", "zoom_crop"])
def test_each_geometry_of_the_recipe_counts(images: Tensor, name: str) -> None:
    changes = {**ALL, name: member().transforms[name]}
    assert not torch.equal(
        Augmentation(member(**ALL))(images, keys()), Augmentation(member(**changes))(images, keys())
    )


@pytest.mark.parametrize("name", list(ALL))
def test_each_transform_draws_its_own_numbers_whatever_else_is_asked_for(name: str) -> None:
    alone = draw(member(**{name: ALL[name]}), keys())
    together = draw(member(**ALL), keys())
    assert np.array_equal(alone[name], together[name])
    # Each from a key of its own, so no two share a number.
    assert np.array_equal(
        together[name],
        np.stack([key.of(name).uniforms(TRANSFORMS.get(name).draws) for key in keys()], 1),
    )
    others = [draws for other, draws in together.items() if other != name]
    assert not np.isin(together[name], np.concatenate(others)).any()


def test_at_its_neutral_value_no_transform_is_drawn_or_applied() -> None:
    assert set(draw(member(), keys())) == {"flip_vertical"}
    for transform in TRANSFORMS:
        if transform.neutral is not NEVER_NEUTRAL:
            neutral = member(**{**ALL, transform.name: transform.neutral})
            assert set(draw(neutral, keys())) == ALL.keys() - {transform.name}


def test_the_order_is_the_transforms_own_and_not_that_of_the_recipe() -> None:
    backwards = dict(reversed(ALL.items()))
    assert np.array_equal(matrices_of(member(**ALL)), matrices_of(member(**backwards)))


def test_values_stay_between_0_and_1_and_channels_last(images: Tensor) -> None:
    found = Augmentation(member(**ALL))(images, keys())
    assert found.dtype == torch.float32
    assert found.shape == images.shape
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize(
    ("zoom", "zoom_crop", "cached"),
    [
        (1.0, [], 72),
        (1.1, [], 72),
        (1.1, [0.75, 1.5], 80),
        (1.0, [0.5, 0.75], 72),
        (3.0, [], 96),
    ],
)
def test_the_cache_holds_the_pixels_that_zooming_in_shows(
    zoom: float, zoom_crop: list[float], cached: int
) -> None:
    assert member(zoom=zoom, zoom_crop=zoom_crop).cached_size == cached


def test_zooming_in_shows_the_cached_pixels_as_they_are() -> None:
    recipe = member(zoom_crop=[1.5, 1.5])
    noise = torch.rand(BATCH, 3, 72, 72, generator=torch.Generator().manual_seed(0))
    images = (noise * 255).to(torch.uint8)
    assert recipe.cached_size == 72
    # 48 places in the middle, as far apart as the cached pixels.
    middle = np.broadcast_to(np.diag([47 / 71, 47 / 71, 1]), (BATCH, 3, 3))
    shown = warp_and_light(images, middle, PLAIN, SIZE)
    assert torch.equal(shown, images[:, :, 12:60, 12:60].float() / 255)
    # Pixels of the size that is seen without a zoom cannot show that.
    small = torch.nn.functional.interpolate(
        images.float() / 255, size=SIZE, antialias=True, mode="bicubic"
    )
    again = torch.nn.functional.interpolate(small, size=72, mode="bilinear")[:, :, 12:60, 12:60]
    assert (again - shown).abs().mean() > 0.05
    assert Augmentation(recipe)(images, keys()).shape == (BATCH, 3, SIZE, SIZE)


def test_an_image_to_which_nothing_is_drawn_is_seen_as_in_training() -> None:
    coarse = torch.rand(BATCH, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, size=53, mode="bicubic").clamp(0, 1)
    images = (smooth * 255).to(torch.uint8).contiguous(memory_format=torch.channels_last)
    recipe = member(zoom=1.1)
    shown = Augmentation(recipe).unchanged(images)
    assert shown.shape == (BATCH, 3, SIZE, SIZE)
    assert shown.is_contiguous(memory_format=torch.channels_last)
    trained = Augmentation(member())(images, keys())
    nearest = torch.minimum(
        (trained - shown).abs().amax((1, 2, 3)), (trained - shown.flip(-1)).abs().amax((1, 2, 3))
    )
    assert nearest.max() < 1.1 / 255
    same_size = images[..., :SIZE, :SIZE]
    assert torch.equal(Augmentation(recipe).unchanged(same_size), same_size.float().div(255))
