"""The packages that a competitor's code imports: installed, and named by the project's lock."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib.machinery import PathFinder
from importlib.metadata import (
    Distribution,
    PackageNotFoundError,
    distribution,
    packages_distributions,
)
from pathlib import Path
from typing import NamedTuple

from twinrun.errors import InputError
from twinrun.files import is_there, read_text
from twinrun.hooks.reach import Code, Reached

LOCK = "requirements.lock"
_LINE = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==", re.MULTILINE)


class Package(NamedTuple):
    """A package as its metadata tell."""

    name: str
    version: str


def find_packages(folder: Path, reached: Iterable[Reached]) -> dict[str, Package]:
    """The packages that bring what is imported, by the names of the imports.

    Args:
        folder: competition/; in the folder around it stands the lock, or there is none.
        reached: By the hooks.

    Raises:
        InputError: One is not installed, or the lock does not name it.
    """
    wanted: dict[str, tuple[str, int]] = {}
    for each in reached:
        wanted = {**each.packages, **wanted}
    lock = folder.parent / LOCK
    names = _named(lock) if wanted and is_there(lock) else None
    found: dict[str, Package] = {}
    mistakes = []
    for module, (file, line) in sorted(wanted.items()):
        place = f"{folder.name}/{file}, line {line}: imports {module}"
        package = _bringing(module)
        if package is None:
            mistakes.append(f"{place}, which is neither installed nor a file beside hooks.py")
            continue
        name, version = canonical(package.name), package.version
        if names is not None and name not in names:
            mistakes.append(f"{place}, of the package {name}, which {LOCK} does not name")
        found[module] = Package(name, version)
    if mistakes:
        raise InputError(
            f"{folder / 'hooks.py'}: imports of what is not locked",
            details=mistakes,
            fix="Bits are promised under the lock only. Name the package in pyproject.toml, then: "
            "nox -s lock",
        )
    return found


def refuse_hiding(code: Code) -> None:
    """Check that no file beside hooks.py has the name of a package: it would hide that from all.

    Raises:
        InputError: One has.
    """
    names = {name.removesuffix(".py").partition("/")[0] for name in code.texts} - {"hooks"}
    hiding = sorted(name for name in names if _is_elsewhere(name, code.folder))
    if hiding:
        raise InputError(
            f"{code.folder}: files that have the name of a package: {', '.join(hiding)}",
            fix="Give them other names, and import them by these.",
        )


def _is_elsewhere(name: str, folder: Path) -> bool:
    """Whether a module of this name comes from somewhere else than a competitor's folder."""
    if name in sys.stdlib_module_names:
        return True
    try:
        spec = PathFinder.find_spec(name)
    except (ImportError, ValueError):
        return False
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    found = [Path(place).resolve() for place in places if place]
    return bool(found) and not any(place.is_relative_to(folder.resolve()) for place in found)


def canonical(name: str) -> str:
    """A package's name as all its spellings are one."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _named(lock: Path) -> set[str]:
    return {canonical(name) for name in _LINE.findall(read_text(lock))}


def _bringing(module: str) -> Distribution | None:
    """The package that a module is of."""
    try:
        return distribution(module)
    except PackageNotFoundError:
        # Takes a while: it reads the lists of files of all packages.
        names = packages_distributions().get(module, [])
    return distribution(names[0]) if names else None
