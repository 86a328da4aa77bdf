"""Digests computed on a GPU: the same as on a CPU by the same sums, and different for each change.

The sums are of integers, so that no order of threads can change them.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from twinrun.repro.digests import fetch_digests, sum_on_device

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
DEVICES = ["cpu", pytest.param("cuda", marks=needs_cuda)]
DTYPES = (torch.float32, torch.bfloat16, torch.int64, torch.uint8)


def digest(tensors: list[Tensor], device: str) -> int:
    return fetch_digests([sum_on_device([each.to(device) for each in tensors])])[0]


def drawn(dtype: torch.dtype) -> Tensor:
    numbers = torch.randn(3, 500, 700, generator=torch.Generator().manual_seed(0))
    return (numbers * 50).to(dtype)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_digest_is_the_same_twice_and_on_a_cpu(device: str, dtype: torch.dtype) -> None:
    tensor = drawn(dtype)
    found = {digest([tensor], device) for _ in range(5)}
    assert found == {digest([tensor], "cpu")}


@pytest.mark.parametrize("device", DEVICES)
def test_a_digest_sees_a_bit_a_sign_a_swap_and_a_mirror_image(device: str) -> None:
    tensor = drawn(torch.float32)
    flipped = tensor.clone()
    flipped.view(torch.int32)[2, 499, 699] ^= 1
    changed = [
        flipped,
        -tensor,
        tensor[[1, 0, 2]],
        tensor.flip(2),
        tensor.reshape(3, 700, 500),
    ]
    found = [digest([each], device) for each in (tensor, *changed)]
    assert len(set(found)) == len(found)
    assert digest([torch.zeros(1)], device) != digest([-torch.zeros(1)], device)
