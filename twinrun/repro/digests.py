"""Digests of tensors and of text: 64 bits that see a flipped bit, a sign, a swap, a mirror image.

Equal tensors in a different order in memory (channels last or not) have different digests.

On a CPU a digest is XXH3-64 of the bytes. On any other device it is computed there, so that no
tensor is copied to the host: the bits, read as integers, are multiplied by an odd number that their
position decides, and summed modulo 2**64 (multilinear hashing, Carter and Wegman, "Universal
classes of hash functions", 1979). Integer sums are the same in every order of summation. One value
that differs always changes such a sum, because an odd factor loses no difference; two that are
swapped change it because their factors differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import xxhash

if TYPE_CHECKING:
    from torch import Tensor

_CHUNK = 1 << 22
_MODULUS = 1 << 64
# The golden ratio's fraction, odd: links the sums of successive chunks.
_LINK = 0x9E3779B97F4A7C15


def digest_tensors(tensors: Sequence[Tensor]) -> int | Tensor:
    """Digest of tensors in their order: types, shapes and every bit.

    Returns:
        An integer in [0, 2**64); for tensors on a device other than the CPU an int64 tensor of no
        dimension, with the same bits as two's complement; `fetch_digests` takes many at once.
    """
    if tensors and tensors[0].device.type != "cpu":
        return sum_on_device(tensors)
    digest = xxhash.xxh3_64(_head(tensors).to_bytes(8, "little"))
    for tensor in tensors:
        digest.update(_as_bytes(tensor).numpy().data)
    return digest.intdigest()


def digest_text(*texts: str) -> int:
    """Digest of texts in their order, an integer in [0, 2**64)."""
    digest = xxhash.xxh3_64()
    for text in texts:
        content = text.encode()
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.intdigest()


def fetch_digests(digests: Sequence[int | Tensor]) -> list[int]:
    """The digests as integers in [0, 2**64); those on a device are fetched in one copy."""
    waiting = [digest for digest in digests if not isinstance(digest, int)]
    if not waiting:
        return [int(digest) for digest in digests]
    # Reading a ledger needs no torch, which takes seconds to import.
    import torch

    fetched = iter(torch.stack(waiting).tolist())
    return [digest if isinstance(digest, int) else next(fetched) % _MODULUS for digest in digests]


def sum_on_device(tensors: Sequence[Tensor]) -> Tensor:
    """The digest that is used on a GPU, computed on whichever device the tensors are.

    Args:
        tensors: One or more, on one device.

    Returns:
        int64, no dimension.
    """
    import torch

    device = tensors[0].device
    total = torch.full((), _signed(_head(tensors)), dtype=torch.int64, device=device)
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        integers = _as_integers(tensor)
        by_type.setdefault(integers.dtype, []).append(integers)
    for group in by_type.values():
        for chunk in torch.split(torch.cat(group), _CHUNK):
            total = total * _signed(_LINK) + (chunk * _factors(device)[: len(chunk)]).sum()
    return total


def _head(tensors: Sequence[Tensor]) -> int:
    """What a digest begins with: types, shapes, order in memory."""
    orders = ("", " channels last")
    return digest_text(
        *(f"{each.dtype} {list(each.shape)}{orders[_channels_last(each)]}" for each in tensors)
    )


def _as_bytes(tensor: Tensor) -> Tensor:
    import torch

    return _flat(tensor).view(torch.uint8)


def _as_integers(tensor: Tensor) -> Tensor:
    import torch

    size = tensor.element_size()
    kind = {1: torch.uint8, 2: torch.int16}.get(size, torch.int32)
    return _flat(tensor).view(kind)


def _flat(tensor: Tensor) -> Tensor:
    import torch

    # A plain tensor, because fastai's kinds of tensors cannot be put together.
    plain = tensor.detach().as_subclass(torch.Tensor)
    if _channels_last(plain):
        # As it lies in memory: to reorder it would take longer than the digest.
        plain = plain.permute(0, 2, 3, 1)
    return plain.contiguous().reshape(-1)


def _channels_last(tensor: Tensor) -> bool:
    import torch

    return (
        tensor.dim() == 4
        and not tensor.is_contiguous()
        and tensor.is_contiguous(memory_format=torch.channels_last)
    )


@cache
def _factors(device: object) -> Tensor:
    """An odd int64 for each position of a chunk: SplitMix64 (Steele, Lea and Flood, 2014)."""
    import numpy as np
    import torch

    state = np.arange(1, _CHUNK + 1, dtype=np.uint64) * np.uint64(_LINK)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    odd = (state ^ (state >> np.uint64(31))) | np.uint64(1)
    return torch.from_numpy(odd.view(np.int64)).to(device)  # type: ignore[call-overload,no-any-return]


def _signed(value: int) -> int:
    """The integer whose two's complement in 64 bits is `value`."""
    return value - _MODULUS if value >= _MODULUS // 2 else value
