"""The environment that a package is verified in: a fresh one from a lock, or the present one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.specifiers import SpecifierSet

from twinrun.errors import InputError, shorten
from twinrun.package.lock import Locked

# What would bring foreign code or a foreign environment into a process of its own.
_NOT_PASSED_ON = (
    *("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX"),
    "PYTHONSAFEPATH",
)
_HERE = "Or use the present environment, if it is the same: --this-environment."


def without_python_variables() -> dict[str, str]:
    """The variables of this process, without those that another Python would take code from."""
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}
    return {**kept, "PYTHONNOUSERSITE": "1"}


@contextmanager
def build_environment(lock: Iterable[Locked], project: Path) -> Iterator[Path]:
    """The Python of a new environment with exactly what a lock holds; gone when the block ends.

    Made by uv where there is one, else by venv and pip. They are given our own writing of the lock,
    and not a stranger's. Each file is checked by its hash, and is a wheel: what has to be built
    first would run its own code.

    Args:
        lock: Of its lines those that are wanted.
        project: The folder that holds the lock's own wheels.

    Raises:
        InputError: It cannot be made.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    uv = shutil.which("uv", path=path)
    with TemporaryDirectory(prefix="environment-") as temporary:
        folder = Path(temporary).resolve() / "environment"
        python = folder / "bin" / "python"
        written = Path(temporary) / "requirements.lock"
        written.write_text("".join(f"{each.line(project)}\n" for each in lock), encoding="utf-8")
        locked = ["--require-hashes", "--only-binary", ":all:", "-r", written.name]
        if uv:
            make = [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(folder)]
            # To compile what is installed, uv would start the new Python, and with it foreign code.
            install = [uv, "pip", "install", "--quiet", "--no-compile-bytecode"]
            install += ["--python", str(python)]
        else:
            # Not with a pip in the environment: a package of the lock could overwrite its modules,
            # of which it takes some only when all is installed.
            tools = Path(temporary).resolve() / "tools"
            _call([sys.executable, "-P", "-m", "venv", str(tools)], written.parent)
            make = [sys.executable, "-P", "-m", "venv", "--without-pip", str(folder)]
            install = [str(tools / "bin" / "python"), "-P", "-m", "pip", "--python", str(python)]
            install += ["install", "--quiet"]
        _call(make, written.parent)
        _call([*install, *locked], written.parent)
        yield python


def _call(command: Sequence[str], folder: Path) -> None:
    try:
        subprocess.run(
            command,
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
            env=without_python_variables(),
            errors="replace",
        )
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout or "").strip().splitlines()[-8:]
        raise InputError(
            "an environment cannot be made from the package's lock:",
            details=lines,
            fix=f"Is the network there, and space on the disk? {_HERE}",
        ) from None


def refuse_other_versions(lock: Iterable[Locked]) -> None:
    """Check that the present environment has exactly what a lock holds for this system.

    A wheel of Twinrun is left out: a version does not tell which engine it is.

    Raises:
        InputError: It has not; every difference is named.
    """
    problems, known = [], False
    for each in lock:
        known = known or each.applies
        if not each.is_engine and each.applies:
            try:
                version = metadata.version(each.name)
            except metadata.PackageNotFoundError:
                problems.append(f"{each.name}: =={each.version} in the lock, not installed here")
                continue
            if not SpecifierSet(f"=={each.version}").contains(version, prereleases=True):
                problems.append(f"{each.name}: =={each.version} in the lock, {version} here")
    if not known:
        problems.append("the lock is empty")
    if problems:
        raise InputError(
            "the present environment is not the package's:",
            details=shorten(problems, most=20),
            fix="Leave --this-environment out: a fresh one is made from the lock.",
        )
