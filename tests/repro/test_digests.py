"""Digests see every bit, its place and the shape around it, and nothing else."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from twinrun.repro.digests import digest_tensors, digest_text, fetch_digests, sum_on_device

Digest = Callable[[list[Tensor]], int]

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool)
CHUNK = 1 << 22  # tensors of more elements are summed in several parts


def on_cpu(tensors: list[Tensor]) -> int:
    digest = digest_tensors(tensors)
    assert isinstance(digest, int)
    return digest


def on_device(tensors: list[Tensor]) -> int:
    """As on a GPU, computed on the CPU."""
    return fetch_digests([sum_on_device(tensors)])[0]


both = pytest.mark.parametrize("digest", [on_cpu, on_device])


def tensor_of(content: bytes, dtype: torch.dtype) -> Tensor:
    return torch.tensor(list(content), dtype=torch.uint8).view(dtype)


def numbers(*shape: int) -> Tensor:
    """A different float32 at every place."""
    return torch.arange(math.prod(shape), dtype=torch.float32).reshape(shape) / 7


@st.composite
def flips(draw: st.DrawFn) -> tuple[list[Tensor], list[Tensor]]:
    """Tensors, and the same with one bit of one of them flipped."""
    contents: list[tuple[bytes, torch.dtype]] = []
    for _ in range(draw(st.integers(1, 3))):
        dtype = draw(st.sampled_from(DTYPES))
        items = draw(st.integers(1, 40))
        size = items * dtype.itemsize
        value = st.integers(0, 1) if dtype == torch.bool else st.integers(0, 255)
        contents.append((bytes(draw(st.lists(value, min_size=size, max_size=size))), dtype))
    which = draw(st.integers(0, len(contents) - 1))
    content, dtype = contents[which]
    place = draw(st.integers(0, len(content) - 1))
    bit = 0 if dtype == torch.bool else draw(st.integers(0, 7))
    flipped = bytearray(content)
    flipped[place] ^= 1 << bit
    changed = contents.copy()
    changed[which] = bytes(flipped), dtype
    return [tensor_of(*one) for one in contents], [tensor_of(*one) for one in changed]


@both
@given(pair=flips())
def test_a_flipped_bit_is_seen(digest: Digest, pair: tuple[list[Tensor], list[Tensor]]) -> None:
    assert digest(pair[0]) != digest(pair[1])
    assert digest(pair[0]) == digest([tensor.clone() for tensor in pair[0]])


@both
def test_a_flipped_bit_of_a_large_tensor_is_seen(digest: Digest) -> None:
    tensor = torch.arange(CHUNK + 5, dtype=torch.int32)
    before = digest([tensor])
    for place in (0, 1, CHUNK - 1, CHUNK, CHUNK + 4):
        for bit in (1, -(2**31)):
            tensor[place] ^= bit
            assert digest([tensor]) != before
            tensor[place] ^= bit
    assert digest([tensor]) == before


@both
def test_a_sign_is_seen(digest: Digest) -> None:
    zeros = torch.zeros(3, 4)
    negative = zeros.clone()
    negative[1, 2] = -0.0
    assert torch.equal(zeros, negative)
    assert digest([zeros]) != digest([negative])
    assert digest([-zeros]) != digest([zeros])
    assert digest([numbers(5)]) != digest([-numbers(5)])


@both
def test_a_mirror_image_and_swapped_rows_are_seen(digest: Digest) -> None:
    batch = numbers(4, 3, 8, 8)
    digests = {
        digest([batch]),
        digest([batch.flip(-1)]),
        digest([batch.flip(-2)]),
        digest([batch.transpose(-1, -2)]),
        digest([batch.flip(0)]),
        digest([batch[[1, 0, 2, 3]]]),
        digest([batch[:, [1, 0, 2]]]),
        digest([torch.cat([batch[:1].flip(-1), batch[1:]])]),
    }
    assert len(digests) == 8


@both
@given(data=st.data())
def test_two_swapped_values_are_seen(digest: Digest, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=2, unique=True))
    one, other = data.draw(
        st.lists(st.integers(0, len(values) - 1), min_size=2, max_size=2, unique=True)
    )
    swapped = values.copy()
    swapped[one], swapped[other] = values[other], values[one]
    before, after = (torch.tensor(each, dtype=torch.int32) for each in (values, swapped))
    assert digest([before]) != digest([after])


@both
def test_values_swapped_between_two_chunks_are_seen(digest: Digest) -> None:
    tensor = torch.zeros(2 * CHUNK, dtype=torch.uint8)
    tensor[3] = 1
    other = torch.zeros(2 * CHUNK, dtype=torch.uint8)
    other[CHUNK + 3] = 1
    assert digest([tensor]) != digest([other])


@both
def test_the_order_of_tensors_is_seen(digest: Digest) -> None:
    one, other, whole = numbers(3, 3), numbers(3, 3) + 1, torch.arange(9)
    orders = [[one, other, whole], [other, one, whole], [whole, one, other], [one, whole, other]]
    assert len({digest(order) for order in orders}) == 4


@both
def test_shapes_and_types_are_seen(digest: Digest) -> None:
    content = numbers(12)
    alike = [
        [content],
        [content.reshape(3, 4)],
        [content.reshape(4, 3)],
        [content.reshape(12, 1)],
        [content[:5], content[5:]],
        [content[:6], content[6:]],
        [content, content[:0]],
        [content.view(torch.int32)],
        [content.view(torch.uint8)],
        [content.view(torch.bfloat16)],
        [content.view(torch.float16)],
        [content.view(torch.int64)],
    ]
    assert len({digest(tensors) for tensors in alike}) == len(alike)


@both
def test_empty_tensors_are_told_apart_by_shape_and_type(digest: Digest) -> None:
    empty = [torch.zeros(0), torch.zeros(0, 3), torch.zeros(3, 0), torch.zeros(0).double()]
    digests = {digest([tensor]) for tensor in empty}
    digests |= {digest([empty[0]] * 2), digest([torch.zeros(())]), digest([torch.zeros(1)])}
    assert len(digests) == 7


def test_no_tensors_have_a_digest() -> None:
    assert digest_tensors([]) == digest_tensors([])
    assert digest_tensors([]) != digest_tensors([torch.zeros(0)])


@both
def test_what_a_nan_carries_is_seen(digest: Digest) -> None:
    quiet, other = (
        tensor_of(struct.pack("<I", bits), torch.float32) for bits in (0x7FC00000, 0x7FC00001)
    )
    assert quiet.isnan().all()
    assert other.isnan().all()
    assert digest([quiet]) != digest([other])
    assert digest([quiet]) == digest([quiet.clone()])


@both
def test_only_the_content_counts(digest: Digest) -> None:
    tensor = numbers(4, 3, 6, 6)
    spread = torch.zeros(4, 3, 6, 12)
    spread[..., ::2] = tensor
    trained = tensor.clone().requires_grad_()
    alike = [
        tensor.clone(),
        spread[..., ::2],
        tensor.transpose(0, 1).contiguous().transpose(0, 1),
        trained,
        trained * 1,
        torch.nn.Parameter(tensor),
        tensor.expand(1, 4, 3, 6, 6)[0],
    ]
    for other in alike:
        assert digest([other]) == digest([tensor])


@both
def test_the_order_in_memory_counts_where_channels_are_last(digest: Digest) -> None:
    tensor = numbers(4, 3, 6, 6)
    last = tensor.to(memory_format=torch.channels_last)
    assert torch.equal(last, tensor)
    assert digest([last]) != digest([tensor])
    assert digest([last]) == digest([last.clone()]) == digest([last * 1])
    # As it lies there it has another shape, and is another tensor.
    assert digest([last]) != digest([last.permute(0, 2, 3, 1)])
    assert digest([last]) != digest([last.permute(0, 2, 3, 1).reshape(tensor.shape)])
    # With one channel, or one pixel, both orders are the same.
    for shape in ((4, 1, 6, 6), (4, 3, 1, 1)):
        alike = numbers(*shape)
        assert digest([alike.to(memory_format=torch.channels_last)]) == digest([alike])


@both
def test_the_content_counts_where_channels_are_last(digest: Digest) -> None:
    tensor = numbers(4, 3, 6, 6).to(memory_format=torch.channels_last)
    changed = tensor.clone()
    changed[3, 2, 5, 4] = torch.nextafter(changed[3, 2, 5, 4], torch.tensor(0.0))
    turned = [tensor, changed, *(tensor.flip(axis) for axis in range(4)), tensor.transpose(2, 3)]
    digests = {digest([each.contiguous(memory_format=torch.channels_last)]) for each in turned}
    assert len(digests) == 7


@both
def test_the_kinds_of_tensors_of_fastai_are_digested_together(digest: Digest) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fastai.torch_core import TensorCategory, TensorImage

    images, labels = numbers(2, 3, 4, 4), torch.tensor([1, 2])
    assert digest([TensorImage(images), TensorCategory(labels)]) == digest([images, labels])
    apart = [sum_on_device([TensorImage(images)]), sum_on_device([TensorCategory(labels)])]
    assert fetch_digests(apart) == [on_device([images]), on_device([labels])]


def slow_sum(tensors: list[Tensor]) -> int:
    """The sum that digests.py describes, in integers of Python."""
    golden, modulus = 0x9E3779B97F4A7C15, 2**64

    def factor(position: int) -> int:
        state = (position + 1) * golden % modulus
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % modulus
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB % modulus
        return state ^ (state >> 31) | 1

    groups: dict[str, list[int]] = {}
    for tensor in tensors:
        content = bytes(tensor.contiguous().reshape(-1).view(torch.uint8).tolist())
        code = {1: "B", 2: "h"}.get(tensor.element_size(), "i")
        groups.setdefault(code, []).extend(value for (value,) in struct.iter_unpack(code, content))
    total = digest_text(*(f"{tensor.dtype} {list(tensor.shape)}" for tensor in tensors))
    for values in groups.values():
        for begin in range(0, max(len(values), 1), CHUNK):
            part = values[begin : begin + CHUNK]
            total = total * golden + sum(value * factor(n) for n, value in enumerate(part))
    return total % modulus


@given(pair=flips())
def test_the_sum_on_a_device_is_the_one_that_is_described(
    pair: tuple[list[Tensor], list[Tensor]],
) -> None:
    assert on_device(pair[0]) == slow_sum(pair[0])


@pytest.mark.slow
def test_the_sum_over_several_chunks_is_the_one_that_is_described() -> None:
    tensors = [torch.zeros(CHUNK - 1, dtype=torch.uint8), torch.arange(5, dtype=torch.uint8)]
    assert on_device(tensors) == slow_sum(tensors)


def test_settled_keeps_the_order_of_integers_and_tensors() -> None:
    tensors = [torch.tensor(value) for value in (-1, 5, -(2**63))]
    assert fetch_digests([7, tensors[0], 2**64 - 1, tensors[1], 0, tensors[2]]) == [
        7,
        2**64 - 1,
        2**64 - 1,
        5,
        0,
        2**63,
    ]
    assert fetch_digests([]) == []


def test_texts_that_look_alike_are_different() -> None:
    alike = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), (), ("",)]
    assert len({digest_text(*texts) for texts in alike}) == len(alike)


# From the first version on: ledgers of earlier runs are compared with those of later ones.
def test_digests_are_what_they_always_were() -> None:
    tensors = [numbers(2, 3), torch.tensor([True, False]), torch.tensor([-1, 2])]
    assert on_cpu(tensors) == 3241058975883111251
    assert on_device(tensors) == 18012803868349755189
    assert digest_text("wheat", "rust") == 2879716307185344859


def test_integers_are_settled_without_torch() -> None:
    script = (
        "import sys\nfrom twinrun.repro.digests import fetch_digests\n"
        "assert fetch_digests([1, 2]) == [1, 2]\nassert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
