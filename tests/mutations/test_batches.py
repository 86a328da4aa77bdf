"""Sources 10 to 15 and 17: what the loader, its workers, the transforms and MixUp draw."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastai.data.core import DataLoaders, TfmdDL
from fastai.learner import Learner
from fasttransform import Transform
from PIL import Image
from torch import Tensor

from tests.mutations.harness import FINEST, Bench, Mutation, place, with_learner, with_loaders
from twinrun.data.keyed_loader import KeyedLoader
from twinrun.repro.ledger import Ledger

# The parts of a batch: images, labels.
Change = Callable[[Sequence[Tensor]], Iterable[Tensor]]


class OnImage(Transform):
    """An item transform that changes each pixel by noise."""

    def __init__(self, noise: Callable[[tuple[int, ...]], np.ndarray]) -> None:
        super().__init__()
        self.noise = noise

    def __call__(self, item: Any, **_: Any) -> Any:
        image, label = item
        pixels = np.asarray(image)
        return type(image)(Image.fromarray(pixels ^ self.noise(pixels.shape))), label


class OnBatch(Transform):
    """A batch transform.

    Args:
        loader: In which it is.
        order: Its place among the others.
        change: Gets the parts of a batch, gives them changed.
        moment: (epoch, step), from 1, of the only batch that it changes; None for all.
    """

    def __init__(
        self, loader: KeyedLoader, order: int, change: Change, moment: tuple[int, int] | None
    ) -> None:
        super().__init__()
        self.loader, self.order, self.change, self.moment = loader, order, change, moment

    def __call__(self, batch: Any, **_: Any) -> Any:
        if self.moment in (None, (self.loader.epoch + 1, self.loader.step)):
            return tuple(self.change(batch))
        return batch


def item_mutation(noise: Callable[[tuple[int, ...]], np.ndarray]) -> Mutation:
    def mutation(patch: pytest.MonkeyPatch) -> None:
        with_loaders(patch, lambda loaders: loaders.train.after_item.add(OnImage(noise)))

    return mutation


def batch_mutation(
    change: Change, *, order: int = 1000, moment: tuple[int, int] | None = None
) -> Mutation:
    def add(loaders: DataLoaders) -> None:
        loaders.train.after_batch.add(OnBatch(loaders.train, order, change, moment))

    def mutation(patch: pytest.MonkeyPatch) -> None:
        with_loaders(patch, add)

    return mutation


def images_of(bench: Bench, epoch: int, step: int) -> list[str]:
    """The ids of a step's images, in their order."""
    ledger = Ledger.read(bench.once([FINEST]) / "members" / "a" / "ledger.parquet")
    return [
        row["what"]
        for row in ledger.rows().to_pylist()
        if (row["epoch"], row["step"], row["stage"]) == (epoch, step, "item") and row["what"]
    ]


def from_urandom(shape: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(os.urandom(int(np.prod(shape))), np.uint8).reshape(shape)


def from_a_fresh_generator(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng().integers(256, size=shape, dtype=np.uint8)


@pytest.mark.parametrize(
    "noise", [pytest.param(from_urandom, marks=pytest.mark.slow), from_a_fresh_generator]
)
def test_10_item_transform_that_draws_by_itself(
    bench: Bench, noise: Callable[[tuple[int, ...]], np.ndarray]
) -> None:
    found = bench.twins(item_mutation(noise), in_both=True)
    first = found.first()
    assert place(first) == ("item", 1, 1)
    assert list(first.changed) == images_of(bench, 1, 1)
    assert "An item transform draws from a generator that the key does not set" in found.cause


def test_11_workers_2_to_3(bench: Bench) -> None:
    made = []
    for workers in (2, 3):
        found = bench.twins(changes=[f"run.workers={workers}"])
        found.assert_same()
        manifest = json.loads((found.runs[1] / "manifest.json").read_text())
        assert manifest["beside"]["environment"]["workers"] == workers
        made.append(found.verdict.comparisons)
    assert [row.second for row in made[0]] == [row.second for row in made[1]]


def reseeding_workers(folder: Path) -> Mutation:
    """Workers that seed all generators from their time and process id, and leave a file."""

    def reseed(*_: Any) -> None:
        seed = time.time_ns() ^ os.getpid() << 32
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed % 2**63)
        OWN.seed(seed)
        (folder / f"worker-{os.getpid()}").touch()

    def add(loaders: DataLoaders) -> None:
        loaders.train.wif = loaders.valid.wif = reseed

    def mutation(patch: pytest.MonkeyPatch) -> None:
        with_loaders(patch, add)

    return mutation


# A generator that no key sets.
OWN = random.Random(0)


def test_12_worker_reseeded_from_time_and_process_id(bench: Bench, tmp_path: Path) -> None:
    bench.twins(reseeding_workers(tmp_path), changes=["run.workers=2"]).assert_same()
    assert len(list(tmp_path.glob("worker-*"))) > 2


@pytest.mark.slow
def test_12_reseeded_worker_whose_generator_an_item_transform_uses(
    bench: Bench, tmp_path: Path
) -> None:
    def noise(shape: tuple[int, ...]) -> np.ndarray:
        return np.frombuffer(OWN.randbytes(int(np.prod(shape))), np.uint8).reshape(shape)

    def mutation(patch: pytest.MonkeyPatch) -> None:
        reseeding_workers(tmp_path)(patch)
        item_mutation(noise)(patch)

    found = bench.twins(mutation, in_both=True, changes=["run.workers=2"])
    first = found.first()
    assert place(first) == ("item", 1, 1)
    assert list(first.changed) == images_of(bench, 1, 1)
    assert "or reads the time or the process id" in found.cause


def test_13_batch_transform_with_its_own_unseeded_generator(bench: Bench) -> None:
    generator = torch.Generator()
    generator.seed()

    def brighter(parts: Sequence[Tensor]) -> Iterable[Tensor]:
        images, labels = parts
        return images + 0.1 * torch.rand(len(images), 1, 1, 1, generator=generator), labels

    found = bench.twins(batch_mutation(brighter, order=50), in_both=True)
    first = found.first()
    assert place(first) == ("batch", 1, 1)
    assert list(first.changed) == images_of(bench, 1, 1)
    assert "a batch transform draws from a generator of its own" in found.cause


def test_14_horizontal_flip_of_one_image(bench: Bench) -> None:
    def flipped(parts: Sequence[Tensor]) -> Iterable[Tensor]:
        images, labels = parts
        images[4] = images[4].flip(-1)
        return images, labels

    found = bench.twins(batch_mutation(flipped, moment=(1, 3)))
    first = found.first()
    assert place(first) == ("batch", 1, 3)
    assert list(first.changed) == images_of(bench, 1, 3)[4:5]
    assert "something flipped, permuted or changed the batch" in found.cause


def test_14_permutation_within_a_batch(bench: Bench) -> None:
    def swapped(parts: Sequence[Tensor]) -> Iterable[Tensor]:
        rows = list(range(8))
        rows[2], rows[5] = 5, 2
        return [part[rows] for part in parts]

    found = bench.twins(batch_mutation(swapped, moment=(2, 2)))
    first = found.first()
    assert place(first) == ("batch", 2, 2)
    assert list(first.changed) == images_of(bench, 2, 2)[2:6:3]
    assert "something flipped, permuted or changed the batch" in found.cause


class UnseededBeta:
    """Draws as many numbers from the global generator as the distribution in its place would."""

    def __init__(self, distribution: Any) -> None:
        self.distribution = distribution

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        kept: Tensor = self.distribution.sample(shape)
        return torch.from_numpy(np.random.default_rng().beta(0.4, 0.4, shape)).to(kept.dtype)


def test_15_lambda_of_mixup_unseeded(bench: Bench) -> None:
    def change(learner: Learner) -> None:
        learner.mix_images.distrib = UnseededBeta(learner.mix_images.distrib)

    def mutation(patch: pytest.MonkeyPatch) -> None:
        with_learner(patch, change)

    found = bench.twins(mutation, in_both=True)
    first = found.first()
    assert place(first) == ("mix", 1, 1)
    # Not those whose partner is the image itself.
    assert len(first.changed) > 4
    assert set(first.changed) <= set(images_of(bench, 1, 1))
    assert "the shares or partners of MixUp or CutMix were not drawn from the key" in found.cause


def test_17_batches_delivered_out_of_order(bench: Bench) -> None:
    def out_of_order(self: KeyedLoader, samples: Iterable[int]) -> Iterator[Any]:
        batches = list(TfmdDL.create_batches(self, samples))
        if self.shuffle:
            batches[1], batches[2] = batches[2], batches[1]
        yield from batches

    def mutation(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(KeyedLoader, "create_batches", out_of_order)

    found = bench.twins(mutation)
    first = found.first()
    assert place(first) == ("order", 1, 2)
    for told, step in ((first.only_first, 2), (first.only_second, 3)):
        images = images_of(bench, 1, step)
        assert list(told) == [f"place {at}: {image}" for at, image in enumerate(images, 1)]
    assert "batches that were delivered out of turn" in found.cause
