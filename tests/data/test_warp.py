"""The warp on a CPU and on a GPU see the same picture; on one of them always the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from twinrun.config.recipe import Member
from twinrun.data import warp
from twinrun.data.augment import batch_changes
from twinrun.repro.keys import Key

BATCH, CACHED, SIZE = 8, 72, 48
# OpenCV 4 looks between pixels in steps of a 32nd, so it takes the byte beside more often.
DIFFERING = 0.05 if int(cv2.__version__.partition(".")[0]) >= 5 else 0.1
WAYS: list[Callable[..., Tensor]] = [warp._by_opencv, warp._by_torch]


@pytest.fixture
def batch() -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Smooth pictures, with maps and tables of a recipe that uses everything."""
    recipe = Member.model_validate(
        {
            "network": "resnet18",
            "batch_size": 2,
            "epochs": {"frozen": 1, "unfrozen": 0},
            "validation": {"share": 0.1},
            "flip_vertical": True,
            "zoom_crop": [0.75, 1.5],
            "rotate": 30.0,
        }
    )
    changes = batch_changes(recipe, [Key((0, "a", number)) for number in range(BATCH)])
    coarse = torch.rand(BATCH, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, size=CACHED, mode="bicubic").clamp(0, 1)
    images = (smooth * 255).to(torch.uint8).contiguous(memory_format=torch.channels_last)
    return images, changes.matrices, changes.tables


def test_both_ways_show_the_same(batch: Any) -> None:
    images, matrices, tables = batch
    identity = np.tile(np.arange(256, dtype=np.float32), (BATCH, 1))
    shown = [way(images, matrices, identity, SIZE) for way in WAYS]
    steps = (shown[0] - shown[1]).abs()
    assert steps.max() <= 1
    assert steps.mean() < DIFFERING
    lit = [way(images, matrices, tables, SIZE) for way in WAYS]
    assert (lit[0] - lit[1]).abs().max() < 0.03
    straight = [
        way(images, np.broadcast_to(np.eye(3), (BATCH, 3, 3)), tables, SIZE) for way in WAYS
    ]
    assert (lit[0] - straight[0]).abs().mean() > 0.05


@pytest.mark.parametrize("way", WAYS)
def test_what_comes_out(batch: Any, way: Callable[..., Tensor]) -> None:
    found = way(*batch, SIZE)
    assert found.shape == (BATCH, 3, SIZE, SIZE)
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_changes_no_bit(batch: Any, threads: int) -> None:
    images, maps, tables = batch
    alone = warp.warp_and_light(images, maps, tables, SIZE)
    before = cv2.getNumThreads(), torch.get_num_threads()
    try:
        cv2.setNumThreads(threads)
        torch.set_num_threads(threads)
        assert torch.equal(warp.warp_and_light(images, maps, tables, SIZE), alone)
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


def test_how_the_images_lie_in_memory_changes_no_bit(batch: Any) -> None:
    images, maps, tables = batch
    alone = warp.warp_and_light(images, maps, tables, SIZE)
    assert torch.equal(warp.warp_and_light(images.contiguous(), maps, tables, SIZE), alone)
    shifted = torch.empty(images.numel() + 1, dtype=torch.uint8)[1:]
    shifted.copy_(images.permute(0, 2, 3, 1).reshape(-1))
    moved = shifted.view(BATCH, CACHED, CACHED, 3).permute(0, 3, 1, 2)
    assert torch.equal(warp.warp_and_light(moved, maps, tables, SIZE), alone)
    changed = images.clone()
    changed[0, 0, 30:40, 30:40] ^= 64
    assert not torch.equal(warp.warp_and_light(changed, maps, tables, SIZE), alone)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_bits_twice(batch: Any) -> None:
    images, maps, tables = batch
    first, second = (warp.warp_and_light(images.to("cuda"), maps, tables, SIZE) for _ in range(2))
    assert torch.equal(first, second)
    assert (first.cpu() - warp.warp_and_light(images, maps, tables, SIZE)).abs().max() < 0.03
