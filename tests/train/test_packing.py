"""What users' code keeps comes back out of a checkpoint to the same bits, or is refused."""

from __future__ import annotations

import enum
import json
import math
import re
import struct
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from fastai.torch_core import L, TensorImage
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from twinrun.errors import InputError
from twinrun.hooks import mistakes
from twinrun.train.packing import NotPlain, Packing
from twinrun.train.unpacking import Absent, nothing_there, unpack


def back(value: Any, current: Any = None) -> Any:
    """Through JSON, as a checkpoint's facts go."""
    packing = Packing()
    code = json.loads(json.dumps(packing.pack(value, "it")))
    return unpack(code, packing.tensors, nothing_there() if current is None else current)


def bits(value: Any) -> Any:
    if isinstance(value, float):
        return type(value), struct.pack("<d", value)
    if isinstance(value, (list, tuple)):
        return type(value), [bits(each) for each in value]
    if isinstance(value, dict):
        return type(value), [(bits(k), bits(v)) for k, v in value.items()]
    return type(value), value


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
keys = st.booleans() | st.integers() | st.text() | st.tuples(st.integers(), st.text())
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(keys, inner),
    max_leaves=8,
)


@given(values)
@settings(max_examples=100, deadline=None)
def test_plain_values(value: Any) -> None:
    assert bits(back(value)) == bits(value)


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "bfloat16", "int64", "uint8", "bool", "complex128"]
)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3, 4, 5)])
def test_tensors(dtype: str, shape: tuple[int, ...]) -> None:
    tensor = (torch.randn(shape, dtype=torch.float64) * 9).to(getattr(torch, dtype))
    if len(shape) == 4:
        tensor = tensor.contiguous(memory_format=torch.channels_last)
    found = back([1, tensor])[1]
    assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
    assert found.tolist() == tensor.tolist()
    if tensor.numel():
        assert found.stride() == tensor.stride()


def test_bits_that_compare_equal_or_not_at_all() -> None:
    odd = torch.tensor([-0.0, 0.0, math.nan, math.inf])
    odd.view(torch.int32)[2] |= 3
    assert torch.equal(back(odd).view(torch.int32), odd.view(torch.int32))
    array = odd.numpy().copy()
    assert back(array).tobytes() == array.tobytes()


def test_kinds_of_tensors_and_arrays() -> None:
    assert type(back(TensorImage(torch.ones(2)))) is TensorImage
    parameter = back(nn.Parameter(torch.ones(2)))
    assert isinstance(parameter, nn.Parameter)
    assert parameter.requires_grad
    for array in (
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(["ab", "c"]),
        np.array(7, "<M8[D]"),
        np.zeros((0, 2), ">i4"),
    ):
        found = back(array)
        assert (found.dtype, found.shape, found.tolist()) == (
            array.dtype,
            array.shape,
            array.tolist(),
        )
        assert found.flags.f_contiguous == array.flags.f_contiguous
        assert found.flags.writeable
    number = back(np.float32(0.1))
    assert type(number) is np.float32
    assert number == np.float32(0.1)
    assert type(back(L(1, 2))) is L
    assert back(OrderedDict(b=1, a=2)) == OrderedDict(b=1, a=2)


def test_code_is_left_where_it_is_and_states_are_put_back() -> None:
    now = {"rule": np.less, "at": Path("here"), "layers": [nn.Linear(2, 2)]}
    packing = Packing()
    code = packing.pack(now, "it")
    assert packing.fixed == {"it['rule']": np.less, "it['at']": Path("here")}
    other = nn.Linear(2, 2)
    found = unpack(code, packing.tensors, {"rule": np.less, "at": Path("there"), "layers": [other]})
    assert found["rule"] is np.less
    assert found["at"] == Path("there")
    assert found["layers"][0] is other
    assert torch.equal(other.weight, now["layers"][0].weight)  # type: ignore[index]


class Best(NamedTuple):
    step: int
    loss: Any


@dataclass(frozen=True)
class Row:
    best: Best
    rule: Any = None


class Mode(enum.Enum):
    FEW = 1
    MANY = 2


def test_records_are_made_again_and_code_in_them_is_left() -> None:
    value = {Mode.MANY: [Row(Best(1, np.float32(0.1)), np.less)], "size": torch.Size([2, 3])}
    found = back(value, {Mode.MANY: [Row(Best(0, 0.0), np.less)]})
    assert found == value
    row = found[Mode.MANY][0]
    assert [type(each) for each in (row, row.best, found["size"])] == [Row, Best, torch.Size]
    packing = Packing()
    code = json.loads(json.dumps(packing.pack(Row(Best(1, 2)), "it")))
    # Only classes that hold values are made: no name in a file calls anything else.
    code[1] = "os:system"
    with pytest.raises(Absent):
        unpack(code, packing.tensors, nothing_there())


def beside() -> Best:
    class Other(Best):
        pass

    return Other(1, 2)


ONE = [1]
TENSOR = torch.ones(4)
ARRAY = np.ones(4)


class Late:
    """What it is asked for is there after `begin` alone."""

    def begin(self) -> None:
        self.now = 1

    def state_dict(self) -> dict[str, int]:
        return {"now": self.now}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.now += state["now"]


def test_an_object_is_not_asked_before_it_is_time() -> None:
    late, packing = Late(), Packing(asks=False)
    packing.pack([late], "it")
    assert packing.objects == {"it[0]"}
    late.begin()
    assert back(late, late).now == 2


def test_a_state_that_fails_is_told_as_the_users_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mistakes, "_files", {__file__})
    with pytest.raises(InputError, match=r"test_packing.py, line \d+: AttributeError") as refused:
        Packing().pack(Late(), "it")
    assert refused.value.details[-1].endswith('in state_dict: return {"now": self.now}')
    late = Late()
    late.begin()
    with pytest.raises(InputError, match=r"test_packing.py, line \d+: KeyError") as refused:
        unpack(["state", ["dict", []]], {}, late)
    assert refused.value.details[-1].endswith('in load_state_dict: self.now += state["now"]')


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([ONE, ONE], r"it\[1\]: the same object as it\[0\]"),
        ([TENSOR, TENSOR[1:]], r"it\[1\]: the same object as it\[0\]"),
        ([ARRAY, ARRAY[:2]], r"it\[1\]: the same object as it\[0\]"),
        ((torch.ones(1, requires_grad=True) * 2), "keep its .detach"),
        (torch.ones(2).to_sparse(), "sparse"),
        (np.array([None]), "an array of object"),
        ({1: lambda: 0, 2: {3}}, r"it\[2\]: a set"),
        (torch.Generator(), "a generator of its own"),
        (iter([1]), "of the class list_iterator"),
        (beside(), "which no name at the top level of a file leads to"),
        ({nn.Linear: 1}, "a key of it"),
        (re.ASCII | re.DOTALL, "of the class re.RegexFlag"),
    ],
)
def test_what_cannot_be_kept_is_named(value: Any, said: str) -> None:
    with pytest.raises(NotPlain, match=said):
        Packing().pack(value, "it")


def test_a_list_that_holds_itself_is_named() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(NotPlain, match="the same object"):
        Packing().pack(endless, "it")
