"""Index, split and keys as fastai DataLoaders whose every draw is keyed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import pandas as pd
import torch
from fastai.data.core import DataLoaders, Datasets, TfmdDL
from fastai.data.transforms import Categorize, IntToFloatTensor, Normalize, ToTensor
from fastai.vision.augment import Resize, Zoom, aug_transforms
from fastai.vision.core import PILImage, imagenet_stats
from fasttransform import Pipeline, Transform

from competition.data.pixels import decode
from competition.determinism.randomness import Key
from competition.settings import Member


class _Placed(tuple):  # type: ignore[type-arg]
    """(an item or a batch, its items' positions in the dataset).

    No NamedTuple: fastai makes anew what it moves to a device, from one list of the parts.
    """


class KeyedLoader(TfmdDL):
    """A fastai DataLoader in which order, item transforms and batch transforms are keyed.

    The order of an epoch depends on (key, epoch), an item's transforms on (key, epoch, item id),
    a batch's on (key, epoch, step). So the number of workers, prefetching and anything that is
    drawn in between (`show_batch`, `lr_find`) leave every batch as it is.

    Args:
        dataset: fastai Datasets or a subset of them.
        key: Names the loader's draws; (seed, member).
        ids: The dataset's ids, in its order.
        options: As for TfmdDL.

    Attributes:
        epoch: The epoch that is drawn next, from 0.
        first_step: The step at which it begins, from 0: a resumed epoch begins in its middle.
        watch: Called for each batch before its batch transforms, with the ids that were delivered
            and the collated tensors, on the loader's device.
    """

    after_batch: Any

    def __init__(self, dataset: Any, *, key: Key, ids: Sequence[str], **options: Any) -> None:
        self.key, self.ids = key, list(ids)
        self.epoch = self.step = self.first_step = 0
        self.watch: Callable[[list[str], tuple[torch.Tensor, ...]], None] | None = None
        super().__init__(dataset, **options)
        # Pipelines are shared between loaders that are made from one another; the seeding is not.
        own = [transform for transform in self.after_batch.fs if not isinstance(transform, _Seed)]
        self.after_batch = Pipeline([_Seed(self), *own])

    def new(self, dataset: Any = None, cls: type | None = None, **options: Any) -> Self:
        """A loader with some options changed; without `ids`, over the same items."""
        options = {"key": self.key, "ids": self.ids, **options}
        loader: Self = super().new(dataset, cls, **options)
        loader.epoch = self.epoch
        return loader

    def before_iter(self) -> None:
        self.step = self.first_step
        super().before_iter()

    def get_idxs(self) -> list[int]:
        positions: list[int] = super().get_idxs()
        return positions[self.first_step * self.bs :]

    def shuffle_fn(self, positions: Sequence[int]) -> list[int]:
        return self.key.of("order", self.epoch).order([self.ids[i] for i in positions])

    def do_item(self, position: int | None) -> _Placed | None:
        if position is None:
            # fastai's probing of types; there is no id to draw for.
            return _Placed((super().do_item(None), []))
        self.key.of("item", self.epoch, self.ids[position]).seed_generators()
        item = super().do_item(position)
        return None if item is None else _Placed((item, [position]))

    def do_batch(self, items: Sequence[_Placed]) -> _Placed:
        # The positions travel with the images, so that what is recorded is what was delivered.
        batch = super().do_batch([content for content, _ in items])
        return _Placed((batch, [position for _, positions in items for position in positions]))


class _Seed(Transform):
    """Runs before a loader's batch transforms: lets them be watched, and seeds the generators."""

    order = -1000

    def __init__(self, loader: KeyedLoader) -> None:
        super().__init__()
        self.loader = loader

    def __call__(self, batch: Any, **_: Any) -> Any:
        loader = self.loader
        if isinstance(batch, _Placed):
            batch, positions = batch
            if loader.watch is not None:
                loader.watch([loader.ids[position] for position in positions], batch)
        loader.key.of("batch", loader.epoch, loader.step).seed_generators()
        loader.step += 1
        return batch


class _Open(Transform):
    """Row position in a table -> PILImage: decoded, upright, RGB."""

    def __init__(self, table: pd.DataFrame, folder: Path) -> None:
        super().__init__()
        self.paths = [folder / path for path in table["path"]]

    def encodes(self, position: int) -> PILImage:
        return PILImage(decode(self.paths[position]))


class _Label(Transform):
    """Row position in a table -> class name."""

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
    folder: Path,
    classes: Sequence[str],
    member: Member,
    key: Key,
    workers: int,
    device: torch.device,
) -> DataLoaders:
    """The training and validation loaders of a member.

    Args:
        table: The training rows of the index.
        held_out: Ids of the validation part.
        folder: The data folder.
        classes: Class names; a label's number is its position here.
        member: The recipe.
        key: (seed, member name).
        workers: Loader processes.
        device: Where batches go.

    Returns:
        Batches of (images: float32, batch x 3 x size x size, normalised by ImageNet's mean and
        standard deviation; labels: int64, batch).
    """
    positions = {name: position for position, name in enumerate(table["id"])}
    valid = [positions[name] for name in held_out]
    train = sorted(set(positions.values()) - set(valid))
    datasets = Datasets(
        list(range(len(table))),
        tfms=[
            [_Open(table, folder)],
            [_Label(table), Categorize(vocab=list(classes), sort=False)],
        ],
        splits=[train, valid],
    )
    ids = table["id"].tolist()
    common: dict[str, Any] = {"key": key, "num_workers": workers, "device": device}
    common["after_item"] = [Resize(member.image_size), ToTensor()]
    loaders = [
        KeyedLoader(
            datasets.train,
            ids=[ids[position] for position in train],
            bs=min(member.batch_size, len(train)),
            shuffle=True,
            drop_last=True,
            after_batch=[IntToFloatTensor(), *_augmentations(member), _normalise(device)],
            **common,
        ),
        KeyedLoader(
            datasets.valid,
            ids=[ids[position] for position in valid],
            bs=member.prediction_batch_size,
            after_batch=[IntToFloatTensor(), _normalise(device)],
            **common,
        ),
    ]
    return DataLoaders(*loaders, device=device)


def prediction_loader(loaders: DataLoaders, table: pd.DataFrame, folder: Path) -> KeyedLoader:
    """A loader over the images of `table`, in its order, prepared like the validation part."""
    dataset = Datasets(list(range(len(table))), tfms=[[_Open(table, folder)]], split_idx=1)
    loader: KeyedLoader = loaders.valid.new(dataset, ids=table["id"].tolist())
    return loader


def _augmentations(member: Member) -> list[Any]:
    """fastai's `aug_transforms`, and the 13th place's zoom-crop composed into the same warp."""
    extra = []
    if member.zoom_crop:
        smallest, largest = member.zoom_crop
        extra = [Zoom(min_zoom=smallest, max_zoom=largest, p=1.0)]
    transforms: list[Any] = aug_transforms(
        flip_vert=member.flip_vertical,
        max_rotate=member.rotate,
        max_zoom=member.zoom,
        max_lighting=member.lighting,
        max_warp=member.warp,
        xtra_tfms=extra,
    )
    return transforms


def _normalise(device: torch.device) -> Normalize:
    return Normalize.from_stats(*imagenet_stats, cuda=device.type == "cuda")
