"""requirements.lock, read strictly: versions with hashes, wheels of the project, nothing else.

Whoever installs from a lock does what it says. So it may say little: an option (another index, an
editable folder), an address or a requirement without a hash is no line of a lock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import InvalidMarker, Marker
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from twinrun.errors import InputError, shorten
from twinrun.files import read_text

FIX = "Bring back what was committed, or write the lock anew with `nox -s lock`."

_LINE = re.compile(
    r"(?:(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==(?P<version>[A-Za-z0-9.!+]+)"
    r"(?: ?; ?(?P<marker>[ -~]+?))?"
    r"|\./(?P<wheel>vendor/[A-Za-z0-9._+-]+\.whl))"
    r"(?P<hashes>(?: +--hash=sha256:[0-9a-f]{64})+)"
)
_MAY_HOLD = (
    "A lock may hold name==version ; marker --hash=sha256:..., and ./vendor/WHEEL --hash=sha256:..."
)


@dataclass(frozen=True)
class Locked:
    """A line of a lock: a version of a package, or a wheel of the project.

    Attributes:
        name: Of the package, as all its spellings are one.
        version: Of the package.
        marker: For which systems and Pythons it is; empty for all.
        hashes: The SHA-256 that its file may have.
        place: Of a wheel of the project, as `git ls-files` names it; empty for a package of an
            index.
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    place: str = ""

    @property
    def is_engine(self) -> bool:
        """Whether it is a wheel of Twinrun, by its name."""
        return bool(self.place) and self.name == "twinrun"

    @property
    def applies(self) -> bool:
        """Whether it is for this system and Python."""
        return not self.marker or Marker(self.marker).evaluate()

    def __str__(self) -> str:
        return self.place or f"{self.name}=={self.version}"

    def line(self, project: Path) -> str:
        """It as an installer reads it, in a lock that may lie anywhere.

        Args:
            project: The folder that holds its wheel.
        """
        what = str(project.absolute() / self.place) if self.place else str(self)
        marker = f" ; {self.marker}" if self.marker else ""
        return " ".join([f"{what}{marker}", *(f"--hash=sha256:{each}" for each in self.hashes)])


def read_lock(lock: Path) -> tuple[Locked, ...]:
    """The lines of a requirements.lock.

    Raises:
        FileNotFoundError: There is none.
        InputError: It is no text in UTF-8, cannot be read, or holds what no lock may hold; all such
            lines are named.
    """
    return parse_lock(read_text(lock, fix=FIX), lock.name)


def parse_lock(text: str, name: str) -> tuple[Locked, ...]:
    """The lines of a lock.

    Args:
        text: Of the lock.
        name: Of its file, for an error.

    Raises:
        InputError: As `read_lock`.
    """
    found, faults = [], []
    # Only what ends a line for an installer too: `splitlines` knows more ends.
    lines = text.replace("\r\n", "\n").replace("\\\n", " ").split("\n")
    for line in lines:
        if line.strip(" \t") and not line.lstrip(" \t").startswith("#"):
            locked = _parse(line)
            if locked is None:
                faults.append(" ".join(line.split())[:200])
            else:
                found.append(locked)
    if faults:
        raise InputError(
            f"{name} holds what no lock may hold:",
            details=shorten(faults),
            fix=f"{_MAY_HOLD}\n{FIX}",
        )
    return tuple(found)


def _parse(line: str) -> Locked | None:
    found = _LINE.fullmatch(re.sub("[ \t]+", " ", line).rstrip(" "))
    if found is None:
        return None
    hashes = tuple(re.findall(r"[0-9a-f]{64}", found["hashes"]))
    marker, wheel = found["marker"] or "", found["wheel"] or ""
    try:
        if wheel:
            name, version, *_ = parse_wheel_filename(wheel.rpartition("/")[2])
            return Locked(name, str(version), "", hashes, wheel)
        Version(found["version"])
        if marker:
            Marker(marker)
    except (InvalidWheelFilename, InvalidVersion, InvalidMarker):
        return None
    return Locked(canonicalize_name(found["name"]), found["version"], marker, hashes)


def unlike(lock: Iterable[Locked], own: Iterable[Locked]) -> list[Locked]:
    """What of a lock another one does not hold: the version, and every file that may be taken.

    Wheels of Twinrun are left out: which engine one is, its source tells.

    Args:
        lock: Of a stranger.
        own: The one that is trusted.
    """
    known: dict[tuple[str, str], set[str]] = {}
    for each in own:
        known.setdefault((each.name, each.version), set()).update(each.hashes)
    return [
        each
        for each in lock
        if not each.is_engine
        and (each.place or not set(each.hashes) <= known.get((each.name, each.version), set()))
    ]
