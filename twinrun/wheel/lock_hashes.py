"""A script of `nox -s lock`: keeps in a lock the hashes of files that can be installed.

A registry lists the files of every Python and system, two thirds of them for none that is
supported. Without their hashes a lock is a third as long, and each version of the engine carries
two locks.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Collection
from pathlib import Path

# CPython's minor versions that `requires-python` names; Windows is supported through WSL only.
_MINORS = (11, 12, 13)
_WINDOWS = ("win", "cygwin", "mingw")
_HASH = re.compile(r"--hash=(sha256:[0-9a-f]+)")


def main(lock: str, files: str) -> None:
    """Rewrite a lock.

    Args:
        lock: A file that `uv pip compile --generate-hashes` wrote.
        files: The same packages as pylock.toml (PEP 751), which knows the file of each hash.
    """
    described = tomllib.loads(Path(files).read_text(encoding="utf-8"))
    useful = set()
    for package in described["packages"]:
        wheels = [
            wheel
            for wheel in package.get("wheels", [])
            if is_supported(wheel.get("name") or wheel["url"].rsplit("/", 1)[-1])
        ]
        sources = [package["sdist"]] if "sdist" in package else []
        useful |= {f"sha256:{file['hashes']['sha256']}" for file in (*wheels, *sources)}
    path = Path(lock)
    path.write_text(keep(path.read_text(encoding="utf-8"), useful), encoding="utf-8")


def is_supported(wheel: str) -> bool:
    """Whether a supported Python on a supported system can install a wheel, by its file name."""
    python, abi, platform = wheel.removesuffix(".whl").split("-")[-3:]
    if all(each.startswith(_WINDOWS) for each in platform.split(".")):
        return False
    pythons = [re.fullmatch(r"(py|cp)(\d)(\d*)", each) for each in python.split(".")]
    minors = [
        (found[1], int(found[3] or 0)) for found in pythons if found is not None and found[2] == "3"
    ]
    if abi == "none":
        return any(
            minor <= max(_MINORS) if kind == "py" else minor in _MINORS for kind, minor in minors
        )
    if "abi3" in abi.split("."):
        return any(kind == "cp" and minor <= max(_MINORS) for kind, minor in minors)
    return bool({f"cp3{minor}" for minor in _MINORS} & set(abi.split(".")))


def keep(lock: str, useful: Collection[str]) -> str:
    """A lock with these hashes only; an entry with none of them, as the engine's, stays whole."""

    def shorten(found: re.Match[str]) -> str:
        hashes = _HASH.findall(found[2])
        kept = [each for each in hashes if each in useful] or hashes
        return found[1] + "".join(f" \\\n    --hash={each}" for each in kept) + "\n"

    return re.sub(r"^(\S.*?)((?: \\\n    --hash=\S+)+)\n", shorten, lock, flags=re.MULTILINE)


if __name__ == "__main__":
    main(*sys.argv[1:])
