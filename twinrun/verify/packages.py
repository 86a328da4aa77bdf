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
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from twinrun.errors import InputError, NegativeVerdict, shorten
from twinrun.grades import GRADES, Grade
from twinrun.package.contents import Contents
from twinrun.package.engine import ProjectEngine, find_engine, locked_files, read_lock
from twinrun.package.paths import CODE, LOCK, RUN, RUN_SUFFIXES
from twinrun.package.preflight import refuse_foreign_weights
from twinrun.repro.source import code_digest
from twinrun.run_folder.paths import RunFolder
from twinrun.verify.unpack import open_package, read_package_contents, unpack

# What would bring foreign code or a foreign environment into the package's processes.
_NOT_PASSED_ON = (
    *("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX"),
    "PYTHONSAFEPATH",  # with it, code/twinrun/ would not be the engine
)
# Where `python -m twinrun` takes its engine from, without importing it.
_LOCATE = "import importlib.util as u; s = u.find_spec('twinrun'); print(s and s.origin or '')"
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

    def engine(self) -> ProjectEngine:
        """The engine in code/.

        Raises:
            InputError: As `find_engine`.
        """
        return _find_engine(self.contents, self.folder)


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


def _find_engine(contents: Contents, folder: Path) -> ProjectEngine:
    code = f"{CODE}/"
    names = {name.removeprefix(code) for name in contents.files if name.startswith(code)}
    return find_engine(folder / CODE, names)


def _refuse_unfit(contents: Contents, package: Path, folder: Path) -> None:
    recorded = [name for name in contents.files if name.startswith(f"{RUN}/")]
    needed = (LOCK, RunFolder(Path(RUN)).manifest.as_posix())
    problems = [f"{name}: missing" for name in needed if name not in contents.files]
    try:
        _find_engine(contents, folder)
    except InputError as error:
        problems.append(f"{CODE}/: {error.what}")
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

    Made by uv where there is one, else by venv and pip; each file is checked by its hash. Both look
    for the wheels that a lock names in the folder that they are run in: here the lock's.

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
        locked = ["--require-hashes", "-r", lock.name]
        if uv:
            make = [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(folder)]
            install = [uv, "pip", "install", "--quiet", "--python", str(python)]
        else:
            make = [sys.executable, "-P", "-m", "venv", str(folder)]
            install = [str(python), "-P", "-m", "pip", "install", "--quiet"]
        _call(make, lock.parent)
        _call([*install, *locked], lock.parent)
        yield python


def _call(command: Sequence[str], folder: Path) -> None:
    try:
        subprocess.run(
            command,
            cwd=folder,
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

    The engine's wheel is left to `verify_package`: a version does not tell which engine it is.

    Raises:
        InputError: It has not; every difference is named.
    """
    problems, known = [], set()
    content = read_lock(lock)
    engines = {each.name for each in locked_files(content) if each.is_engine}
    for line in content.splitlines():
        text = line.partition("--hash")[0].rstrip(" \\").strip()
        if not text or text in engines or text.startswith(("#", "-")):
            continue
        try:
            wanted = _requirement(text)
        except (InvalidRequirement, InvalidWheelFilename):
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
    if not known and not engines:
        problems.append("the lock is empty")
    if problems:
        raise InputError(
            "the present environment is not the package's:",
            details=shorten(problems, most=20),
            fix="Leave --this-environment out: a fresh one is made from the lock.",
        )


def _requirement(text: str) -> Requirement:
    """What a line of a lock asks for; of a wheel of the project, its name and version."""
    if text.endswith(".whl"):
        name, version, *_ = parse_wheel_filename(text.rpartition("/")[2])
        return Requirement(f"{name}=={version}")
    return Requirement(text)


def verify_package(
    found: UnpackedPackage,
    python: Path,
    members: Sequence[str],
    *,
    data: Path,
    out: Path,
    retrain: bool,
    quiet: bool = False,
) -> Grade:
    """Let a package's own code make its run again and compare.

    Args:
        found: The package.
        python: Of the environment.
        members: Only these. None: all.
        data: The data folder.
        out: What is made again is written below it.
        retrain: Train again, not only predict with the recorded weights.
        quiet: Let it print only verdicts and errors.

    Returns:
        The grade that its code gave, by its exit code; never the worst one.

    Raises:
        NegativeVerdict: It comes out different, or is not of this data; its code has reported
            which.
        InputError: The environment would run a different engine; or the package's code could not
            do it, and has reported why.
    """
    _refuse_other_engine(found, python)
    command = [str(python), "-m", "twinrun", "verify", str(found.folder / RUN), *members]
    command += ["--data", str(data.absolute()), "--out", str(out.absolute())]
    command += [] if retrain else ["--predict-only"]
    command += ["--quiet"] if quiet else []
    code = _wait_for(command, found.folder / CODE)
    if code == NegativeVerdict.exit_code:
        raise NegativeVerdict(f"{found.package} does not come out the same; see above")
    for grade in GRADES:
        if grade.exit_code == code:
            return grade
    raise InputError(
        f"{found.package}: its code ended with exit code {code} before there was a verdict",
        fix="Fix what it reports above.",
    )


def _refuse_other_engine(found: UnpackedPackage, python: Path) -> None:
    """Check that it is the package's engine that `python -m twinrun` runs in its folder code/.

    Raises:
        InputError: It is a different one, or none.
    """
    engine = found.engine()
    done = subprocess.run(
        [str(python), "-c", _LOCATE],
        check=False,
        cwd=found.folder / CODE,
        capture_output=True,
        text=True,
        env=_environment(),
        errors="replace",
    )
    place = Path((done.stdout.splitlines() or [""])[-1])
    here = code_digest(place.parent) if place.is_file() else None
    if here != engine.code:
        wanted = f"{CODE}/{engine.place}, source {engine.code[:8]}"
        other = f"{place.parent}, source {here[:8]}" if here else "none"
        raise InputError(
            "the engine of the environment is not the package's:",
            details=(f"package: {wanted}", f"environment: {other}"),
            fix="Leave --this-environment out: a fresh one is made from the lock.",
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
