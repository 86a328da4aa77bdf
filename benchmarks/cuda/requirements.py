"""Which packages the engine needs, which of them are here, and which a folder of wheels can add.

The standard library alone, and `packaging`, which every pip brings: this runs where nothing of the
engine's is installed yet.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.parser import Parser
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

__all__ = ["Requirement", "canonicalize_name"]

if TYPE_CHECKING:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name
    from packaging.version import Version
else:
    try:
        from packaging.requirements import InvalidRequirement, Requirement
        from packaging.utils import canonicalize_name
        from packaging.version import Version
    except ImportError:
        from pip._vendor.packaging.requirements import InvalidRequirement, Requirement
        from pip._vendor.packaging.utils import canonicalize_name
        from pip._vendor.packaging.version import Version

# fastai names it for its text models, of which nothing is imported here.
NEVER_IMPORTED = frozenset({"spacy"})


@dataclass
class Resolved:
    """What becomes of each package that is needed.

    Attributes:
        kept: Versions of the system's packages that do, by name.
        taken: Wheels of the folder, by name.
        missing: A line for each that is neither here nor in the folder.
        unmet: A line for each that is here in a version that somebody did not ask for, where the
            folder has none that does.
    """

    kept: dict[str, str] = field(default_factory=dict)
    taken: dict[str, Path] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unmet: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Wheel:
    """A wheel in a folder: its name, its version and what it needs, as its METADATA says."""

    path: Path
    name: str
    version: Version
    needs: tuple[str, ...]


def read_wheels(folder: Path) -> dict[str, Wheel]:
    """The wheels of a folder by name; of several of one name the newest."""
    found: dict[str, Wheel] = {}
    for path in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(path) as archive:
            (place,) = (
                name
                for name in archive.namelist()
                if name.count("/") == 1 and name.endswith(".dist-info/METADATA")
            )
            head = Parser().parsestr(archive.read(place).decode("utf-8"))
        name = canonicalize_name(head["Name"])
        needs = tuple(head.get_all("Requires-Dist", []))
        wheel = Wheel(path, name, Version(head["Version"]), needs)
        if name not in found or found[name].version < wheel.version:
            found[name] = wheel
    return found


def resolve(
    asked: Iterable[str],
    wheels: Mapping[str, Wheel],
    installed: Callable[[str], str | None] | None = None,
) -> Resolved:
    """Decide for each package that is needed: the system's, or the folder's.

    What the system has in a version that does is kept, and what that needs is the system's own
    affair. What it lacks, or has in another version, is taken from the folder with all its needs.

    Args:
        asked: Requirements, such as "pandas>=2.2".
        wheels: From `read_wheels`.
        installed: The version of a package that can be imported, or None; asks this interpreter
            when None.
    """
    installed = installed or version_here
    found, waiting = Resolved(), [(each, "the command") for each in asked]
    while waiting:
        text, whose = waiting.pop(0)
        need = _applying(text)
        if need is None or (name := canonicalize_name(need.name)) in NEVER_IMPORTED:
            continue
        here, wheel = installed(name), wheels.get(name)
        if name in found.taken:
            _note_unmet(found, need, str(wheels[name].version), whose)
        elif here is not None and need.specifier.contains(here, prereleases=True):
            found.kept[name] = here
        elif wheel is not None and need.specifier.contains(wheel.version, prereleases=True):
            found.kept.pop(name, None)
            found.taken[name] = wheel.path
            waiting += [(each, name) for each in wheel.needs]
        elif here is not None:
            found.kept[name] = here
            _note_unmet(found, need, here, whose)
        else:
            found.missing.append(f"{need.name}{need.specifier}, which {whose} needs")
    return found


def version_here(name: str) -> str | None:
    """The version of a package of this interpreter; None: there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def closure(
    asked: Iterable[str], environment: Mapping[str, str], *, without: frozenset[str]
) -> set[str]:
    """The names of all packages that some need, as this interpreter's own metadata has it.

    Args:
        asked: Requirements.
        environment: Values of markers, such as {"python_version": "3.12"}.
        without: Names that are left out, with what only they need.
    """
    names: set[str] = set()
    waiting = list(asked)
    while waiting:
        need = _applying(waiting.pop(), environment)
        if need is None:
            continue
        name = canonicalize_name(need.name)
        if name not in names | without | NEVER_IMPORTED:
            names.add(name)
            waiting += metadata.requires(name) or []
    return names


def _applying(text: str, environment: Mapping[str, str] | None = None) -> Requirement | None:
    """A requirement; None where its marker leaves it out, or is of an extra."""
    try:
        need = Requirement(text)
    except InvalidRequirement:
        return None
    wanted = {"extra": "", **(environment or {})}
    return None if need.marker and not need.marker.evaluate(wanted) else need


def _note_unmet(found: Resolved, need: Requirement, version: str, whose: str) -> None:
    if not need.specifier.contains(version, prereleases=True):
        line = f"{need.name} {version} is here; {whose} asks for {need.specifier}"
        if line not in found.unmet:
            found.unmet.append(line)
