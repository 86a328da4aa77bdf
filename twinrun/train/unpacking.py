"""Values that users' code keeps, out of a checkpoint again: to the same bits."""

from __future__ import annotations

import math
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import fastai.torch_core
import numpy as np
import torch
from fastai.torch_core import L, TensorBase
from torch import Tensor, nn

from twinrun.hooks.calls import telling_mistakes
from twinrun.train.records import find_class, is_record, make_again, values_of

# How JSON values begin that stand for something else.
LISTS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "L": L,
    "size": torch.Size,
}
DICTS: dict[str, Callable[[Any], Any]] = {"dict": dict, "ordered": OrderedDict}
# fastai's own kinds of a tensor, by name.
TENSORS: dict[str, type[Tensor]] = {
    name: each
    for name, each in vars(fastai.torch_core).items()
    if isinstance(each, type) and issubclass(each, TensorBase)
} | {"Tensor": Tensor, "Parameter": nn.Parameter}
_NOTHING = object()


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
        Absent: There is no such object, or no such class.
        InputError: Code that gets its state back raises an error, told as the user's.
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
        give_state(current, rest[0], tensors)
        return current
    if kind == "named":
        # Which of several devices it is, a rank knows by itself.
        is_known = rest[0] == "device" and isinstance(current, torch.device)
        return current if is_known else _NAMED[rest[0]](rest[1])
    if kind == "module":
        return _module(rest, tensors, current)
    if kind in LISTS:
        items = current if isinstance(current, (list, tuple, L)) else ()
        now = [items[n] if n < len(items) else _NOTHING for n in range(len(rest[0]))]
        return LISTS[kind]([unpack(x, tensors, y) for x, y in zip(rest[0], now, strict=True)])
    if kind in DICTS:
        found = current if isinstance(current, dict) else {}
        keys = [unpack(k, tensors, _NOTHING) for k, _ in rest[0]]
        values = [
            unpack(x, tensors, found.get(k, _NOTHING))
            for k, (_, x) in zip(keys, rest[0], strict=True)
        ]
        return DICTS[kind](zip(keys, values, strict=True))
    if kind in ("record", "enum"):
        return _named(kind, rest, tensors, current)
    return _SIMPLE[kind](tensors, *rest)


def _module(rest: list[Any], tensors: Mapping[str, Tensor], current: Any) -> nn.Module:
    """A module that an object holds, with its state and what stands in none."""
    if not isinstance(current, nn.Module):
        raise Absent
    give_state(current, rest[0], tensors)
    modules = dict(current.named_modules())
    for name, values in rest[1]:
        if name not in modules:
            raise Absent
        module = modules[name]
        for key, code in values:
            held: Any = module._buffers if key in module._buffers else vars(module)
            held[key] = unpack(code, tensors, held.get(key, _NOTHING))
    return current


def give_state(thing: Any, code: Any, tensors: Mapping[str, Tensor]) -> None:
    """Give an object back what it said its state was.

    Args:
        thing: It, or one that was made anew.
        code: From `Packing.pack_state`.
        tensors: Those that were put aside.

    Raises:
        InputError: Its code raises an error, told as the user's.
    """
    state = unpack(code, tensors, _NOTHING)
    with telling_mistakes():
        thing.load_state_dict(state)


def gives_state(value: Any) -> bool:
    """Whether an object says itself what its state is.

    Its class does: a callback answers for its learner's attributes too.
    """
    names = ("state_dict", "load_state_dict")
    return all(callable(getattr(type(value), name, None)) for name in names)


def nothing_there() -> Any:
    """What `unpack` takes for nothing in a value's place."""
    return _NOTHING


def _named(kind: str, rest: list[Any], tensors: Mapping[str, Tensor], current: Any) -> Any:
    found: Any = find_class(rest[0])
    if found is None:
        raise Absent
    if kind == "enum":
        return found.__members__[rest[1]]
    now = values_of(current) if is_record(current) else {}
    values = {name: unpack(x, tensors, now.get(name, _NOTHING)) for name, x in rest[1]}
    return make_again(found, values)


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
    return plain.as_subclass(TENSORS[kind]).requires_grad_(requires_grad)


def _array(
    tensors: Mapping[str, Tensor], name: str, dtype: str, shape: list[int], order: Any
) -> np.ndarray:
    content = tensors[name].numpy().tobytes()
    count = math.prod(shape)
    flat = np.frombuffer(content, dtype, count=count).copy()
    return flat.reshape(shape, order=order)


_NAMED: dict[str, Callable[[str], Any]] = {
    "dtype": lambda text: getattr(torch, text.removeprefix("torch.")),
    "device": torch.device,
    "kind": np.dtype,
    "path": Path,
}
_SIMPLE: dict[str, Callable[..., Any]] = {
    "nan": lambda _, bits: struct.unpack("<d", bytes.fromhex(bits))[0],
    "complex": lambda _, bits: complex(*struct.unpack("<dd", bytes.fromhex(bits))),
    "bytes": lambda _, content: bytes.fromhex(content),
    "number": lambda _, dtype, content: np.frombuffer(bytes.fromhex(content), dtype)[0],
    "tensor": _tensor,
    "array": _array,
}
