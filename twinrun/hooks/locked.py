"""The packages that a competitor's code imports: installed, and named by the project's lock."""

from __future__ import annotations

import re
from collections.abc import Iterable
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
from twinrun.hooks.reach import Reached

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
