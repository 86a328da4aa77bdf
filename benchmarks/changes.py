"""What random changes of the training images, and an average of the weights, cost of a step."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.contestants import Ours, now
from benchmarks.speed import task_of
from benchmarks.table import Figure
from twinrun.config.recipe import Member
from twinrun.data.augment import Augmentation
from twinrun.repro.keys import Key
from twinrun.train.averages import AverageWeights
from twinrun.train.mixing import MixImages

if TYPE_CHECKING:
    from benchmarks.__main__ import Given

# Each as strong as anybody uses it.
_CHANGES: dict[str, dict[str, Any]] = {
    "blur": {"blur": 2.0},
    "erasing": {"erasing": 0.5},
    "grayscale": {"grayscale": 0.2},
    "noise": {"noise": 0.1},
    "rand_augment": {"rand_augment": 9.0},
    "cutmix": {"cutmix_probability": 1.0},
}
_DECAY = 0.99
_BOUND = 1.05


def changes(given: Given, told: Callable[[str], None]) -> list[Figure]:
    """A step with each change and without, and with an average of the weights.

    The time of a batch's changes is measured with and without it, in turns, and the difference
    added to a step of ResNet-18 in bf16, the shortest there is: two whole steps differ by more.
    """
    task = task_of(given, "resnet18", "1300 px")
    ours = Ours(task, given.environment)
    step = min(ours.seconds("bf16")[-1] / task.steps for _ in range(given.rounds))
    told(f"a step: {step:.3f} s")
    plain = ours.workshop("bf16").member
    draws = torch.Generator().manual_seed(0)
    shape = (task.batch, 3, plain.cached_size, plain.cached_size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=draws)
    images = images.contiguous(memory_format=torch.channels_last).to(task.device)
    figures = []
    rounds = range(given.rounds * 8)
    for name, values in _CHANGES.items():
        member = Member.model_validate(plain.model_dump() | values)
        timed = _cut if "cutmix_probability" in values else _changed
        extra = [timed(member, images, at) - _changed(plain, images, at) for at in rounds]
        figures.append(_figure(name, extra, task.batch, step))
    average = AverageWeights(_DECAY)
    average.learn = ours.workshop("bf16").learner
    average.after_step()  # the first is a copy
    return [*figures, _figure("ema", [_averaged(average) for _ in rounds], task.batch, step)]


def _figure(name: str, extra: list[float], batch: int, step: float) -> Figure:
    seconds = statistics.mean(extra)
    seen = f"{1000 * seconds:.1f} ms of a batch of {batch}; a step takes {step:.3f} s"
    return Figure(f"step time, {name}", "without", 1 + seconds / step, _BOUND, False, "", seen)


def _averaged(average: AverageWeights) -> float:
    started = now()
    average.after_step()
    return now() - started


def _changed(member: Member, images: torch.Tensor, number: int) -> float:
    """Seconds that a batch's changes take; with each number others are drawn."""
    keys = [Key((0, "m", "augment", number, str(row))) for row in range(len(images))]
    started = now()
    Augmentation(member)(images, keys)
    return now() - started


def _cut(member: Member, images: torch.Tensor, number: int) -> float:
    """The same, and CutMix's of the batch."""
    seconds = _changed(member, images, number)
    size = member.image_size
    floats = torch.rand(len(images), 3, size, size, device=images.device)
    floats = floats.contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    mixing = MixImages(member)
    mixing.stack_y = True
    keyed = SimpleNamespace(key_of_step=lambda purpose: Key((0, purpose, number)))
    mixing.learn = SimpleNamespace(
        x=floats, xb=(floats,), y=labels, yb=(labels,), keyed_steps=keyed
    )
    started = now()
    mixing.before_batch()
    return seconds + now() - started
