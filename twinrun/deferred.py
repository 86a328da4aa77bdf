"""Imports that wait: what libraries import with themselves and a training never calls.

torchvision asks torch's compiler whether it can compile one of its operators; fastai takes one
function of scikit-learn and offers its metrics and SciPy's. Together they take as long to import as
all that a training needs. Neither library can be told to do without, so while such a module is
imported it is given stand-ins, which import the real thing when they are used. Nothing else ever
sees a stand-in, and no bit of a training depends on one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

# By importing module: what it imports at its start, and the functions that it takes from there. Of
# a module without functions it takes the module itself.
DEFERRED: dict[str, dict[str, tuple[str, ...]]] = {
    "fastai.data.transforms": {"sklearn.model_selection": ("train_test_split",)},
    "fastai.imports": {"scipy.ndimage": ()},
    "fastai.interpret": {"sklearn.metrics": ()},
    "fastai.metrics": {"scipy.stats": (), "sklearn.metrics": ()},
    "torchvision.ops.roi_align": {"torch._dynamo.utils": ("is_compile_supported",)},
}


_WANTED = {name for wanted in DEFERRED.values() for name in wanted}


def defer_imports() -> None:
    """Let the modules of DEFERRED that are imported from now on be imported without the rest."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds the modules of DEFERRED, where they are."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in DEFERRED:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Lightened(spec.loader)
        return spec


class _Lightened(Loader):
    """A module's own loader, which finds stand-ins while it runs the module."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # From here on the module is like any other.
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        with _stand_ins(DEFERRED[module.__name__]):
            self.loader.exec_module(module)


@contextmanager
def _stand_ins(wanted: dict[str, tuple[str, ...]]) -> Iterator[None]:
    """Let stand-ins be imported in place of what is not imported yet, in all threads."""
    placed: dict[str, ModuleType] = {}
    for name, functions in wanted.items():
        if name in sys.modules:
            continue
        placed[name] = _StandIn(name)
        for function in functions:
            setattr(placed[name], function, _called_later(name, function))
        # `import a.b as c` takes b from a.
        child = name
        while (parent := child.rpartition(".")[0]) and parent not in sys.modules:
            stand_in = placed.setdefault(parent, _StandIn(parent))
            setattr(stand_in, child.rpartition(".")[2], placed[child])
            child = parent
    sys.modules.update(placed)
    try:
        yield
    finally:
        for name, stand_in in placed.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]


class _StandIn(ModuleType):
    """A module that is imported when something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        # The import system asks whatever it takes names from, whether that is a package. What only
        # stands above the one that is wanted may say so: its other modules can then be imported.
        if name == "__path__" and self.__name__ in _WANTED:
            raise AttributeError(name)
        return getattr(_real_module(self.__name__), name)


def _real_module(name: str) -> ModuleType:
    """The module that one stands in for."""
    for other, module in list(sys.modules.items()):
        if isinstance(module, _StandIn):
            del sys.modules[other]
    return import_module(name)


def _called_later(module: str, name: str) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        return getattr(_real_module(module), name)(*arguments, **options)

    return call
