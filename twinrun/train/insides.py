"""What a competitor's code keeps beside its text: in closures, defaults, classes and modules."""

from __future__ import annotations

import enum
import itertools
import random
import sys
import types
from collections import deque
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor, nn

from twinrun.hooks.loading import modules_in_use
from twinrun.hooks.mistakes import is_own_file, place_of

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
Own = frozenset[int] | set[int]


def insides(value: Any, place: str, own: Own) -> Iterator[tuple[str, int]]:
    """(place, digest) of each thing that a piece of code keeps.

    Args:
        value: A function, a method, a class, an object that is called, or such with arguments
            (`functools.partial`).
        place: How it is called in messages.
        own: Ids of objects and addresses of memory that are kept elsewhere; they do not count.
    """
    if id(value) in own:
        return
    for name, each in _parts(value, place):
        yield name, _digest(each, own)


def insides_of_modules(files: Collection[str], own: Own) -> Iterator[tuple[str, int]]:
    """(place, digest) of each thing that modules of the code in use keep: hooks.py first.

    Args:
        files: Of the modules, as `modules_in_use` names them.
        own: As for `insides`.
    """
    for file, module in modules_in_use().items():
        if file not in files:
            continue
        for name, value in list(vars(module).items()):
            if name.startswith("__") or isinstance(value, types.ModuleType):
                continue
            place = f"`{name}` of {file}"
            if isinstance(value, (type, types.FunctionType)):
                if value.__module__ == module.__name__:
                    yield from insides(value, place, own)
            else:
                yield place, _digest(value, own)


def is_theirs(thing: Any) -> bool:
    """Whether a class or function stands in a file of the competitor's code."""
    if isinstance(thing, types.FunctionType):
        return is_own_file(thing.__code__.co_filename)
    return is_own_file(getattr(sys.modules.get(thing.__module__), "__file__", None) or "")


def attributes(thing: Any) -> dict[str, Any]:
    """The attributes of an object itself, those in slots too."""
    found: dict[str, Any] = {}
    for kind in reversed(type(thing).__mro__):
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(thing, name):
                found[name] = getattr(thing, name)
    found |= getattr(thing, "__dict__", {})
    # What fastcore's `store_attr` notes a second time.
    found.pop("__stored_args__", None)
    return found


def attributes_of_module(module: nn.Module) -> dict[str, Any]:
    """What a module keeps that stands in no state of it; of a library's its numbers and texts."""
    return own_values(module) if is_theirs(type(module)) else plain_values(module)


def own_values(module: nn.Module) -> dict[str, Any]:
    """The attributes of a module that not every one has, and buffers that no file of it has."""
    buffers = {key: module._buffers[key] for key in module._non_persistent_buffers_set}
    return _beside_every_module(module) | buffers


def plain_values(layer: nn.Module) -> dict[str, Any]:
    """The numbers and texts of a library's layer, such as the share that a Dropout drops."""
    found = _beside_every_module(layer).items()
    return {name: each for name, each in found if isinstance(each, (bool, int, float, str))}


def _beside_every_module(module: nn.Module) -> dict[str, Any]:
    return {name: each for name, each in vars(module).items() if name not in _OF_EVERY_MODULE}


def _parts(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """(place, value) of what a piece of code keeps."""
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    if isinstance(value, types.MethodType):
        yield from _parts(value.__func__, place)
        yield f"{place}: the object that it is a method of", value.__self__
    elif isinstance(value, partial):
        yield from _parts(value.func, place)
        for number, each in enumerate(value.args, 1):
            yield f"{place}: argument {number} of its partial", each
        for name, each in value.keywords.items():
            yield f"{place}: argument `{name}` of its partial", each
    elif isinstance(value, types.FunctionType):
        if is_theirs(value):
            yield from _parts_of_function(value, _with_line(place, value))
    elif isinstance(value, type):
        if is_theirs(value) and not isinstance(value, enum.EnumMeta):
            yield from _parts_of_class(value, place)
    elif is_theirs(type(value)):
        for name, each in attributes(value).items():
            yield f"{place}: its attribute `{name}`", each


def _parts_of_function(function: types.FunctionType, place: str) -> Iterator[tuple[str, Any]]:
    code, cells = function.__code__, function.__closure__ or ()
    for name, cell in zip(code.co_freevars, cells, strict=True):
        try:
            content = cell.cell_contents
        except ValueError:  # nothing has been put into it yet, or it was deleted
            content = None
        yield f"{place}: `{name}` of the function around it", content
    names = code.co_varnames[: code.co_argcount][-len(function.__defaults__ or ()) :]
    for name, each in zip(names, function.__defaults__ or (), strict=False):
        yield f"{place}: the default of `{name}`", each
    for name, each in (function.__kwdefaults__ or {}).items():
        yield f"{place}: the default of `{name}`", each
    for name, each in vars(function).items():
        if name != "__wrapped__":
            yield f"{place}: its attribute `{name}`", each


def _parts_of_class(kind: type, place: str) -> Iterator[tuple[str, Any]]:
    for name, each in list(vars(kind).items()):
        if isinstance(each, (types.FunctionType, staticmethod, classmethod)):
            yield from _parts(each, f"{place}.{name}")
        elif not name.startswith("__") and name != "_abc_impl":
            yield f"{place}: the attribute `{name}` of the class", each


def _with_line(place: str, function: types.FunctionType) -> str:
    code = function.__code__
    return f"{place} ({place_of(code.co_filename, code.co_firstlineno)})"


def _digest(value: Any, own: Own) -> int:
    hasher = xxhash.xxh3_64()
    _feed(value, hasher.update, own, {})
    return hasher.intdigest()


def _feed(value: Any, update: Callable[[bytes], None], own: Own, seen: dict[int, Any]) -> None:
    """Digest a value and what it holds; of a library's objects only their class."""
    kind = type(value)
    update(f"{kind.__module__}.{kind.__qualname__}\n".encode())
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        update(repr(value).encode("utf-8", "surrogatepass"))
        return
    if id(value) in own or id(value) in seen:
        return
    seen[id(value)] = value  # kept, so that no other takes its address
    if isinstance(value, Tensor):
        if value.layout == torch.strided and value.untyped_storage().data_ptr() not in own:
            plain = value.detach().as_subclass(Tensor).resolve_conj().resolve_neg().cpu()
            update(repr((plain.dtype, plain.shape)).encode())
            update(plain.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, (np.ndarray, np.generic)) and not value.dtype.hasobject:
        update(repr((value.dtype, value.shape)).encode())
        update(value.tobytes())
    elif isinstance(value, (set, frozenset)):
        for digest in sorted(_digest(each, own) for each in value):
            update(str(digest).encode())
    else:
        for each in _held(value):
            _feed(each, update, own, seen)


def _held(value: Any) -> Iterator[Any]:
    """What a value holds, in an order of its own."""
    for kinds, held in _HELD:
        if isinstance(value, kinds):
            yield held(value)
            return
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield each
    elif isinstance(value, (list, tuple, deque)):
        yield from value
    elif isinstance(value, _CODE) or is_theirs(type(value)):
        yield id(getattr(value, "__code__", None))
        for _, each in _parts(value, ""):
            yield each


_CODE = (types.FunctionType, types.MethodType, partial, type)
# What objects of libraries hold that may change while they are used.
_HELD: list[tuple[Any, Callable[[Any], Any]]] = [
    (random.Random, lambda it: it.getstate()),
    (np.random.Generator, lambda it: it.bit_generator.state),
    ((np.random.RandomState, torch.Generator), lambda it: it.get_state()),
    (np.ndarray, lambda it: it.tolist()),
    (itertools.count, repr),
    (nn.Module, lambda it: [it.state_dict(), _beside_every_module(it)]),
]
