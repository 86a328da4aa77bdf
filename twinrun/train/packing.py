"""Values that users' code keeps: as tensors and JSON in a checkpoint, and back to the same bits."""

from __future__ import annotations

import enum
import math
import random
import struct
import types
from collections import OrderedDict
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath
from typing import Any, Literal

import fastai.torch_core
import numpy as np
import torch
from fastai.torch_core import L, TensorBase
from pydantic import BaseModel
from torch import Tensor, nn

# How JSON values begin that stand for something else.
_LISTS: dict[str, Callable[[list[Any]], Any]] = {"list": list, "tuple": tuple, "L": L}
_DICTS: dict[str, Callable[[Any], Any]] = {"dict": dict, "ordered": OrderedDict}
# fastai's own kinds of a tensor, by name.
_TENSORS: dict[str, type[Tensor]] = {
    name: each
    for name, each in vars(fastai.torch_core).items()
    if isinstance(each, type) and issubclass(each, TensorBase)
} | {"Tensor": Tensor, "Parameter": nn.Parameter}
# What code is made of, and what says how it works: no part of a state.
_FIXED = (
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
    partial,
    np.ufunc,
    np.dtype,
    torch.dtype,
    torch.device,
    torch.distributions.Distribution,
    enum.Enum,
    PurePath,
    BaseModel,
)
_GENERATORS = (random.Random, np.random.Generator, np.random.RandomState, torch.Generator)
_SETS = (set, frozenset)


class NotPlain(Exception):
    """A value cannot be kept in a checkpoint.

    Attributes:
        place: Where it is: "history[3].loss".
        reason: Why not.
    """

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place, self.reason = place, reason


@dataclass
class Packing:
    """Where values are packed to.

    Attributes:
        tensors: What JSON cannot hold, by number.
        fixed: What was met that is no state but code or a setting, by its place.
        own: Addresses of storages, and ids of objects, that the learner keeps by itself.
        seen: Where each list, dictionary and storage was met.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    fixed: dict[str, Any] = field(default_factory=dict)
    own: set[int] = field(default_factory=set)
    seen: dict[int, str] = field(default_factory=dict)

    def pack(self, value: Any, place: str) -> Any:
        """A value as JSON, its tensors put aside.

        Args:
            value: Number, text, None, bytes, tensor, NumPy's array or number; list, tuple or
                dictionary of such; an object with `state_dict` and `load_state_dict`; code.
            place: How it is called in messages.

        Raises:
            NotPlain: It is something else, or two places hold the same list, dictionary or memory.
        """
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return ["nan", struct.pack("<d", value).hex()] if math.isnan(value) else value
        if type(value) is bytes:
            return ["bytes", value.hex()]
        if isinstance(value, np.generic) and not value.dtype.hasobject:
            return ["number", value.dtype.str, value.tobytes().hex()]
        if self._is_fixed(value):
            # A model of settings may be changed in its place.
            self.fixed[place] = deepcopy(value) if isinstance(value, BaseModel) else value
            return ["fixed"]
        if isinstance(value, Tensor):
            return self._pack_tensor(value, place)
        if type(value) is np.ndarray:
            return self._pack_array(value, place)
        for kind, made in _LISTS.items():
            if type(value) is made:
                self._refuse_second(id(value), place, unless=not value or kind == "tuple")
                return [kind, [self.pack(x, f"{place}[{n}]") for n, x in enumerate(value)]]
        for kind, made in _DICTS.items():
            if type(value) is made:
                self._refuse_second(id(value), place, unless=False)
                pairs = [
                    [self.pack(k, f"a key of {place}"), self.pack(x, f"{place}[{k!r}]")]
                    for k, x in value.items()
                ]
                return [kind, pairs]
        if gives_state(value):
            self._refuse_second(id(value), place, unless=False)
            # What it gives may be one tensor under two names, as it knows by itself.
            inner = Packing(self.tensors, own=set())
            inner.seen = _Forgetful()
            return ["state", inner.pack(dict(value.state_dict()), f"{place}.state_dict()")]
        raise NotPlain(place, _why_not(value))

    def _is_fixed(self, value: Any) -> bool:
        if isinstance(value, Tensor):
            return value.layout == torch.strided and value.untyped_storage().data_ptr() in self.own
        parameters = getattr(type(value), "__dataclass_params__", None)
        frozen = parameters is not None and parameters.frozen
        named = isinstance(value, tuple) and hasattr(value, "_fields")
        return isinstance(value, _FIXED) or id(value) in self.own or frozen or named

    def _refuse_second(self, address: int, place: str, *, unless: bool) -> None:
        """Two names for one thing would be two things after a resume."""
        first = self.seen.setdefault(address, place)
        if first != place and not unless:
            raise NotPlain(place, f"the same object as {first}; keep a copy, or one name for it")

    def _put(self, tensor: Tensor) -> str:
        name = str(len(self.tensors))
        self.tensors[name] = tensor.contiguous().reshape(-1).view(torch.uint8)
        return name

    def _pack_tensor(self, value: Tensor, place: str) -> Any:
        kind = type(value).__name__
        if _TENSORS.get(kind) is not type(value) or value.layout != torch.strided:
            raise NotPlain(place, f"a tensor of the kind {kind}, {value.layout}")
        if value.grad_fn is not None:
            raise NotPlain(place, "a tensor that hangs on a step's gradients: keep its .detach()")
        plain = value.detach().as_subclass(Tensor).resolve_conj().resolve_neg()
        self._refuse_second(
            plain.untyped_storage().data_ptr(), place, unless=not plain.untyped_storage().nbytes()
        )
        # Its order in memory decides last bits of what is computed from it.
        order = sorted(range(plain.dim()), key=lambda at: (-plain.stride()[at], at))
        dtype = str(plain.dtype).removeprefix("torch.")
        about = [kind, dtype, list(plain.shape), order, str(plain.device), value.requires_grad]
        return ["tensor", self._put(plain.permute(order)), *about]

    def _pack_array(self, value: np.ndarray, place: str) -> Any:
        if value.dtype.hasobject or value.dtype.names:
            raise NotPlain(place, f"an array of {value.dtype}")
        root = value
        while isinstance(root.base, np.ndarray):
            root = root.base
        self._refuse_second(root.__array_interface__["data"][0], place, unless=not value.size)
        order: Literal["C", "F"] = (
            "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
        )
        content = torch.frombuffer(
            bytearray(value.tobytes(order)) or bytearray(1), dtype=torch.uint8
        )
        name = self._put(content)
        return ["array", name, value.dtype.str, list(value.shape), order]


class _Forgetful(dict[int, str]):
    """Has met nothing."""

    def setdefault(self, _key: int, default: Any = None, /) -> Any:
        return default


class Absent(Exception):
    """What a checkpoint has a state of, or refers to, is not there."""


def unpack(code: Any, tensors: Mapping[str, Tensor], current: Any) -> Any:
    """The value that was packed.

    Args:
        code: From `Packing.pack`.
        tensors: Those that it put aside.
        current: What now stands in its place. Of code this is the answer; an object that gives a
            state gets it back.

    Raises:
        Absent: There is no such object.
    """
    if not isinstance(code, list):
        return code
    kind, *rest = code
    if kind == "fixed":
        if current is _NOTHING:
            raise Absent
        return current
    if kind == "state":
        if not gives_state(current):
            raise Absent
        current.load_state_dict(unpack(rest[0], tensors, _NOTHING))
        return current
    if kind in _LISTS:
        items = current if isinstance(current, (list, tuple, L)) else ()
        now = [items[n] if n < len(items) else _NOTHING for n in range(len(rest[0]))]
        return _LISTS[kind]([unpack(x, tensors, y) for x, y in zip(rest[0], now, strict=True)])
    if kind in _DICTS:
        found = current if isinstance(current, dict) else {}
        keys = [unpack(k, tensors, _NOTHING) for k, _ in rest[0]]
        values = [
            unpack(x, tensors, found.get(k, _NOTHING))
            for k, (_, x) in zip(keys, rest[0], strict=True)
        ]
        return _DICTS[kind](zip(keys, values, strict=True))
    return _SIMPLE[kind](tensors, *rest)


def gives_state(value: Any) -> bool:
    """Whether an object says itself what its state is.

    Its class does: a callback answers for its learner's attributes too.
    """
    names = ("state_dict", "load_state_dict")
    return all(callable(getattr(type(value), name, None)) for name in names)


def nothing_there() -> Any:
    """What `unpack` takes for nothing in a value's place."""
    return _NOTHING


_NOTHING = object()


def _tensor(
    tensors: Mapping[str, Tensor],
    name: str,
    kind: str,
    dtype: str,
    shape: list[int],
    order: list[int],
    device: str,
    requires_grad: bool,
) -> Tensor:
    # A copy begins where a number of any size may begin, which a part of a file need not.
    flat = tensors[name].clone().view(getattr(torch, dtype))
    back = sorted(range(len(order)), key=order.__getitem__)
    plain = flat.reshape([shape[at] for at in order]).permute(back).to(device)
    if kind == "Parameter":
        return nn.Parameter(plain, requires_grad)
    return plain.as_subclass(_TENSORS[kind]).requires_grad_(requires_grad)


def _array(
    tensors: Mapping[str, Tensor], name: str, dtype: str, shape: list[int], order: Any
) -> np.ndarray:
    content = tensors[name].numpy().tobytes()
    count = math.prod(shape)
    flat = np.frombuffer(content, dtype, count=count).copy()
    return flat.reshape(shape, order=order)


_SIMPLE: dict[str, Callable[..., Any]] = {
    "nan": lambda _, bits: struct.unpack("<d", bytes.fromhex(bits))[0],
    "bytes": lambda _, content: bytes.fromhex(content),
    "number": lambda _, dtype, content: np.frombuffer(bytes.fromhex(content), dtype)[0],
    "tensor": _tensor,
    "array": _array,
}


def _why_not(value: Any) -> str:
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    if isinstance(value, _GENERATORS):
        return (
            f"a generator of its own ({kind}): draw with the functions of random, numpy.random or "
            "torch, whose generators are set from a key"
        )
    if isinstance(value, _SETS):
        return "a set, which has no order that could be kept: a dictionary or a list has"
    return f"of the class {kind}"
