"""Erasing, greys, blur, noise and RandAugment: what they do, and that it is the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import functional as reference

from twinrun.config.recipe import Member
from twinrun.data.augment import Augmentation, draw
from twinrun.repro.keys import Key
from twinrun.transforms.pixels import gaussian_weights, smoothed
from twinrun.transforms.rand_augment import OPERATIONS, Operation, equalizing_levels
from twinrun.transforms.table import TRANSFORMS

SIZE, BATCH = 40, 48
PLAIN = {"warp": 0.0, "rotate": 0.0, "zoom": 1.0, "zoom_crop": [], "lighting": 0.0}
# Each of them as strong as it is used.
STRONG: dict[str, Any] = {
    "erasing": 0.5,
    "grayscale": 0.5,
    "blur": 2.0,
    "noise": 0.2,
    "rand_augment": 15.0,
}
KEYS = [Key((0, "a", "augment", 0, f"image{number}")) for number in range(BATCH)]


def member(**changes: Any) -> Member:
    needed = {"network": "resnet18", "batch_size": 2, "epochs": {"frozen": 1, "unfrozen": 0}}
    parts = {**needed, "validation": {"share": 0.1}, "image_size": SIZE, **PLAIN, **changes}
    return Member.model_validate(parts)


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Smooth pictures, uint8, channels last."""
    coarse = torch.rand(BATCH, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, size=SIZE, mode="bicubic").clamp(0, 1)
    return (smooth * 255).to(torch.uint8).contiguous(memory_format=torch.channels_last)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def changed(images: Tensor, *keys: Key, **settings: Any) -> Tensor:
    return Augmentation(member(**settings))(images, keys or KEYS)


def in_bounds(values: Tensor) -> bool:
    return 0 <= float(values.min()) <= float(values.max()) <= 1


def differs(images: Tensor, other: Tensor) -> list[bool]:
    return [not torch.equal(*pair) for pair in zip(images, other, strict=True)]


@pytest.mark.parametrize("settings", [{name: STRONG[name]} for name in STRONG] + [STRONG])
def test_an_image_has_the_same_bits_alone_in_any_order_and_with_any_number_of_threads(
    images: Tensor, threads: None, settings: dict[str, Any]
) -> None:
    torch.set_num_threads(1)
    bits = changed(images, **settings)
    assert in_bounds(bits)
    torch.set_num_threads(3)
    assert torch.equal(changed(images, **settings), bits)
    back = list(range(BATCH))[::-1]
    assert torch.equal(changed(images[back], *KEYS[::-1], **settings), bits[back])
    for row in range(0, BATCH, 7):
        assert torch.equal(changed(images[row : row + 1], KEYS[row], **settings)[0], bits[row])


@pytest.mark.parametrize("name", STRONG)
def test_another_epoch_or_seed_gives_different_images(images: Tensor, name: str) -> None:
    first = changed(images, **{name: STRONG[name]})
    for parts in ((0, "a", "augment", 1), (1, "a", "augment", 0)):
        keys = [Key((*parts, f"image{number}")) for number in range(BATCH)]
        assert any(differs(first, changed(images, *keys, **{name: STRONG[name]})))


@pytest.mark.parametrize(
    ("name", "share"), [("erasing", 0.5), ("grayscale", 0.5), ("blur", 0.25), ("noise", 0.25)]
)
def test_as_many_images_are_changed_as_the_setting_says(
    images: Tensor, name: str, share: float
) -> None:
    plain, strong = changed(images), changed(images, **{name: STRONG[name]})
    gates = draw(member(**{name: STRONG[name]}), KEYS)[name][0] < share
    assert 0 < gates.sum() < BATCH
    # A blur of less than a third of a pixel may change no bit.
    found = np.array(differs(plain, strong))
    assert not (found & ~gates).any()
    assert found.sum() > 0.7 * gates.sum()


def test_what_is_erased_is_one_rectangle_of_the_mean_colour(images: Tensor) -> None:
    for before, after in zip(changed(images), changed(images, erasing=1.0), strict=True):
        rows, columns = torch.where((before != after).any(0))
        top, left = int(rows.min()), int(columns.min())
        inner = after[:, top : rows.max() + 1, left : columns.max() + 1]
        assert inner.unique(dim=1).shape[1] == inner.unique(dim=2).shape[2] == 1
        assert inner[:, 0, 0].tolist() == pytest.approx([0.485, 0.456, 0.406])
        assert 0.01 < inner[0].numel() / before[0].numel() < 0.36


def test_greys_are_those_of_torchvision(images: Tensor) -> None:
    expected = reference.rgb_to_grayscale(changed(images), num_output_channels=3)
    assert torch.allclose(changed(images, grayscale=1.0), expected, atol=1e-3)


@pytest.mark.parametrize("deviation", [0.4, 1.0, 2.5])
def test_a_blur_is_that_of_torchvision(images: Tensor, deviation: float) -> None:
    image, weights = images[0].float() / 255, gaussian_weights(deviation, SIZE - 1)
    side = 2 * len(weights) - 1
    expected = reference.gaussian_blur(image, [side, side], [deviation, deviation])
    found = smoothed(smoothed(image, weights, 1), weights, 2)
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_blur_wider_than_the_image_and_one_of_nothing() -> None:
    image = torch.rand(3, 5, 5)
    wide = gaussian_weights(20.0, 4)
    assert len(wide) == 5
    assert wide[0] + 2 * wide[1:].sum() == pytest.approx(1)
    assert torch.isfinite(smoothed(image, wide, 1)).all()
    assert torch.equal(smoothed(image, gaussian_weights(0.0, 4), 2), image)


def test_noise_is_as_strong_as_drawn_and_independent_from_place_to_place() -> None:
    images = torch.full((64, 3, 64, 64), 128, dtype=torch.uint8)
    keys = [Key((0, "a", "augment", 0, f"image{number}")) for number in range(64)]
    recipe = member(noise=0.1, image_size=64)
    noise = Augmentation(recipe)(images, keys) - 128 / 255
    gate, amount, _ = draw(recipe, keys)["noise"]
    for row in np.flatnonzero(gate < 0.25):
        assert float(noise[row].std()) == pytest.approx(0.1 * amount[row], rel=0.05)
        assert abs(float(noise[row].mean())) < 0.003
        flat = noise[row].flatten()
        assert abs(float(torch.corrcoef(torch.stack([flat[1:], flat[:-1]]))[0, 1])) < 0.05


def operation(name: str) -> Operation:
    return next(each for each in OPERATIONS if each.name == name)


def test_there_are_the_fourteen_operations_of_the_paper_and_each_is_drawn(images: Tensor) -> None:
    assert len({each.name for each in OPERATIONS}) == 14
    keys = [Key((0, "a", "augment", 0, f"image{number}")) for number in range(500)]
    drawn = draw(member(rand_augment=9.0), keys)["rand_augment"][:2]
    assert set((drawn * 14).astype(int).flatten()) == set(range(14))


def test_equalize_is_that_of_pillow(images: Tensor) -> None:
    change = operation("equalize").pixels
    assert change is not None
    for image in images[:8]:
        found = image.float() / 255
        change(found, 0.5)
        picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
        expected = np.asarray(ImageOps.equalize(picture))
        assert np.array_equal((found * 255).round().permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("counts", [{7: 1600}, {0: 10, 255: 10}, {3: 1, 200: 100_000}])
def test_few_colours_are_equalized_to_levels(counts: dict[int, int]) -> None:
    found = np.zeros(256, np.int64)
    for value, count in counts.items():
        found[value] = count
    levels = equalizing_levels(found)
    assert levels.shape == (256,)
    assert in_bounds(torch.from_numpy(levels))


def test_autocontrast_takes_each_colour_from_0_to_1_and_leaves_a_flat_one(images: Tensor) -> None:
    change = operation("autocontrast").pixels
    assert change is not None
    image = images[0].float() / 255 * 0.5 + 0.2
    image[2] = 0.25
    before = image.clone()
    change(image, 0.5)
    for channel in (0, 1):
        assert [float(image[channel].min()), float(image[channel].max())] == [0, 1]
    assert torch.equal(image[2], before[2])


@pytest.mark.parametrize("name", ["color", "sharpness"])
def test_an_amount_of_nothing_changes_nothing_that_is_seen(images: Tensor, name: str) -> None:
    change = operation(name).pixels
    assert change is not None
    image = images[0].float() / 255
    unchanged, strong = image.clone(), image.clone()
    change(unchanged, 0.0)
    change(strong, 1.0)
    assert torch.allclose(unchanged, image, atol=1e-6)
    assert not torch.allclose(strong, image, atol=1e-2)
    assert in_bounds(strong)


def test_none_of_them_moves_the_numbers_of_the_others() -> None:
    before = draw(member(rotate=10.0), KEYS)
    after = draw(member(rotate=10.0, **STRONG), KEYS)
    assert all(np.array_equal(after[name], numbers) for name, numbers in before.items())
    assert set(after) - set(before) == set(STRONG)


def test_off_they_are_in_no_identity() -> None:
    for name in STRONG:
        assert TRANSFORMS.get(name).default == TRANSFORMS.get(name).neutral == 0.0
