"""Images seen through their maps and in their light: by OpenCV on a CPU, by torch on a GPU.

Both take the nearest byte of what bilinear interpolation gives, and look the float up for it. On a
CPU OpenCV needs a fifth of the time of torch's `grid_sample`, which works on floats only; on a GPU
the images are there already. The two differ in the last bits of a place, so by one step of a byte
here and there: a different device gives different bits, as in every convolution.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

# A thread for each image, and no library that chooses its kernels by the processor's maker.
cv2.setNumThreads(0)
cv2.ipp.setUseIPP(False)


def reduce(images: Tensor, size: int) -> Tensor:
    """Images made smaller, each pixel the mean of the area that it takes the place of.

    Args:
        images: uint8, batch x 3 x any size x the same, channels last in memory.
        size: Of the result, at most theirs; of the same size they are given back as they are.

    Returns:
        uint8, batch x 3 x size x size, channels last in memory, on the images' device.
    """
    if images.shape[-1] == size:
        return images
    if images.device.type == "cpu":
        pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
        found = np.empty((len(pixels), size, size, 3), np.uint8)
        for image, smaller in zip(pixels, found, strict=True):
            cv2.resize(image, (size, size), smaller, interpolation=cv2.INTER_AREA)
        return torch.from_numpy(found).permute(0, 3, 1, 2)
    means = functional.interpolate(images.to(torch.float32), size=(size, size), mode="area")
    return means.round_().to(torch.uint8, memory_format=torch.channels_last)


def warp_and_light(images: Tensor, matrices: np.ndarray, tables: np.ndarray, size: int) -> Tensor:
    """Each image through its map, mirrored beyond its edges, then in its light.

    Args:
        images: uint8, batch x 3 x any size x the same, channels last in memory.
        matrices: float64, batch x 3 x 3: from a place in the result to one in the image. Places are
            (x, y, 1) with x and y from -1, the middle of the first pixel, to 1, the middle of the
            last one.
        tables: float32, batch x 256: what becomes of each value of a byte.
        size: Of the result.

    Returns:
        float32, batch x 3 x size x size, channels last in memory, on the images' device.
    """
    if images.device.type == "cpu":
        return _by_opencv(images, matrices, tables, size)
    return _by_torch(images, matrices, tables, size)


def _by_opencv(images: Tensor, matrices: np.ndarray, tables: np.ndarray, size: int) -> Tensor:
    pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
    found = np.empty((len(pixels), size, size, 3), np.float32)
    maps = _pixels(pixels.shape[1]) @ matrices @ np.linalg.inv(_pixels(size))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

    def see(numbers: range) -> None:
        near, shown = np.empty_like(pixels[0]), np.empty((size, size, 3), np.uint8)
        for number in numbers:
            # The whole image into a processor's own cache, which reads ahead only what is read in
            # its order; a warp of what lies in memory takes twice as long.
            np.copyto(near, pixels[number])
            cv2.warpPerspective(
                near,
                maps[number],
                (size, size),
                shown,
                flags,
                borderMode=cv2.BORDER_REFLECT_101,
            )
            cv2.LUT(shown, tables[number], found[number])

    threads = min(torch.get_num_threads(), len(pixels))
    shares = [range(first, len(pixels), threads) for first in range(threads)]
    # Both calls let other threads run. These end with the batch: no loader process is forked, and
    # none killed, with threads of ours in it.
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(see, shares):
            pass
    return torch.from_numpy(found).permute(0, 3, 1, 2)


def _by_torch(images: Tensor, matrices: np.ndarray, tables: np.ndarray, size: int) -> Tensor:
    maps = torch.from_numpy(matrices.astype(np.float32)).to(images.device)
    along = torch.linspace(-1, 1, size, device=images.device)
    # The products of a row and of a column, added up for each place: x, y and depth, as planes.
    across = (maps[:, :, 0, None] * along)[:, :, None, :]
    down = (maps[:, :, 1, None] * along + maps[:, :, 2, None])[:, :, :, None]
    planes = across + down
    grid = planes[:, :2].div_(planes[:, 2:]).permute(0, 2, 3, 1)
    floats = images.to(torch.float32)
    shown = functional.grid_sample(floats, grid, "bilinear", "reflection", align_corners=True)
    firsts = torch.arange(len(images), device=images.device) * 256
    places = shown.round_().to(torch.int64, memory_format=torch.channels_last)
    places.add_(firsts.view(-1, 1, 1, 1))
    lit = torch.from_numpy(tables).to(images.device).reshape(-1)[places]
    return lit.contiguous(memory_format=torch.channels_last)


def _pixels(size: int) -> np.ndarray:
    """From places to positions of pixels, from 0 on."""
    half = (size - 1) / 2
    return np.array([[half, 0, half], [0, half, half], [0, 0, 1]], np.float64)
