"""The loaders of a member: training, validation, prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from fastai.data.core import DataLoaders, Datasets
from fastai.data.transforms import Categorize, Normalize
from fastai.torch_core import TensorImage
from fasttransform import Transform

from twinrun.config.recipe import Member
from twinrun.data.augment import Augmentation
from twinrun.data.device_cache import place_on
from twinrun.data.keyed_loader import KeyedLoader
from twinrun.data.normalise import IMAGENET, Statistics, normalise
from twinrun.data.own_transforms import OwnTransforms
from twinrun.data.pixels import PixelRows, Pixels
from twinrun.data.sampling import ClassSampler
from twinrun.errors import InputError
from twinrun.repro.keys import Key
from twinrun.repro.ranks import ALONE, Ranks


class Normalise(Normalize):
    """fastai's Normalize by `normalise`, on the batch itself."""

    def encodes(self, images: TensorImage) -> TensorImage:
        return normalise(images, self.mean, self.std)


class _Middle(Transform):
    """Position -> the middle of an image, as `dataset[position]` shows it."""

    def __init__(self, rows: PixelRows) -> None:
        super().__init__()
        self.rows = rows

    def encodes(self, position: int) -> TensorImage:
        return TensorImage(self.rows.crops(self.rows.windows([position], 0.5))[0])


class _Label(Transform):
    """Position -> class name."""

    def __init__(self, table: pd.DataFrame) -> None:
        super().__init__()
        self.labels = table["label"].tolist()

    def encodes(self, position: int) -> str:
        label: str = self.labels[position]
        return label


def member_loaders(
    table: pd.DataFrame,
    *,
    held_out: Sequence[str],
    pixels: Pixels,
    classes: Sequence[str],
    member: Member,
    key: Key,
    workers: int,
    device: torch.device,
    statistics: Statistics | None = None,
    ranks: Ranks = ALONE,
    own_items: OwnTransforms | None = None,
    own_batches: OwnTransforms | None = None,
) -> DataLoaders:
    """The training and validation loaders of a member.

    Args:
        table: The training rows of the index.
        held_out: Ids of the validation part.
        pixels: The cache of the member's `cached_size`.
        classes: Class names; a label's number is its position here.
        member: The recipe.
        key: (seed, member name).
        workers: Loader processes; 0 is as quick.
        device: Where batches go.
        statistics: Mean and standard deviation of red, green and blue; ImageNet's when None.
        ranks: The processes that share each batch.
        own_items: The competitor's changes of each training image by itself.
        own_batches: Theirs of a training batch.

    Raises:
        InputError: The batch cannot be shared evenly.

    Returns:
        Batches of (images: float32, batch x 3 x size x size, channels last in memory, normalised by
        the statistics; labels: int64, batch).
    """
    ids = table["id"].tolist()
    positions = {name: position for position, name in enumerate(ids)}
    valid = [positions[name] for name in held_out]
    train = sorted(set(positions.values()) - set(valid))
    categories = Categorize(vocab=list(classes), sort=False)
    datasets = Datasets(
        list(range(len(table))),
        tfms=[
            [_Middle(pixels.rows(table["sha256"].tolist()))],
            [_Label(table), categories],
        ],
        splits=[train, valid],
    )
    numbers = {name: number for number, name in enumerate(classes)}
    augmentation = Augmentation(member)
    mean, deviation = statistics or IMAGENET
    normalise = Normalise.from_stats(mean, deviation, cuda=device.type == "cuda")

    def loader(dataset: Any, part: Sequence[int], **options: Any) -> KeyedLoader:
        chosen = table.iloc[list(part)]
        return KeyedLoader(
            dataset,
            key=key,
            ids=chosen["id"].tolist(),
            rows=place_on(device, pixels.rows(chosen["sha256"].tolist())),
            numbers=torch.tensor([numbers[label] for label in chosen["label"]]),
            augmentation=augmentation,
            ranks=ranks,
            num_workers=workers,
            device=device,
            after_batch=[normalise],
            **options,
        )

    power = member.sample.power
    labels = [numbers[label] for label in table["label"].iloc[train]]
    sampler = ClassSampler([ids[each] for each in train], labels, power) if power else None
    size = _batch_size(member.batch_size, len(train), ranks)
    return DataLoaders(
        loader(
            datasets.train,
            train,
            bs=size,
            shuffle=True,
            drop_last=True,
            own_items=own_items,
            own_batches=own_batches,
            sampler=sampler,
        ),
        loader(datasets.valid, valid, bs=member.prediction_batch_size),
        device=device,
    )


def _batch_size(wanted: int, images: int, ranks: Ranks) -> int:
    if ranks.count == 1:
        return min(wanted, images)
    size = min(wanted, images // ranks.count * ranks.count)
    if size < 2 * ranks.count:
        raise InputError(
            f"{images} training images are too few for {ranks.count} ranks",
            fix="Start fewer: a batch norm needs two images in each rank.",
        )
    return size


def prediction_loader(loaders: DataLoaders, table: pd.DataFrame, pixels: Pixels) -> KeyedLoader:
    """A loader over the images of `table`, in its order, prepared like the validation part."""
    rows = pixels.rows(table["sha256"].tolist())
    dataset = Datasets(list(range(len(table))), tfms=[[_Middle(rows)]], split_idx=1)
    loader: KeyedLoader = loaders.valid.new(
        dataset, ids=table["id"].tolist(), rows=place_on(loaders.valid.device, rows), numbers=None
    )
    return loader
