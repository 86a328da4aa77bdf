"""Values that users' code keeps: as tensors and JSON that a checkpoint can hold."""

from __future__ import annotations

import enum
import math
import random
import struct
import types
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from twinrun.hooks.calls import telling_mistakes
from twinrun.train.insides import attributes_of_module
from twinrun.train.records import (
    class_name,
    find_class,
    is_frozen,
    is_record,
    values_of,
    why_not_again,
)
from twinrun.train.unpacking import DICTS, LISTS, TENSORS, gives_state

# What code is made of, and what says how it works: no part of a state.
_FIXED = (
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
    partial,
    np.ufunc,
    torch.distributions.Distribution,
    BaseModel,
)
# The same as long as they are what they were at the start, and a state as a text is where not.
_NAMED = {torch.dtype: "dtype", torch.device: "device", np.dtype: "kind", PurePath: "path"}
_GENERATORS = (random.Random, np.random.Generator, np.random.RandomState, torch.Generator)
_SETS = (set, frozenset)
_FROZEN = (tuple, torch.Size)
_COLLECTIONS = {made: kind for kind, made in (LISTS | DICTS).items()}


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
        objects: Where objects were met that say themselves what their state is.
        asks: Whether these are asked for it; else None stands for the state of each.
        begun: What was met of `fixed` as the training began; None: it begins now.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    fixed: dict[str, Any] = field(default_factory=dict)
    own: set[int] = field(default_factory=set)
    seen: dict[int, str] = field(default_factory=dict)
    objects: set[str] = field(default_factory=set)
    asks: bool = True
    begun: Mapping[str, Any] | None = None

    def pack(self, value: Any, place: str) -> Any:
        """A value as JSON, its tensors put aside.

        Args:
            value: Number, text, None, bytes, tensor, NumPy's array or number, member of an
                enumeration; list, tuple, dictionary, named tuple or dataclass of such; an object
                with `state_dict` and `load_state_dict`; code.
            place: How it is called in messages.

        Raises:
            NotPlain: It is something else, or two places hold the same list, dictionary or memory.
            InputError: As `pack_state`.
        """
        if value is None or type(value) in (bool, int, str):
            return value
        if (scalar := _pack_scalar(value)) is not None:
            return scalar
        name = next((_NAMED[each] for each in _NAMED if isinstance(value, each)), "")
        is_new = self.begun is not None and self.begun.get(place) != value
        # One of several fields is more than its text.
        if name and is_new and getattr(value, "names", None) is None:
            return ["named", name, value.str if name == "kind" else str(value)]
        if name or self._is_fixed(value):
            # A model of settings may be changed in its place.
            self.fixed[place] = deepcopy(value) if isinstance(value, BaseModel) else value
            return ["fixed"]
        if isinstance(value, Tensor):
            return self._pack_tensor(value, place)
        if type(value) is np.ndarray:
            return self._pack_array(value, place)
        if type(value) in _COLLECTIONS:
            return self._pack_collection(value, place)
        if gives_state(value):
            self._refuse_second(id(value), place, unless=False)
            self.objects.add(place)
            state = self.pack_state(value, f"{place}.state_dict()")
            if isinstance(value, nn.Module):
                return ["module", state, self._pack_attributes(value, place)]
            return ["state", state]
        if is_record(value):
            return self._pack_record(value, place)
        raise NotPlain(place, _why_not(value))

    def _pack_collection(self, value: Any, place: str) -> Any:
        kind = _COLLECTIONS[type(value)]
        empty = kind in LISTS and not value
        self._refuse_second(id(value), place, unless=empty or type(value) in _FROZEN)
        if kind in LISTS:
            return [kind, [self.pack(each, f"{place}[{n}]") for n, each in enumerate(value)]]
        items = value.items()
        return [kind, [[_pack_key(k, place), self.pack(x, f"{place}[{k!r}]")] for k, x in items]]

    def pack_state(self, thing: Any, place: str) -> Any:
        """What an object says its state is, as JSON.

        Raises:
            NotPlain: As `pack`; or it is no dictionary, or holds code, which nothing stands for at
                a resume.
            InputError: Its code raises an error, told as the user's.
        """
        if not self.asks:
            return None
        with telling_mistakes():
            state = thing.state_dict()
        if not isinstance(state, Mapping):
            raise NotPlain(place, f"of the class {_kind_of(state)}, and a state is a dictionary")
        # It may be one tensor under two names, as the object knows by itself.
        inner = Packing(self.tensors)
        inner.seen = _Forgetful()
        code = inner.pack(dict(state), place)
        for where in (*inner.fixed, *inner.objects):
            raise NotPlain(where, "code or an object, and a state is made of values alone")
        return code

    def pack_dictionary(self, values: Mapping[str, Any], place: str) -> Any:
        """Values by name as JSON, each of them a place of its own."""
        return [
            "dict",
            [[name, self.pack(each, f"{place}{name}")] for name, each in values.items()],
        ]

    def note_memory(self, tensor: Tensor, place: str) -> None:
        """Take a tensor's memory as met, whose content is kept elsewhere.

        Raises:
            NotPlain: It was met before.
        """
        memory = tensor.untyped_storage()
        self._refuse_second(memory.data_ptr(), place, unless=not memory.nbytes())

    def _pack_attributes(self, module: nn.Module, place: str) -> Any:
        """What stands in no state of a module that an object holds, of all the modules in it."""
        found = []
        for name, each in module.named_modules():
            where = f"{place}.{name}" if name else place
            values = attributes_of_module(each)
            if values:
                packed = [[key, self.pack(x, f"{where}.{key}")] for key, x in values.items()]
                found.append([name, packed])
        return found

    def _pack_record(self, value: Any, place: str) -> Any:
        if reason := why_not_again(value):
            raise NotPlain(place, reason)
        self._refuse_second(id(value), place, unless=is_frozen(value))
        values = values_of(value).items()
        packed = [[name, self.pack(each, f"{place}.{name}")] for name, each in values]
        return ["record", class_name(type(value)), packed]

    def _is_fixed(self, value: Any) -> bool:
        if isinstance(value, Tensor):
            return value.layout == torch.strided and value.untyped_storage().data_ptr() in self.own
        return isinstance(value, _FIXED) or id(value) in self.own

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
        if TENSORS.get(kind) is not type(value) or value.layout != torch.strided:
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


def _pack_scalar(value: Any) -> Any:
    """A number, bytes or a member of an enumeration as JSON; None: it is something else."""
    if type(value) is float:
        return ["nan", struct.pack("<d", value).hex()] if math.isnan(value) else value
    if type(value) is complex:
        return ["complex", struct.pack("<dd", value.real, value.imag).hex()]
    if type(value) is bytes:
        return ["bytes", value.hex()]
    if isinstance(value, enum.Enum) and value.name in getattr(
        find_class(class_name(type(value))), "__members__", ()
    ):
        return ["enum", class_name(type(value)), value.name]
    if isinstance(value, np.generic) and not value.dtype.hasobject:
        return ["number", value.dtype.str, value.tobytes().hex()]
    return None


def _pack_key(key: Any, place: str) -> Any:
    where, alone = f"a key of {place}", Packing(asks=False)
    code = alone.pack(key, where)
    if alone.fixed or alone.objects or alone.tensors:
        raise NotPlain(where, f"of the class {type(key).__name__}: take a text or a number for it")
    return code


class _Forgetful(dict[int, str]):
    """Has met nothing."""

    def setdefault(self, _key: int, default: Any = None, /) -> Any:
        return default


def _kind_of(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _why_not(value: Any) -> str:
    if isinstance(value, _GENERATORS):
        return (
            f"a generator of its own ({_kind_of(value)}): draw with the functions of random, "
            "numpy.random or torch, whose generators are set from a key"
        )
    if isinstance(value, _SETS):
        return "a set, which has no order that could be kept: a dictionary or a list has"
    return f"of the class {_kind_of(value)}"
