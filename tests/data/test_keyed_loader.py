"""The loaders' batches are a function of (seed, member, epoch, step, ids) and of nothing else."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.data.core import DataLoaders
from fastai.data.transforms import IntToFloatTensor, Normalize
from fastai.torch_core import TensorImage
from fastai.vision.core import PILImage, imagenet_stats
from fasttransform import Transform

from twinrun.config.reading import read_settings
from twinrun.data.cache import cache_pixels
from twinrun.data.index import build_index
from twinrun.data.keyed_loader import KeyedLoader
from twinrun.data.loaders import Normalise, member_loaders, prediction_loader
from twinrun.data.pixels import Pixels
from twinrun.data.splits import validation_ids
from twinrun.repro.keys import Key
from twinrun.repro.ranks import ALONE, Ranks

MakeLoaders = Callable[..., DataLoaders]


@pytest.fixture(scope="module")
def index() -> pd.DataFrame:
    return build_index(read_settings(profile="fixture"))


@pytest.fixture(scope="module")
def pixels(index: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Pixels:
    folder, cache = read_settings(profile="fixture").data_folder, tmp_path_factory.mktemp("cache")
    return cache_pixels(index, folder, [48], cache)[48]


@pytest.fixture
def make_loaders(index: pd.DataFrame, pixels: Pixels) -> MakeLoaders:
    def make(
        *,
        seed: int = 0,
        member: str = "M27g",
        workers: int = 0,
        ranks: Ranks = ALONE,
        sample: str = "all",
    ) -> DataLoaders:
        changes = ["recipe.image_size=32", f"recipe.sample={sample}"]
        settings = read_settings(profile="fixture", changes=changes)
        train = index[index["part"] == "train"].reset_index(drop=True)
        return member_loaders(
            train,
            held_out=validation_ids(train["id"].tolist(), share=0.25, seed=seed),
            pixels=pixels,
            classes=settings.classes,
            member=settings.members[member],
            key=Key((seed, member)),
            workers=workers,
            device=torch.device("cpu"),
            ranks=ranks,
        )

    return make


def epoch_of(loader: KeyedLoader, epoch: int = 0) -> list[tuple[torch.Tensor, ...]]:
    loader.epoch = epoch
    return [tuple(part.clone() for part in batch) for batch in loader]


def same(first: list[tuple[torch.Tensor, ...]], second: list[tuple[torch.Tensor, ...]]) -> bool:
    """Bit for bit: images and labels of every batch."""
    return len(first) == len(second) and all(
        torch.equal(a, b)
        for left, right in zip(first, second, strict=True)
        for a, b in zip(left, right, strict=True)
    )


def test_batches_have_the_promised_shapes_and_types(make_loaders: MakeLoaders) -> None:
    images, labels = make_loaders().train.one_batch()
    assert images.shape == (8, 3, 32, 32)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.dtype == torch.int64
    assert set(labels.tolist()) <= {0, 1, 2}


def test_labels_are_positions_in_the_settings_order_of_classes(
    make_loaders: MakeLoaders, index: pd.DataFrame
) -> None:
    # Sorted by name, healthy_wheat would come first.
    classes = ["leaf_rust", "stem_rust", "healthy_wheat"]
    loader = make_loaders().valid
    labels = dict(zip(index["id"], index["label"], strict=True))
    numbers = torch.cat([batch[1] for batch in loader]).tolist()
    assert [classes[number] for number in numbers] == [labels[image] for image in loader.ids]


def test_the_same_seed_and_member_give_the_same_epoch(make_loaders: MakeLoaders) -> None:
    assert same(epoch_of(make_loaders().train), epoch_of(make_loaders().train))


@pytest.mark.parametrize("other", [{"seed": 1}, {"member": "M26c"}])
def test_another_seed_or_member_gives_another_epoch(
    make_loaders: MakeLoaders, other: dict[str, object]
) -> None:
    assert not same(epoch_of(make_loaders().train), epoch_of(make_loaders(**other).train))


def test_epochs_differ_in_order_and_in_pixels(make_loaders: MakeLoaders) -> None:
    loader = make_loaders().train
    first, second = epoch_of(loader, 0), epoch_of(loader, 1)
    assert not same(first, second)
    # Were only the order another, the same augmented images would come back.
    seen = {image.numpy().tobytes() for batch in first for image in batch[0]}
    assert not any(image.numpy().tobytes() in seen for batch in second for image in batch[0])


def test_a_later_epoch_does_not_need_the_earlier_ones(make_loaders: MakeLoaders) -> None:
    lived = make_loaders().train
    for epoch in range(3):
        batches = epoch_of(lived, epoch)
    assert same(batches, epoch_of(make_loaders().train, 2))


@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_the_number_of_workers_changes_no_bit(make_loaders: MakeLoaders, workers: int) -> None:
    alone, helped = make_loaders().train, make_loaders(workers=workers).train
    assert same(epoch_of(alone, 1), epoch_of(helped, 1))


def test_a_users_unkeyed_transform_gets_keyed_generators(make_loaders: MakeLoaders) -> None:
    class Noise(Transform):
        split_idx = 0

        def encodes(self, image: PILImage) -> PILImage:
            noise = np.random.randint(0, 9) + random.randint(0, 9) + int(torch.randint(9, ()))
            return PILImage(image.point(lambda value: min(255, value + noise)))

    def noisy(workers: int) -> KeyedLoader:
        loader: KeyedLoader = make_loaders(workers=workers).train
        loader.after_item.add(Noise())
        return loader

    assert same(epoch_of(noisy(0)), epoch_of(noisy(2)))
    assert not same(epoch_of(noisy(0)), epoch_of(make_loaders().train))


def test_a_users_division_by_255_is_not_done_again(make_loaders: MakeLoaders) -> None:
    loader = make_loaders().train
    own = loader.new(after_batch=[IntToFloatTensor()])
    ((images, _), *_), ((normalised, _), *_) = epoch_of(own), epoch_of(loader)
    assert 0.5 < images.max() <= 1
    assert normalised.min() < -1


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_normalising_is_fastais_in_the_memory_of_the_batch(order: torch.memory_format) -> None:
    images = torch.rand(2, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    theirs = Normalize.from_stats(*imagenet_stats, cuda=False)(TensorImage(images))
    batch = TensorImage(images.clone(memory_format=order))
    normalise = Normalise.from_stats(*imagenet_stats, cuda=False)
    ours = normalise(batch)
    assert ours.data_ptr() == batch.data_ptr()
    assert isinstance(ours, TensorImage)
    assert ours.is_contiguous(memory_format=order)
    pixel_by_pixel = images.mul(1 / normalise.std).sub(normalise.mean / normalise.std)
    assert torch.equal(ours.as_subclass(torch.Tensor), pixel_by_pixel)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(normalise.decode(ours).as_subclass(torch.Tensor), images)


def test_drawing_in_between_changes_no_bit(make_loaders: MakeLoaders) -> None:
    quiet, disturbed = make_loaders().train, make_loaders().train

    def disturbing(loader: KeyedLoader) -> Iterator[tuple[torch.Tensor, ...]]:
        for batch in loader:
            random.random()
            np.random.rand(7)
            torch.rand(7)
            yield tuple(part.clone() for part in batch)

    disturbed.one_batch()
    disturbed.show_batch(show=False)
    assert same(epoch_of(quiet), list(disturbing(disturbed)))


def test_validation_and_prediction_draw_nothing(
    make_loaders: MakeLoaders, index: pd.DataFrame, pixels: Pixels
) -> None:
    loaders = make_loaders()
    test = index[index["part"] == "test"].reset_index(drop=True)
    for loader in (loaders.valid, prediction_loader(loaders, test, pixels)):
        assert same(epoch_of(loader, 0), epoch_of(loader, 1))


def test_prediction_keeps_the_tables_order(
    make_loaders: MakeLoaders, index: pd.DataFrame, pixels: Pixels
) -> None:
    test = index[index["part"] == "test"].reset_index(drop=True)
    backwards = test.iloc[::-1].reset_index(drop=True)
    loaders = make_loaders()
    forth = prediction_loader(loaders, test, pixels)
    back = prediction_loader(loaders, backwards, pixels)
    assert forth.ids == back.ids[::-1] == test["id"].tolist()
    images = [torch.cat([batch[0] for batch in loader]) for loader in (forth, back)]
    assert torch.equal(images[0], images[1].flip(0))


def test_what_is_watched_is_what_was_delivered(make_loaders: MakeLoaders) -> None:
    loader = make_loaders(workers=2).train
    seen: list[tuple[list[str], tuple[torch.Tensor, ...]]] = []
    loader.watch = lambda ids, parts: seen.append((ids, tuple(part.clone() for part in parts)))
    batches = epoch_of(loader, 3)
    order = loader.key.of("order", 3).order(loader.ids)
    assert [image for ids, _ in seen for image in ids] == [
        loader.ids[position] for position in order[: len(batches) * loader.bs]
    ]
    # Before the batch transforms: bytes as they were decoded, and the labels.
    assert all(parts[0].dtype == torch.uint8 for _, parts in seen)
    for (_, parts), (_, labels) in zip(seen, batches, strict=True):
        assert torch.equal(parts[1], labels)


@pytest.mark.parametrize("workers", [0, 3])
def test_an_epoch_that_begins_in_its_middle_is_the_rest_of_the_whole_one(
    make_loaders: MakeLoaders, workers: int
) -> None:
    whole = epoch_of(make_loaders().train, 1)
    loader = make_loaders(workers=workers).train
    for first_step in (1, 5, len(whole)):
        loader.first_step = first_step
        assert same(epoch_of(loader, 1), whole[first_step:])
    loader.first_step = 0
    assert same(epoch_of(loader, 1), whole)
    assert not same(epoch_of(loader, 2), whole)


@pytest.mark.parametrize("count", [2, 4])
def test_several_ranks_get_together_what_one_gets_batch_by_batch(
    make_loaders: MakeLoaders, count: int
) -> None:
    alone = epoch_of(make_loaders().train, 3)
    parts = [epoch_of(make_loaders(ranks=Ranks(rank, count)).train, 3) for rank in range(count)]
    assert [len(images) for images, _ in parts[0]] == [8 // count] * len(alone)
    joined = [
        tuple(torch.cat(pieces) for pieces in zip(*batches, strict=True))
        for batches in zip(*parts, strict=True)
    ]
    assert same(alone, joined)
    # The parts are other images, so that two that were swapped would be seen.
    assert not same(
        alone, [(torch.cat([b[0], a[0]]), a[1]) for a, b in zip(*parts[:2], strict=True)]
    )


def test_several_ranks_validate_every_image_once_and_know_all_labels(
    make_loaders: MakeLoaders,
) -> None:
    alone = make_loaders().valid
    for size in (5, 64):
        parts = [
            epoch_of(make_loaders(ranks=Ranks(rank, 3)).valid.new(bs=size)) for rank in range(3)
        ]
        labels = [batch[1] for batch in epoch_of(alone.new(bs=size))]
        images = [batch[0] for batch in epoch_of(alone.new(bs=size))]
        for batches, label, image in zip(zip(*parts, strict=True), labels, images, strict=True):
            assert all(torch.equal(part[1], label) for part in batches)
            # What fills the last places up is taken away when the answers are put together.
            joined = torch.cat([part[0] for part in batches])
            assert torch.equal(joined[: len(label)], image)


def test_a_users_item_transform_sees_the_ranks_own_images(make_loaders: MakeLoaders) -> None:
    loaders = [make_loaders(ranks=Ranks(rank, 2)) for rank in range(2)]
    for part in ("train", "valid"):
        plain = [epoch_of(getattr(each, part)) for each in loaders]
        for each in loaders:
            getattr(each, part).after_item.add(Transform(lambda image: image))
        assert all(
            same(epoch_of(getattr(each, part)), before)
            for each, before in zip(loaders, plain, strict=True)
        )


def test_a_loaders_process_is_told_to_end_with_the_one_that_started_it(
    make_loaders: MakeLoaders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(parent: int) -> None:
        (tmp_path / str(os.getpid())).write_text(str(parent))

    monkeypatch.setattr("twinrun.data.keyed_loader.end_with_parent", told)
    assert len(list(make_loaders(workers=2).valid)) > 0
    assert [path.read_text() for path in tmp_path.iterdir()] == [str(os.getpid())] * 2
    assert not (tmp_path / str(os.getpid())).exists()
