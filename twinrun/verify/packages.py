"""A winner's package, checked: its files, then its own code in an environment of its own lock."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from twinrun.errors import InputError, NegativeVerdict, shorten
from twinrun.package.contents import Contents
from twinrun.package.paths import CODE, LOCK, RUN, RUN_SUFFIXES
from twinrun.package.preflight import refuse_foreign_weights
from twinrun.run_folder.paths import RunFolder
from twinrun.verify.unpack import open_package, read_package_contents, unpack

# What would bring foreign code or a foreign environment into the package's processes.
_NOT_PASSED_ON = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX")
_HERE = "Or use the present environment, if it is the same: --this-environment."


@dataclass(frozen=True)
class UnpackedPackage:
    """A package in a temporary folder, each file as it is listed."""

    package: Path
    contents: Contents
    folder: Path

    @property
    def lock(self) -> Path:
        return self.folder / LOCK


@contextmanager
def unpack_package(package: Path) -> Iterator[UnpackedPackage]:
    """A package, checked and unpacked; it is gone when the block ends. None of its code is run.

    Raises:
        NegativeVerdict: Files are changed, missing or not listed; they are named.
        InputError: It is no package, a dangerous or damaged one, or one of a different format.
    """
    with open_package(package) as archive:
        contents = read_package_contents(archive, package)
        with TemporaryDirectory(prefix="package-") as temporary:
            folder = Path(temporary)
            unpack(archive, contents, package, folder)
            _refuse_unfit(contents, package, folder)
            yield UnpackedPackage(package, contents, folder)


def _refuse_unfit(contents: Contents, package: Path, folder: Path) -> None:
    recorded = [name for name in contents.files if name.startswith(f"{RUN}/")]
    needed = (f"{CODE}/twinrun/__main__.py", LOCK, RunFolder(Path(RUN)).manifest.as_posix())
    problems = [f"{name}: missing" for name in needed if name not in contents.files]
    problems += [
        f"{name}: a kind of file that no run writes"
        for name in recorded
        if not name.endswith(RUN_SUFFIXES)
    ]
    if problems:
        raise InputError(f"{package} cannot be verified:", details=shorten(problems))
    refuse_foreign_weights(
        {name: folder / name for name in recorded if name.endswith(".safetensors")}
    )


@contextmanager
def build_environment(lock: Path) -> Iterator[Path]:
    """The Python of a new environment with exactly what a lock holds; gone when the block ends.

    Made by uv where there is one, else by venv and pip; each file is checked by its hash.

    Args:
        lock: A requirements.lock.

    Raises:
        InputError: It cannot be made.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    uv = shutil.which("uv", path=path)
    with TemporaryDirectory(prefix="environment-") as temporary:
        folder = Path(temporary) / "environment"
        python = folder / "bin" / "python"
        locked = ["--require-hashes", "-r", str(lock)]
        if uv:
            _call([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(folder)])
            _call([uv, "pip", "install", "--quiet", "--python", str(python), *locked])
        else:
            _call([sys.executable, "-m", "venv", str(folder)])
            _call([str(python), "-m", "pip", "install", "--quiet", *locked])
        yield python


def _call(command: Sequence[str]) -> None:
    try:
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            env=_environment(),
            errors="replace",
        )
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout or "").strip().splitlines()[-8:]
        raise InputError(
            "an environment cannot be made from the package's lock:",
            details=lines,
            fix=f"Is the network there, and space on the disk? {_HERE}",
        ) from None


def refuse_other_versions(lock: Path) -> None:
    """Check that the present environment has exactly what a lock holds for this system.

    Raises:
        InputError: It has not; every difference is named.
    """
    problems, known = [], set()
    for line in lock.read_text(encoding="utf-8").splitlines():
        text = line.partition("--hash")[0].rstrip(" \\").strip()
        if not text or text.startswith(("#", "-")):
            continue
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            problems.append(f"{text}: not a line of a lock")
            continue
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        known.add(canonicalize_name(wanted.name))
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            problems.append(f"{wanted.name}: {wanted.specifier} in the lock, not installed here")
            continue
        if not wanted.specifier.contains(version, prereleases=True):
            problems.append(f"{wanted.name}: {wanted.specifier} in the lock, {version} here")
    if not known:
        problems.append("the lock is empty")
    if problems:
        raise InputError(
            "the present environment is not the package's:",
            details=shorten(problems, most=20),
            fix="Leave --this-environment out: a fresh one is made from the lock.",
        )


def verify_package(
    found: UnpackedPackage,
    python: Path,
    members: Sequence[str],
    *,
    data: Path,
    out: Path,
    retrain: bool,
    quiet: bool = False,
) -> None:
    """Let a package's own code make its run again and compare.

    Args:
        found: The package.
        python: Of the environment.
        members: Only these. None: all.
        data: The data folder.
        out: What is made again is written below it.
        retrain: Train again, not only predict with the recorded weights.
        quiet: Let it print only verdicts and errors.

    Raises:
        NegativeVerdict: It comes out with different bits, or is not of this data; its code has
            reported which.
        InputError: Its code could not do it, and has reported why.
    """
    command = [str(python), "-m", "twinrun", "verify", str(found.folder / RUN), *members]
    command += ["--data", str(data.absolute()), "--out", str(out.absolute())]
    command += [] if retrain else ["--predict-only"]
    command += ["--quiet"] if quiet else []
    code = _wait_for(command, found.folder / CODE)
    if code == 1:
        raise NegativeVerdict(f"{found.package} does not come out the same; see above")
    if code:
        raise InputError(
            f"{found.package}: its code ended with exit code {code} before there was a verdict",
            fix="Fix what it reports above.",
        )


def _wait_for(command: Sequence[str], folder: Path) -> int:
    """The exit code of a process; it has time to write its checkpoint when this one is stopped."""
    sys.stdout.flush()
    with subprocess.Popen(command, cwd=folder, env=_environment()) as process:
        try:
            return process.wait()
        except BaseException:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)  # Ctrl-C has reached it, too
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=60)
            process.kill()
            raise


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}
    return {**kept, "PYTHONNOUSERSITE": "1"}
