"""An environment beside the system's packages: the folder's wheels first, nothing is changed."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cuda.gather import PYTHON, TESTS
from benchmarks.cuda.requirements import Resolved, read_wheels, resolve
from twinrun.errors import InputError

ROOT = Path(__file__).parents[2]
_PTH = "packages_of_the_system.pth"


@dataclass(frozen=True)
class Environment:
    """An environment that was made.

    Attributes:
        python: Its interpreter.
        resolved: What is whose.
    """

    python: Path
    resolved: Resolved

    def content(self) -> dict[str, Any]:
        """As FILE says it: names and versions, no path."""
        return {
            "from_the_folder": sorted(path.name for path in self.resolved.taken.values()),
            "of_the_system": dict(sorted(self.resolved.kept.items())),
            "not_as_asked_for": self.resolved.unmet,
        }


def check(wheels: Path) -> Resolved:
    """What the engine and its tests need, held against this interpreter and the folder.

    Raises:
        InputError: Something is neither here nor in the folder, or the folder was gathered for
            another Python, or holds no engine.
    """
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if here != PYTHON:
        raise InputError(
            f"the wheels are gathered for Python {PYTHON}, and this is {here}",
            fix=f"Run the command with python{PYTHON}.",
        )
    found = read_wheels(wheels)
    if "twinrun" not in found:
        raise InputError(
            f"there is no wheel of the engine in {wheels}",
            fix="Fill it before, where there is a network: python -m benchmarks.cuda --gather DIR",
        )
    engine = found["twinrun"]
    resolved = resolve([f"twinrun=={engine.version}", *TESTS], found, _installed_but_the_engine)
    if differing := _differing(engine.path):
        resolved.unmet.append(
            f"the engine of the folder is not this one, which is measured: {differing} files differ"
        )
    if resolved.missing:
        raise InputError(
            f"{len(resolved.missing)} packages are neither installed here nor in {wheels}:",
            details=resolved.missing,
            fix="Take them out of THERE in benchmarks/cuda/gather.py, and gather again.",
        )
    return resolved


def make(wheels: Path, folder: Path) -> Environment:
    """Make the environment, without a network and without pip, which an environment may lack.

    The interpreter may itself be one of an environment, whose packages `--system-site-packages`
    would not show: so its own folders of packages are named in a .pth file.

    Raises:
        InputError: As `check`.
    """
    resolved = check(wheels)
    venv.create(folder, with_pip=False, clear=True, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for wheel in resolved.taken.values():
        unpack(wheel, packages)
    theirs = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    # Not the bare paths: .pth files in those folders are to be read too.
    lines = [f"import site; site.addsitedir({path!r})" for path in theirs]
    (packages / _PTH).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Environment(folder / "bin" / "python", resolved)


def refuse_without_gpu(environment: Environment) -> None:
    """Ask torch for a GPU before anything is measured: without one each part would fail alone.

    Raises:
        InputError: torch sees none, or cannot be imported.
    """
    code = "import sys, torch; sys.exit(not torch.cuda.is_available() and 'it sees no CUDA device')"
    command = [str(environment.python), "-W", "ignore", "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        lines = answer.stderr.strip().splitlines() or ["it says nothing"]
        raise InputError(
            f"torch has no GPU here: {lines[-1]}",
            fix="Mend the driver, or rehearse on the CPU with --rehearse.",
        )


def unpack(wheel: Path, packages: Path) -> None:
    """Put a wheel's packages where an interpreter finds them; its scripts are left out.

    Raises:
        InputError: It brings something of which it is not known where it belongs.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        placed = [name for name in names if ".data/" in name]
        if strange := [name for name in placed if name.split("/")[1] not in ("scripts", "data")]:
            raise InputError(
                f"{wheel.name} has {strange[0]}, which is not unpacked",
                fix="Install that package on the machine, or name it in THERE.",
            )
        archive.extractall(packages, [name for name in names if name not in placed])


def _installed_but_the_engine(name: str) -> str | None:
    from benchmarks.cuda.requirements import version_here

    return None if name == "twinrun" else version_here(name)


def _differing(wheel: Path) -> int:
    """How many modules of the engine are not as a wheel has them."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if re.match(r"twinrun/.*\.py$", name)}
        theirs = {name: archive.read(name) for name in names}
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / "twinrun").rglob("*.py")}
    return sum(
        name not in here or name not in names or (ROOT / name).read_bytes() != theirs[name]
        for name in here | names
    )
