"""Who is measured: Twinrun, the limit, stock fastai, a plain torch loop; images a second of each.

Each trains two epochs from nothing and is timed in the second, from its first wait for a batch to
its last step: reading, decoding, transforms, all callbacks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import torchvision
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.metrics import error_rate
from fastai.vision.augment import Resize, aug_transforms
from fastai.vision.data import ImageDataLoaders
from fastai.vision.learner import vision_learner
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from benchmarks.drawing import HELD_OUT
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.data.cache import cache_pixels, with_pixels
from twinrun.data.index import build_index
from twinrun.data.pixels import Pixels
from twinrun.repro.ledger import Ledger
from twinrun.train.fit import fit_phases
from twinrun.train.members import TrainingSetup, set_up_training
from twinrun.train.recorder import Recorder

SETTINGS = """
[competition]
name = "benchmark"
classes = ["a", "b"]
[data]
folder = {folder!r}
[run]
seed = 0
threads = {threads}
cache = "cache"
[recipe]
network = {network!r}
image_size = {size}
batch_size = {batch}
pretrained = false
mixup = 0.0
precision = {precision!r}
validation = {{ share = {share} }}
epochs = {{ frozen = 0, unfrozen = 2 }}
[members.m]
"""


@dataclass(frozen=True)
class Task:
    """What all of them train on.

    Attributes:
        folder: From `draw_photos`.
        images: Training images; a multiple of `batch`.
        network: Of torchvision.
        size: Pixels a side.
        batch: Images of a step.
        threads: Of torch's operators.
        device: "cpu" or "cuda".
    """

    folder: Path
    images: int
    network: str
    size: int
    batch: int
    threads: int
    device: str

    @property
    def steps(self) -> int:
        return self.images // self.batch


class _Clock(Callback):
    """Seconds of each epoch's training part, from the first wait for a batch to the last step."""

    order = 9000

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def before_train(self) -> None:
        self.started = now()

    def after_train(self) -> None:
        self.seconds.append(now() - self.started)


class Ours:
    """Twinrun's own training: keyed, deterministic, with ledger."""

    def __init__(self, task: Task, environment: dict[str, Any]) -> None:
        self.task, self.environment = task, environment
        settings = self._settings("fp32")
        index = build_index(settings)
        self.pixels: dict[int, Pixels] = cache_pixels(
            index, task.folder, settings.cached_sizes(), task.folder / "cache"
        )
        self.index: pd.DataFrame = with_pixels(index, self.pixels)

    def speed(self, precision: str, *, ledger: str = "step") -> float:
        """Images a second, in the second epoch."""
        return self.task.steps * self.task.batch / self.seconds(precision, ledger=ledger)[-1]

    def seconds(self, precision: str, *, ledger: str = "step") -> list[float]:
        """Seconds of each epoch's training part, all callbacks included."""
        workshop = self.workshop(precision)
        clock = _Clock()
        workshop.learner.add_cb(clock)
        recorder = Recorder(Ledger({}), ledger)
        fit_phases(workshop.learner, workshop.member, recorder, None, lambda *_: [])
        return clock.seconds

    def workshop(self, precision: str) -> TrainingSetup:
        """The member, untrained."""
        settings = self._settings(precision)
        return set_up_training("m", settings, self.index, self.pixels, self.environment)

    def _settings(self, precision: str) -> Settings:
        task = self.task
        share = HELD_OUT / (task.images + HELD_OUT) + 1e-9
        text = SETTINGS.format(
            folder=str(task.folder),
            threads=task.threads,
            network=task.network,
            size=task.size,
            batch=task.batch,
            precision=precision,
            share=share,
        )
        path = task.folder / f"{precision}.toml"
        path.write_text(text, encoding="utf-8")
        return read_settings(path)


def limit(task: Task, ours: Ours, precision: str) -> float:
    """The network alone, on one batch that is there already; images a second."""
    model = ours.workshop(precision).learner.model.train()
    steps = network_alone(task, model, model)
    with not_deterministic():
        steps(task.steps)
        return task.steps * task.batch / steps(task.steps)


def network_alone(
    task: Task, model: nn.Module, run: Callable[[Tensor], Tensor]
) -> Callable[[int], float]:
    """Forward, backward and fused AdamW on one random batch, the same for every model.

    Args:
        task: How large it is, and where.
        model: Whose parameters are trained.
        run: The forward pass, such as the model itself.

    Returns:
        Makes so many steps and says how many seconds they took.
    """
    draws = torch.Generator().manual_seed(0)
    images = torch.randn(task.batch, 3, task.size, task.size, generator=draws).to(task.device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(2, (task.batch,), generator=draws).to(task.device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def steps(count: int) -> float:
        started = now()
        for _ in range(count):
            functional.cross_entropy(run(images), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
        return now() - started

    return steps


def stock(task: Task) -> float:
    """fastai as its documentation writes it."""
    with not_deterministic():
        loaders = ImageDataLoaders.from_folder(
            task.folder / "train",
            valid_pct=HELD_OUT / (task.images + HELD_OUT) + 1e-9,
            seed=0,
            item_tfms=Resize(460),
            batch_tfms=aug_transforms(size=task.size),
            bs=task.batch,
            num_workers=task.threads,
            device=torch.device(task.device),
        )
        network = getattr(torchvision.models, task.network)
        clock = _Clock()
        learner = vision_learner(loaders, network, pretrained=False, metrics=error_rate, cbs=clock)
        learner.remove_cb(ProgressCallback)
        with learner.no_logging():
            learner.fit_one_cycle(2)
    return task.steps * task.batch / clock.seconds[-1]


def plain(task: Task) -> float:
    """A loop as torchvision's examples have it."""
    transforms = v2.Compose(
        [
            v2.RandomResizedCrop(task.size, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    data = torchvision.datasets.ImageFolder(task.folder / "train", transforms)
    loader = DataLoader(data, task.batch, shuffle=True, num_workers=task.threads, drop_last=True)
    model: nn.Module = getattr(torchvision.models, task.network)(num_classes=2).to(task.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    with not_deterministic():
        model.train()
        for epoch in range(2):
            if epoch:
                started = now()
            for images, labels in loader:
                loss = functional.cross_entropy(
                    model(images.to(task.device)), labels.to(task.device)
                )
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    return len(loader) * task.batch / (now() - started)


@contextmanager
def not_deterministic() -> Iterator[None]:
    """As torch starts: the others are not to be slowed down."""
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(True)


def now() -> float:
    """Seconds, when all that was asked of a GPU is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
