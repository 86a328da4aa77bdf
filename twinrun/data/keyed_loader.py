"""Decoded pixels, split and keys as fastai DataLoaders whose every draw is keyed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Self

import numpy as np
import torch
from fastai.data.core import TfmdDL
from fastai.data.load import fa_collate
from fastai.data.transforms import IntToFloatTensor, ToTensor
from fastai.torch_core import TensorCategory, TensorImage, to_detach
from fastai.vision.core import PILImage
from fasttransform import Pipeline, Transform
from torch import Tensor

from twinrun.data.augment import Augmentation
from twinrun.data.device_cache import PositionedBatch, ResidentRows, send_ahead
from twinrun.data.own_transforms import Mistake, OwnTransforms, as_fastais, as_plain
from twinrun.data.pixels import PixelRows
from twinrun.data.sampling import ClassSampler
from twinrun.data.tta import View
from twinrun.errors import InputError
from twinrun.process import end_with_parent
from twinrun.repro.keys import Key
from twinrun.repro.ranks import ALONE, Ranks


class KeyedLoader(TfmdDL):
    """A fastai DataLoader over decoded pixels, in which order and transforms are keyed.

    The order of an epoch depends on (key, epoch), an image's crop, item transforms and augmentation
    on (key, epoch, id), a batch's own transforms on (key, epoch, step). So the number of workers,
    prefetching and anything that is drawn in between (`show_batch`, `lr_find`) leave every batch
    as it is.

    An item is its position until its batch is put together; one that a sampler draws again, as many
    dataset lengths more as it was drawn before. Each time is changed by draws of its own. Item
    transforms, of which there are none unless a user adds some, get (PILImage, TensorCategory).

    Of several ranks each gets its share of every batch, in the batch's order; what is drawn for an
    image is the same, whichever rank gets it. Where nothing is shuffled the labels are those of the
    whole batch: the ranks put their answers together.

    Args:
        dataset: fastai Datasets or a subset of them, over positions.
        key: Names the loader's draws; (seed, member).
        ids: The dataset's ids, in its order.
        rows: Its images, in the same order.
        numbers: Their labels, int64; None where there are none.
        augmentation: For training and test-time augmentation: where the dataset's split_idx is 0.
        ranks: The processes that share each batch.
        own_items: The competitor's changes of each image by itself, for training.
        own_batches: Theirs of a batch, for training.
        sampler: Draws the images of an epoch; None: each is taken once.
        options: As for TfmdDL; `bs` is the size of a whole batch.

    Attributes:
        epoch: The epoch that is drawn next, from 0.
        first_step: The step at which it begins, from 0: a resumed epoch begins in its middle.
        watch: Called for each batch before its batch transforms, with the names that were delivered
            to all ranks together and this one's tensors (images: uint8), on the loader's device.
        view: The pass of test-time augmentation that is under way, see `show_as`.
    """

    after_batch: Any
    after_item: Any

    def __init__(
        self,
        dataset: Any,
        *,
        key: Key,
        ids: Sequence[str],
        rows: PixelRows | ResidentRows,
        numbers: Tensor | None = None,
        augmentation: Augmentation,
        ranks: Ranks = ALONE,
        own_items: OwnTransforms | None = None,
        own_batches: OwnTransforms | None = None,
        sampler: ClassSampler | None = None,
        **options: Any,
    ) -> None:
        self.sampler = sampler
        self.own_items, self.own_batches = own_items, own_batches
        self.key, self.ids, self.rows, self.numbers = key, list(ids), rows, numbers
        self.augmentation, self.ranks = augmentation, ranks
        self.epoch = self.step = self.first_step = 0
        self.watch: Callable[[list[str], tuple[Tensor, ...]], None] | None = None
        self.view: View | None = None
        super().__init__(dataset, **options)
        # Pipelines are shared between loaders that are made from one another; this one is not. A
        # user's IntToFloatTensor has nothing left to do, and would divide a second time.
        others = (_Receive, _ChangeOwn, IntToFloatTensor)
        own = [each for each in self.after_batch.fs if not isinstance(each, others)]
        last = [_ChangeOwn(self)] if own_batches else []
        self.after_batch = Pipeline([_Receive(self), *own, *last])

    def new(self, dataset: Any = None, cls: type | None = None, **options: Any) -> Self:
        """A loader with some options changed; without `ids`, over the same images."""
        same = ["key", "ids", "rows", "numbers", "augmentation", "ranks"]
        same += ["own_items", "own_batches", "sampler"]
        options = {name: getattr(self, name) for name in same} | options
        loader: Self = super().new(dataset, cls, **options)
        loader.epoch = self.epoch
        return loader

    def before_iter(self) -> None:
        self.step = self.first_step
        self._process = os.getpid()
        super().before_iter()

    def wif(self) -> None:
        """fastai calls it first in a loader's process."""
        end_with_parent(self._process)
        super().wif()

    def get_idxs(self) -> list[int]:
        positions: list[int] = super().get_idxs()
        return positions[self.first_step * self.bs :]

    def shuffle_fn(self, positions: Sequence[int]) -> list[int]:
        if self.sampler is not None:
            drawn = self.sampler.draw(self.key, self.epoch)
            return [position + times * len(self.ids) for position, times in drawn]
        return self.key.of("order", self.epoch).order([self.ids[i] for i in positions])

    def place(self, item: int) -> tuple[int, int]:
        """An item's position, and how often it was drawn before in its epoch."""
        times, position = divmod(item, len(self.ids))
        return position, times

    def name(self, item: int) -> str:
        """What an item is called: its id, and which time it is where that is not the first."""
        position, times = self.place(item)
        return f"{self.ids[position]} ({times + 1})" if times else self.ids[position]

    def create_batches(self, samples: Iterable[int]) -> Iterator[PositionedBatch]:
        batches: Iterator[PositionedBatch] = super().create_batches(samples)
        on_gpu = self.device is not None and self.device.type == "cuda"
        if on_gpu and torch.utils.data.get_worker_info() is None:
            return send_ahead(batches, self.device)
        return batches

    def do_item(self, position: int | None) -> int:
        return position or 0  # fastai probes types with None

    def do_batch(self, items: Sequence[int]) -> PositionedBatch | Mistake:
        try:
            return self._batch_of(items)
        except InputError as error:
            if torch.utils.data.get_worker_info() is None:
                raise
            return Mistake(error.what, error.details, error.fixes)

    def _batch_of(self, items: Sequence[int]) -> PositionedBatch:
        # They travel with the images, so that what is recorded is what was delivered.
        everyones, items = list(items), self.ranks.share(items)
        labelled = everyones if self.answers_together else items
        windows = self._host.windows(self._positions(items), self._shares(items))
        if self.after_item.fs:
            images, *labels = self._transform_items(items, windows)
            own = self._labels(labelled) if self.answers_together else tuple(labels)
            return PositionedBatch(((images, *own), everyones))
        if self.own_items is not None and self.augments and self.view is None:
            images = self._change_items(self.own_items, items, windows)
            return PositionedBatch(((images, *self._labels(labelled)), everyones))
        if isinstance(self.rows, ResidentRows):
            return PositionedBatch(
                ((torch.from_numpy(windows), *self._labels(labelled)), everyones)
            )
        images = TensorImage(self.rows.crops(windows))
        return PositionedBatch(((images, *self._labels(labelled)), everyones))

    def to_detach(self, values: Any, cpu: bool = True, gather: bool = True) -> Any:  # noqa: ARG002
        """What fastai keeps of a batch's scores; they are of the whole batch on every rank."""
        return to_detach(values, cpu, gather=False)

    @property
    def answers_together(self) -> bool:
        """Whether several ranks put their answers together, in validation and prediction."""
        return self.ranks.count > 1 and not self.shuffle

    @property
    def augments(self) -> bool:
        """Whether images are cropped and changed at random."""
        return getattr(self.dataset, "split_idx", None) == 0

    @contextmanager
    def show_as(self, view: View) -> Iterator[None]:
        """Show every image as a pass of test-time augmentation sees it.

        What the pass draws depends on (key, "test-time", number, id) and on no epoch.
        """
        as_in_training = self.dataset.set_split_idx(0) if view.augments else nullcontext()
        with as_in_training:
            self.view = view
            try:
                yield
            finally:
                self.view = None

    def keys(self, purpose: str, items: Sequence[int]) -> list[Key]:
        """Of items, in this epoch or this pass."""
        if self.view is not None:
            return self.view.keys(self.key, purpose, self.ids_of(items))
        epoch = self.key.of(purpose, self.epoch)
        found = []
        for position, times in map(self.place, items):
            own = epoch.of(self.ids[position])
            found.append(own.of(times) if times else own)
        return found

    def ids_of(self, items: Sequence[int]) -> list[str]:
        """The ids of items."""
        return [self.ids[position] for position in self._positions(items)]

    def _positions(self, items: Sequence[int]) -> list[int]:
        return [self.place(item)[0] for item in items]

    @property
    def _host(self) -> PixelRows:
        return self.rows.host if isinstance(self.rows, ResidentRows) else self.rows

    def _shares(self, items: Sequence[int]) -> np.ndarray | float:
        if self.view is not None:
            positions = self._positions(items)
            sizes = self._host.rows[positions], self._host.columns[positions]
            return self.view.shares_of(*sizes, self.key, self.ids_of(items))
        if not self.augments:
            return 0.5
        return np.concatenate([key.uniforms(1) for key in self.keys("item", items)])

    def _labels(self, items: Sequence[int]) -> tuple[Tensor, ...]:
        if self.numbers is None:
            return ()
        return (TensorCategory(self.numbers[self._positions(items)]),)

    def _change_items(
        self, own: OwnTransforms, items: Sequence[int], windows: np.ndarray
    ) -> TensorImage:
        images = self._host.crops(windows).permute(0, 2, 3, 1).contiguous().numpy()
        keys = self.keys("item", items)
        changed = [own.change_image(each, key) for each, key in zip(images, keys, strict=True)]
        return TensorImage(torch.from_numpy(np.stack(changed)).permute(0, 3, 1, 2))

    def _transform_items(self, items: Sequence[int], windows: np.ndarray) -> tuple[Tensor, ...]:
        changed = []
        images = self._host.crops(windows).permute(0, 2, 3, 1).numpy()
        for item, image in zip(items, images, strict=True):
            self.keys("item", [item])[0].seed_generators()
            (label,) = self._labels([item]) or (None,)
            pair = (PILImage.create(image), *(() if label is None else (label[0],)))
            changed.append(_TO_TENSOR(self.after_item(pair)))
        pictures, *labels = fa_collate(changed)
        return (pictures.contiguous(memory_format=torch.channels_last), *labels)


_TO_TENSOR = ToTensor()


class _Receive(Transform):
    """Runs before a loader's batch transforms: watching, augmentation, and seeded generators."""

    order = -1000

    def __init__(self, loader: KeyedLoader) -> None:
        super().__init__()
        self.loader = loader

    def __call__(self, batch: Any, **_: Any) -> Any:
        loader = self.loader
        if isinstance(batch, Mistake):
            raise batch.tell()
        if isinstance(batch, PositionedBatch):
            (images, *labels), items = batch
            if isinstance(loader.rows, ResidentRows) and images.dtype == torch.int64:
                images = TensorImage(loader.rows.crops(images))
            if loader.watch is not None:
                loader.watch([loader.name(item) for item in items], (images, *labels))
            own = loader.ranks.share(items)
            batch = (TensorImage(self._floats(images.as_subclass(Tensor), own)), *labels)
        place = (
            ("batch", loader.epoch) if loader.view is None else ("test-time", loader.view.number)
        )
        loader.ranks.own(loader.key.of(*place, loader.step)).seed_generators()
        loader.step += 1
        return batch

    def _floats(self, images: Tensor, items: Sequence[int]) -> Tensor:
        loader = self.loader
        if loader.view is not None:
            return loader.view.see(loader.augmentation, images, loader.key, loader.ids_of(items))
        if loader.augments:
            size = loader.augmentation.member.size_at(loader.epoch)
            return loader.augmentation(images, loader.keys("augment", items), size)
        return loader.augmentation.unchanged(images)


class _ChangeOwn(Transform):
    """Runs after all other batch transforms: the competitor's own, in training alone."""

    order = 1000

    def __init__(self, loader: KeyedLoader) -> None:
        super().__init__()
        self.loader = loader

    def __call__(self, batch: Any, **_: Any) -> Any:
        loader = self.loader
        if loader.own_batches is None or not loader.augments or loader.view is not None:
            return batch
        # `_Receive` has counted this step.
        key = loader.ranks.own(loader.key.of("batch", loader.epoch, loader.step - 1))
        return as_fastais(*loader.own_batches.change_batch(*as_plain(batch), key))
