"""The packages that decide bits: their versions as they are imported, not as they are installed."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from twinrun.errors import InputError

# Of every training. Beside them those that decide the networks' bits: the families name them.
PACKAGES = (
    "fastai",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "pillow",
    "safetensors",
    "torch",
)

# What is imported of a package, where its name does not say so.
_MODULES = {"opencv-python-headless": "cv2", "pillow": "PIL"}

# fastai and the families' packages take seconds to import: they are asked when a learner has been
# built. Until then they are told by the place that they would be imported from.
_QUICK = frozenset(PACKAGES) - {"fastai"}


@dataclass(frozen=True)
class Imported:
    """A package as it is imported.

    Attributes:
        package: Its name.
        module: What is imported of it.
        installed: The version that its metadata tell, the one that a lock names.
        version: The one that the module tells; None: it tells none, or is not imported yet.
        place: The module's folder; None: it has none.
        own: Whether that is where the package was installed.
    """

    package: str
    module: str
    installed: str
    version: str | None
    place: Path | None
    own: bool

    @property
    def is_installed(self) -> bool:
        """Whether what is imported is what was installed.

        A module may tell less of its version than its package does, or name the build besides.
        """
        if self.version is None:
            return self.own
        told, installed = (each.partition("+")[0] for each in (self.version, self.installed))
        return self.own and (installed == told or installed.startswith(f"{told}."))

    @property
    def words(self) -> str:
        """For the record: the installed version, or that something else is imported."""
        if self.is_installed:
            return self.installed
        return f"{self.version or 'a copy'} is imported, {self.installed} is installed"

    @property
    def warning(self) -> str:
        """For a reader: what is imported, from where, in place of what was installed."""
        return (
            f"{self.module} {self.version or ''}".rstrip()
            + f" is imported from {self.place}, not the {self.package} {self.installed} that is "
            "installed: another copy lies in front of it, and decides bits"
        )


def versions(more: Iterable[str] = ()) -> dict[str, str]:
    """The version of each package that decides bits, by name, sorted; see `Imported.words`.

    Args:
        more: Packages beside those of every training.

    Raises:
        InputError: A family of networks names one that is not installed.
    """
    return {each.package: each.words for each in imported_packages(more)}


def imported_packages(more: Iterable[str] = ()) -> list[Imported]:
    """Each package that decides bits, sorted by name.

    Args:
        more: As `versions`.

    Raises:
        InputError: A family of networks names one that is not installed.
    """
    from twinrun.networks.table import deciding_packages

    families = deciding_packages()
    found = []
    for name in sorted({*PACKAGES, *families, *more}):
        try:
            found.append(_ask(name))
        except PackageNotFoundError:
            raise InputError(
                f"{name} is not installed, which decides the bits of {families.get(name, 'all')}",
                fix=f"Install {name} as requirements.lock names it.",
            ) from None
    return found


def _ask(package: str) -> Imported:
    installed, home = _installed(package)
    name = _MODULES.get(package, package.replace("-", "_"))
    module: Any = import_module(name) if package in _QUICK else sys.modules.get(name)
    if module is None:
        spec = find_spec(name)
        origin = spec.origin if spec else None
    else:
        origin = getattr(module, "__file__", None)
    place = Path(origin).parent if origin else None
    return Imported(
        package,
        name,
        installed,
        getattr(module, "__version__", None),
        place,
        place is None or place.parent.resolve() == home,
    )


@functools.cache
def _installed(package: str) -> tuple[str, Path]:
    """A package's version and the folder that it was installed into, as its metadata tell."""
    found = distribution(package)
    return found.version, Path(str(found.locate_file(""))).resolve()
