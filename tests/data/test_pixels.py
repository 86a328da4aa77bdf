"""Crops are what the array holds, from host memory or a device's, in whatever process."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from twinrun.data import device_cache
from twinrun.data.device_cache import PositionedBatch, ResidentRows, place_on, send_ahead
from twinrun.data.pixels import PixelRows

SIZE = 4
SHAPES = [(4, 4), (4, 9), (7, 4), (4, 16)]


@pytest.fixture
def images() -> list[np.ndarray]:
    draws = np.random.default_rng(0)
    return [draws.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in SHAPES]


@pytest.fixture
def rows(images: list[np.ndarray], tmp_path: Path) -> PixelRows:
    """The images with gaps between them, in an order that is not the array's."""
    gap = b"\xff" * 7
    path = tmp_path / "pixels.u8"
    path.write_bytes(gap + gap.join(image.tobytes() for image in images))
    places, offset = [], len(gap)
    for image in images:
        places.append((offset, *image.shape[:2]))
        offset += image.size + len(gap)
    return PixelRows(path, SIZE, np.array(places)[[2, 0, 3, 1]])


ORDER = [2, 0, 3, 1]


def test_an_image_is_what_lies_in_the_array(rows: PixelRows, images: list[np.ndarray]) -> None:
    assert len(rows) == len(images)
    for position, number in enumerate(ORDER):
        assert np.array_equal(rows.image(position), images[number])
    assert rows.nbytes == sum(image.size for image in images)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999, 1 - 2**-53])
def test_a_crop_is_a_square_of_the_image(
    rows: PixelRows, images: list[np.ndarray], share: float
) -> None:
    windows = rows.windows(range(4), share)
    crops = rows.crops(windows)
    assert crops.shape == (4, 3, SIZE, SIZE)
    assert crops.is_contiguous(memory_format=torch.channels_last)
    for crop, (position, top, left) in zip(crops, windows.tolist(), strict=True):
        image = images[ORDER[position]]
        assert 0 <= top <= image.shape[0] - SIZE
        assert 0 <= left <= image.shape[1] - SIZE
        expected = image[top : top + SIZE, left : left + SIZE]
        assert np.array_equal(crop.permute(1, 2, 0).numpy(), expected)


def test_every_place_along_the_longer_side_is_taken_as_often(rows: PixelRows) -> None:
    shares = (np.arange(6000) + 0.5) / 6000
    windows = rows.windows([3] * 6000, shares)  # 4 x 9: six places
    assert set(windows[:, 1]) == {0}
    assert np.unique(windows[:, 2], return_counts=True)[1].tolist() == [1000] * 6


def test_the_middle_is_the_middle(rows: PixelRows) -> None:
    assert rows.windows(range(4), 0.5)[:, 1:].tolist() == [[2, 0], [0, 0], [0, 6], [0, 3]]


def test_crops_made_on_a_device_are_the_same(rows: PixelRows) -> None:
    there = ResidentRows(rows, torch.device("cpu"))
    for share in (0.0, 0.3, 0.9):
        windows = rows.windows([3, 1, 0, 2, 3], share)
        assert torch.equal(there.crops(torch.from_numpy(windows)), rows.crops(windows))
    other = rows.windows([3, 1, 0, 2, 3], 0.0)
    assert not torch.equal(there.crops(torch.from_numpy(windows)), rows.crops(other))
    assert there.crops(torch.from_numpy(windows)).is_contiguous(memory_format=torch.channels_last)


def test_a_process_that_is_sent_the_rows_opens_the_file_itself(rows: PixelRows) -> None:
    windows = rows.windows(range(4), 0.5)
    crops = rows.crops(windows)  # the array is open
    sent = pickle.dumps(rows)
    assert len(sent) < 2000
    assert torch.equal(pickle.loads(sent).crops(windows), crops)


def test_on_a_cpu_the_array_stays_where_it_is(rows: PixelRows) -> None:
    assert place_on(torch.device("cpu"), rows) is rows


@pytest.mark.parametrize(("memory", "there"), [(8 * 432, True), (8 * 432 - 8, False)])
def test_a_gpu_gets_images_that_take_little_of_its_memory(
    rows: PixelRows, monkeypatch: pytest.MonkeyPatch, memory: int, there: bool
) -> None:
    class Properties:
        total_memory = memory

    assert rows.nbytes == 432
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Properties)
    monkeypatch.setattr(device_cache, "ResidentRows", lambda rows, device: "resident")
    placed: Any = place_on(torch.device("cuda"), rows)
    assert placed == "resident" if there else placed is rows


class Stream:
    """Stands for torch.cuda.Stream: what is sent on it has not arrived before it is waited for."""

    def __init__(self, *_: Any) -> None:
        self.waited = 0

    def wait_stream(self, _: Stream) -> None:
        self.waited += 1


def test_batches_are_sent_one_ahead_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    now = Stream()

    @contextmanager
    def on(_: Stream) -> Iterator[None]:
        yield

    def sent(part: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        events.append(f"sent {int(part[0])}")
        return part

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: now)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda part: part)
    monkeypatch.setattr(torch.Tensor, "to", sent)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda *_: None)
    batches = [PositionedBatch(((torch.full((2,), number),), [number])) for number in range(3)]
    for (part,), positions in send_ahead(batches, torch.device("cuda")):
        assert positions == [int(part[0])]
        events.append(f"used {int(part[0])}")
    assert events == ["sent 0", "sent 1", "used 0", "sent 2", "used 1", "used 2"]
    assert now.waited == 3


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


@needs_cuda
def test_on_a_gpu_crops_and_sent_batches_are_the_same(rows: PixelRows) -> None:
    device = torch.device("cuda")
    windows = rows.windows(range(4), 0.3)
    there = ResidentRows(rows, device).crops(torch.from_numpy(windows).to(device))
    assert torch.equal(there.cpu(), rows.crops(windows))
    batches = [PositionedBatch(((rows.crops(windows),), [0, 1, 2, 3]))] * 3
    for (images,), _ in send_ahead(batches, device):
        assert images.device.type == "cuda"
        assert torch.equal(images.cpu(), rows.crops(windows))
