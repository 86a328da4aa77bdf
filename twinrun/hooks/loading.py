"""A competitor's code, imported: from the bytes that were digested, one code at a time."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ValidationError

from twinrun.errors import InputError
from twinrun.hooks.mistakes import note_files, own_mistake
from twinrun.hooks.opened import watch
from twinrun.hooks.own_code import FILE, MODEL, OwnCode
from twinrun.registry import Registry, noting_additions

_MODULE = FILE.removesuffix(".py")


@dataclass
class _Loaded:
    """The code that this process has imported.

    Attributes:
        key: Of it; empty: none.
        module: hooks.py.
        names: Of the modules that it is.
        settings: The table [hooks] that is in use.
        additions: What it has added to tables of the engine.
        finder: By which its modules are found.
    """

    key: str = ""
    module: ModuleType | None = None
    names: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    additions: list[tuple[Registry[Any], str]] = field(default_factory=list)
    finder: _Finder | None = None


_now = _Loaded()


def unload_others(code: OwnCode) -> None:
    """Forget what is imported, unless it is this code."""
    if _now.key != code.key:
        unload()
        _now.key = code.key


def add_entry(table: Registry[Any], entry: Any) -> None:
    """Add an entry to a table of the engine, as long as the code is the one in use."""
    with noting_additions(_now.additions):
        table.add(entry)


def take_settings(settings: Mapping[str, Any]) -> None:
    """Take a table [hooks] as the one in use."""
    _now.settings = settings


def settings_in_use() -> Mapping[str, Any]:
    """The table [hooks] that is in use."""
    return _now.settings


def load(code: OwnCode) -> ModuleType:
    """hooks.py as a module; imported where this process has not imported the same already.

    What a different code had added to the engine's tables is taken out of them before.

    Raises:
        NegativeVerdict: It is the code of a run, and not what that was made with.
        InputError: It cannot be imported: file, line and the last lines of its own.
    """
    code.refuse_edited()
    unload_others(code)
    if _now.module is not None:
        return _now.module
    modules = {_module_name(name): name for name in code.texts}
    note_files([str(code.folder / name) for name in code.texts])
    allowed = [*code.texts, *code.files]
    watch(
        os.path.realpath(code.folder),
        frozenset(os.path.realpath(code.folder / name) for name in allowed),
    )
    _now.finder = _Finder(code, modules)
    sys.meta_path.insert(0, _now.finder)
    for name in modules:
        sys.modules.pop(name, None)
    _now.names = tuple(modules)
    try:
        with noting_additions(_now.additions):
            _now.module = importlib.import_module(_MODULE)
    except BaseException as error:
        unload()
        if mistake := own_mistake(error):
            raise mistake from error
        raise
    return _now.module


def modules_in_use() -> dict[str, ModuleType]:
    """The modules of the code that is imported, by their files: `hooks.py`, `parts/blur.py`."""
    modules = {} if _now.finder is None else _now.finder.modules
    return {file: sys.modules[name] for name, file in modules.items() if name in sys.modules}


def unload() -> None:
    """Forget the code that is imported, and take what it added out of the engine's tables."""
    global _now  # noqa: PLW0603  (modules of a process are one table)
    for registry, name in reversed(_now.additions):
        registry.remove(name)
    for name in _now.names:
        sys.modules.pop(name, None)
    if _now.finder in sys.meta_path:
        sys.meta_path.remove(_now.finder)
    watch("", frozenset())
    _now = _Loaded()


def check_settings(code: OwnCode, table: Mapping[str, Any]) -> Any:
    """The table [hooks] as hooks get it: as the class `Settings` of hooks.py, if there is one.

    Raises:
        ValidationError: The class refuses it.
        InputError: The code cannot be imported, or its `Settings` is no model of pydantic.
    """
    if not code.has_model:
        return dict(table)
    model = getattr(load(code), MODEL, None)
    if not isinstance(model, type) or not issubclass(model, BaseModel):
        raise InputError(
            f"{code.path}: `{MODEL}` is no model of pydantic",
            fix=f"Write it as `class {MODEL}(pydantic.BaseModel)`: it checks the table [hooks].",
        )
    try:
        return model.model_validate(dict(table))
    except ValidationError:
        raise
    except Exception as error:
        if mistake := own_mistake(error):
            raise mistake from error
        raise


def known_settings(code: OwnCode) -> list[str]:
    """The keys that the class `Settings` of hooks.py knows."""
    return list(getattr(load(code), MODEL).model_fields)


def _module_name(place: str) -> str:
    return place.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of a competitor's code, and compiles what was digested of them."""

    def __init__(self, code: OwnCode, modules: Mapping[str, str]) -> None:
        self.code, self.modules = code, modules

    def find_spec(
        self, fullname: str, *_: object, **__: object
    ) -> importlib.machinery.ModuleSpec | None:
        place = self.modules.get(fullname)
        if place is None:
            return None
        file = str(self.code.folder / place)
        package = place.endswith("__init__.py")
        spec = importlib.util.spec_from_loader(fullname, self, origin=file, is_package=package)
        if spec is not None:
            spec.has_location = True  # its __file__ is where it lies
        return spec

    def exec_module(self, module: ModuleType) -> None:
        file = str(self.code.folder / self.modules[module.__name__])
        text = self.code.texts[self.modules[module.__name__]]
        exec(compile(text, file, "exec"), vars(module))  # noqa: S102  (it is what was asked for)
