"""Sizes of training images by epoch: reduced on the way, keyed as before, the same bits resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fastai.callback.core import Callback

from tests.kills.sameness import differing
from tests.kills.small import OFTEN
from tests.report.made_run import make_run
from tests.train.test_resume import Place, Small
from twinrun.config.reading import read_settings
from twinrun.data.augment import Augmentation
from twinrun.data.cache import cache_pixels, with_pixels
from twinrun.data.warp import reduce
from twinrun.errors import InputError
from twinrun.networks.table import refuse_unusable
from twinrun.report.report import render
from twinrun.repro.keys import Key

LARGE = "recipe.image_size=64"
GROWING = (LARGE, "recipe.sizes={2=32,4=48}")
# Which of the four epochs are at which size.
SEEN = [64, 32, 32, 48]


def images(count: int, size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(256, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    return pixels.contiguous(memory_format=torch.channels_last)


def smooth(count: int, size: int) -> torch.Tensor:
    larger = torch.nn.functional.interpolate(images(count, 6).float(), size=size, mode="bicubic")
    pixels = larger.clamp(0, 255).to(torch.uint8)
    return pixels.contiguous(memory_format=torch.channels_last)


def test_a_size_holds_from_its_epoch_on(small_toml: Path) -> None:
    member = read_settings(small_toml, changes=[LARGE, "recipe.sizes={10=64,2=32,4=48}"]).members
    assert [member["a"].size_at(epoch) for epoch in (0, 1, 2, 3, 8, 9, 99)] == [
        *(64, 32, 32, 48, 48, 64, 64)
    ]


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ("{ 1 = 65 }", "65 from epoch 1, but image_size, 64,"),
        ("{ 1 = 31 }", "31"),
        ("{ 0 = 32 }", "number of an epoch"),
        ("{ first = 32 }", "not by 'first'"),
        ("[32]", "table"),
    ],
)
def test_sizes_that_cannot_be_are_refused(small_toml: Path, sizes: str, told: str) -> None:
    with pytest.raises(InputError, match=f"(?s)sizes.*{told}"):
        read_settings(small_toml, changes=[LARGE, f"recipe.sizes={sizes}"])


def test_without_sizes_the_identity_has_none(small_toml: Path) -> None:
    plain = read_settings(small_toml).training_content("a")
    assert "sizes" not in plain["member"]
    first, second = (
        read_settings(small_toml, changes=[LARGE, f"recipe.sizes={sizes}"]).training_content("a")
        for sizes in ("{2=32,10=48}", "{10=48,2=32}")
    )
    assert first == second != plain


def test_a_network_of_one_size_is_refused(small_toml: Path) -> None:
    changes = ["recipe.image_size=64", "recipe.network=timm/vit_tiny_patch16_224"]
    changes.append("recipe.sizes={1=32}")
    with pytest.raises(InputError, match="for 64 pixels a side cannot take 32"):
        refuse_unusable(read_settings(small_toml, changes=changes).network_uses())
    refuse_unusable(read_settings(small_toml, changes=[changes[0], changes[2]]).network_uses())


def test_a_reduced_pixel_is_the_mean_of_its_area() -> None:
    whole = images(3, 12)
    assert reduce(whole, 12) is whole
    half = reduce(whole, 6)
    assert half.is_contiguous(memory_format=torch.channels_last)
    means = whole.float().view(3, 3, 6, 2, 6, 2).mean((3, 5))
    assert (half.float() - means).abs().max() <= 0.5
    assert not torch.equal(half, reduce(whole.flip(-1), 6))


def test_an_image_alone_and_in_a_batch_is_the_same_at_any_size(small_toml: Path) -> None:
    augmentation = Augmentation(read_settings(small_toml, changes=GROWING).members["a"])
    batch, keys = images(5, 96), [Key((0, "a", number)) for number in range(5)]
    seen = augmentation(batch, keys, 32)
    assert seen.shape == (5, 3, 32, 32)
    assert torch.equal(augmentation(batch[3:4], keys[3:4], 32), seen[3:4])
    assert torch.equal(augmentation(batch, keys, 64), augmentation(batch, keys))
    # The same changes: the large picture, reduced, is nearly the small one.
    batch = smooth(5, 96)
    seen = augmentation(batch, keys, 32)
    large = torch.nn.functional.interpolate(augmentation(batch, keys), size=32, mode="area")
    other = augmentation(batch, keys[::-1], 32)
    assert (seen - large).abs().mean() < 0.5 * (seen - other).abs().mean()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """The small competition, with its images decoded for 64 pixels."""
    made = Small.of(tmp_path_factory.mktemp("sizes"))
    settings = read_settings(made.config, changes=[LARGE])
    sizes, cache = settings.cached_sizes(), made.folder / "cache"
    pixels = cache_pixels(made.index, settings.data_folder, sizes, cache)
    return replace(made, index=with_pixels(made.index, pixels), pixels=pixels)


class Sides(Callback):
    """The sides of the images that each epoch trains and validates with."""

    __module__ = "twinrun.tests"

    def __init__(self) -> None:
        self.seen = dict[tuple[int, bool], set[int]]()

    def before_batch(self) -> None:
        epoch = self.learn.keyed_steps.first_epoch + self.epoch
        self.seen.setdefault((epoch, bool(self.training)), set()).add(self.x.shape[-1])


def test_each_epoch_trains_at_its_size_and_validates_at_the_whole(small: Small) -> None:
    sides = Sides()
    growing = small.train("growing", *GROWING, callbacks=[sides])
    assert sides.seen == {
        **{(epoch, True): {size} for epoch, size in enumerate(SEEN)},
        **{(epoch, False): {64} for epoch in range(4)},
    }
    assert "weights.safetensors" in differing(small.train("large", LARGE), growing)
    at_once = small.train("at once", LARGE, "recipe.sizes={1=64}")
    same = set(differing(small.folder / "large", at_once))
    assert same <= {"ledger", "record"}  # which name the setting


@pytest.mark.slow
@pytest.mark.parametrize("fold", ["", "/fold-2"])
@pytest.mark.parametrize("place", [Place(2, "step", 2), Place(3, "end"), Place(4, "step", 1)])
def test_killed_at_any_size_it_resumes_to_the_same_bits(
    small: Small, place: Place, fold: str
) -> None:
    changes = [*GROWING, *(["recipe.validation={folds=3}"] if fold else [])]
    name, member = f"{place.epoch}{fold}".replace("/", "-"), f"a{fold}"
    whole = small.train(f"whole {name}", *changes, member=member)
    small.interrupted(name, place, OFTEN, *changes, member=member)
    assert differing(whole, small.train(name, "run.workers=2", *changes, member=member)) == []


def test_the_report_says_at_which_sizes_it_was_trained(tmp_path: Path) -> None:
    html = render(make_run(tmp_path, changes=["members.a.sizes={1=128,3=160}"]))
    assert "128 pixels from epoch 1, 160 pixels from epoch 3" in html
    assert html.count("pixels from epoch 1") == 1
