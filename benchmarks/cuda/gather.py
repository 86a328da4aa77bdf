"""Gathers the wheels that a machine with GPU and PyTorch lacks: `--gather DIR`, with a network."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from benchmarks.cuda.requirements import Requirement, canonicalize_name, closure
from twinrun.errors import InputError
from twinrun.wheel.engine_wheel import write_wheel

ROOT = Path(__file__).parents[2]
PYTHON = "3.12"
LIMIT_MB = 60.0

# What such a machine has: PyTorch with its libraries, and the large packages around it.
THERE = frozenset(
    {
        "matplotlib",
        "numpy",
        "opencv-python-headless",
        "pandas",
        "pillow",
        "pyarrow",
        "scikit-learn",
        "scipy",
        "timm",
        "torch",
        "torchvision",
        "triton",
    }
)
# For the part that runs tests.
TESTS = ("pytest",)
_TARGET = {
    "python_version": PYTHON,
    "python_full_version": f"{PYTHON}.0",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "os_name": "posix",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
}
# pip takes each of these for itself: none includes the ones below it.
_PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (39, *range(35, 16, -1), 12, 5)]
_PLATFORMS += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]


def gather(folder: Path, say: Callable[[str], None]) -> None:
    """Fill a folder with the wheels: those of the locks, checked by their hashes, and the engine's.

    Args:
        folder: Wheels that are there already are kept where the lock names them, else removed.
        say: Gets what was done.

    Raises:
        InputError: pip is missing or fails, or the wheels are larger than allowed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = closure([*project["dependencies"], *TESTS], _TARGET, without=THERE)
    lines = locked(names, [ROOT / "requirements.lock", ROOT / "requirements-dev.lock"])
    with tempfile.TemporaryDirectory() as temporary:
        asked = Path(temporary) / "asked.txt"
        asked.write_text("\n".join(lines.values()), encoding="utf-8")
        fetched = Path(temporary) / "wheels"
        _download(asked, fetched)
        for old in folder.glob("*.whl"):
            old.unlink()
        for wheel in fetched.glob("*.whl"):
            (folder / wheel.name).write_bytes(wheel.read_bytes())
    engine = write_wheel(folder)
    size = sum(path.stat().st_size for path in folder.glob("*.whl")) / 1e6
    say(f"{len(lines)} wheels of the locks and {engine.name}, {size:.1f} MB, in {folder}")
    if size > LIMIT_MB:
        raise InputError(
            f"{folder} holds {size:.1f} MB of wheels, more than {LIMIT_MB:.0f} MB",
            fix="Name what the machine has anyway in THERE of benchmarks/cuda/gather.py.",
        )


def locked(
    names: Iterable[str], locks: Iterable[Path], environment: Mapping[str, str] = _TARGET
) -> dict[str, str]:
    """The lines of locks, with their hashes, of packages for the machine's Python and system.

    Raises:
        InputError: A package stands in none of the locks.
    """
    found: dict[str, str] = {}
    wanted = set(names)
    for lock in locks:
        text = lock.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in text.splitlines():
            if not re.match(r"[A-Za-z0-9]", line):
                continue
            need = Requirement(line.partition(" --hash")[0])
            name = canonicalize_name(need.name)
            applies = need.marker is None or need.marker.evaluate(dict(environment))
            if name in wanted and name not in found and applies:
                # The marker was decided here, for a machine that is not this one.
                hashes = " ".join(re.findall(r"--hash=\S+", line))
                found[name] = f"{need.name}{need.specifier} {hashes}"
    if lacking := sorted(wanted - set(found)):
        raise InputError(
            f"the locks do not name {', '.join(lacking)}",
            fix="Install the locks' packages anew in this environment; it tells what is needed.",
        )
    return found


def _download(asked: Path, folder: Path) -> None:
    command = [
        *(*_pip(), "download", "--quiet", "--no-deps", "--require-hashes", "-r", str(asked)),
        *("--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON),
        *(part for name in _PLATFORMS for part in ("--platform", name)),
        *("--dest", str(folder)),
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout).strip().splitlines()
        raise InputError(
            "pip could not download the wheels",
            details=lines[-5:],
            fix="Gather where there is a network; the folder is as it was.",
        ) from None


def _pip() -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if importlib.util.find_spec("uv"):  # an environment that uv made has no pip
        return [sys.executable, "-m", "uv", "tool", "run", "--quiet", "pip"]
    raise InputError(
        "there is neither pip nor uv in this environment",
        fix="Install requirements-dev.lock, or pip.",
    )
