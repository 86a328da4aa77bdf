"""Images on a GPU: all of them, where they fit; otherwise each batch sent ahead of its use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from twinrun.data.pixels import PixelRows

# Of a GPU's memory, for the images of one loader.
_SHARE = 8


class PositionedBatch(tuple):  # type: ignore[type-arg]
    """(a batch, its images' positions in the dataset).

    No NamedTuple: fastai makes anew what it moves to a device, from one list of the parts.
    """


class ResidentRows:
    """Images in a device's memory, and crops made there: the same bits, and nothing to copy.

    Args:
        rows: The images.
        device: Where they are put.
    """

    def __init__(self, rows: PixelRows, device: torch.device) -> None:
        self.host, self.size = rows, rows.size
        sizes = rows.rows * rows.columns * 3
        offsets = np.cumsum(sizes) - sizes
        self._pixels = torch.empty(int(sizes.sum()), dtype=torch.uint8, device=device)
        for position, offset in enumerate(offsets.tolist()):
            image = torch.from_numpy(rows.image(position).copy()).reshape(-1)
            self._pixels[offset : offset + len(image)].copy_(image)
        # With the images, so that no step fetches anything to find them.
        self._offsets = torch.from_numpy(offsets).to(device)
        self._strides = torch.from_numpy(rows.columns * 3).to(device)

    def crops(self, windows: Tensor) -> Tensor:
        """As `PixelRows.crops`, on the device.

        Args:
            windows: int64, there.
        """
        positions, tops, lefts = windows.unbind(1)
        strides = self._strides[positions]
        starts = self._offsets[positions] + tops * strides + lefts * 3
        down = torch.arange(self.size, device=windows.device)
        across = torch.arange(self.size * 3, device=windows.device)
        lines = starts[:, None] + strides[:, None] * down
        found = self._pixels[lines[:, :, None] + across]
        return found.view(-1, self.size, self.size, 3).permute(0, 3, 1, 2)


def place_on(device: torch.device, rows: PixelRows) -> PixelRows | ResidentRows:
    """The images in a GPU's memory, if it is one and they take little of it; otherwise as is."""
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory
        if rows.nbytes <= memory // _SHARE:
            return ResidentRows(rows, device)
    return rows


def send_ahead(
    batches: Iterable[PositionedBatch], device: torch.device
) -> Iterator[PositionedBatch]:
    """Each batch on a GPU, while the next is on its way: pinned memory, a stream of its own."""
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    coming: PositionedBatch | None = None
    for parts, positions in batches:
        with torch.cuda.stream(stream):
            there = tuple(part.pin_memory().to(device, non_blocking=True) for part in parts)
        yield from _wait_for(coming, stream, device)
        coming = PositionedBatch((there, positions))
    yield from _wait_for(coming, stream, device)


def _wait_for(
    batch: PositionedBatch | None, stream: torch.cuda.Stream, device: torch.device
) -> Iterator[PositionedBatch]:
    if batch is not None:
        now = torch.cuda.current_stream(device)
        now.wait_stream(stream)
        for part in batch[0]:
            part.record_stream(now)  # its memory is not to be reused before this stream is done
        yield batch
