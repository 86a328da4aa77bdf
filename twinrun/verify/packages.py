"""A winner's package, checked and unpacked; and what of it is foreign code to this verifier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from twinrun.config.project import SETTINGS
from twinrun.errors import InputError, NegativeVerdict, shorten
from twinrun.hooks.own_code import FILE, holds_code
from twinrun.package.contents import Contents
from twinrun.package.engine import ProjectEngine, find_engine
from twinrun.package.lock import Locked, read_lock, unlike
from twinrun.package.paths import CODE, LOCK, LOCK_NAME, RUN, RUN_SUFFIXES
from twinrun.package.preflight import refuse_foreign_weights
from twinrun.repro.source import code_digest
from twinrun.run_folder.documents import changed_file
from twinrun.run_folder.manifest import read_manifest, recorded_hooks, recorded_run_files
from twinrun.run_folder.paths import RunFolder
from twinrun.verify.unpack import open_package, read_package_contents, unpack
from twinrun.wheel.engine_wheel import HOME, INSTALLED_TEMPLATE


@dataclass(frozen=True)
class UnpackedPackage:
    """A package in a temporary folder, each file as it is listed."""

    package: Path
    contents: Contents
    folder: Path

    @property
    def code(self) -> Path:
        """The project's folder."""
        return self.folder / CODE

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.folder / RUN

    @property
    def lock(self) -> tuple[Locked, ...]:
        """The lines of its lock."""
        return read_lock(self.folder / LOCK)

    @property
    def engine(self) -> ProjectEngine:
        """The engine in code/."""
        return _find_engine(self.contents, self.folder)

    def remakes_submission(self, names: Sequence[str]) -> bool:
        """Whether its submission is made again with these members; none are named: all."""
        content = read_manifest(self.run)["content"]
        part = (content["blend"] or {}).get("weights", content["settings"]["members"])
        return bool(content["submission"]) and (not names or set(part) <= set(names))

    @property
    def has_hooks(self) -> bool:
        """Whether its hooks.py holds code, or what cannot be read."""
        return holds_code(self.code / SETTINGS)

    @property
    def needs_hooks(self) -> bool:
        """Whether its run was made with code of its hooks.py."""
        return bool(recorded_hooks(read_manifest(self.run)["content"]))


def read_own_lock() -> tuple[Locked, ...]:
    """The lock of this verifier's engine: of its clone, its project or its wheel; empty: none."""
    for folder in (INSTALLED_TEMPLATE / "resources", HOME):
        if (folder / LOCK_NAME).is_file():
            return read_lock(folder / LOCK_NAME)
    return ()


def foreign_code(found: UnpackedPackage, *, installed: bool) -> list[str]:
    """What of a package would have to run that is not this verifier's, a line each.

    Code is the same where the digests of its files are: a version number proves nothing. What a
    lock brings runs as soon as Python starts.

    Args:
        found: The package.
        installed: Whether a fresh environment is made from its lock.
    """
    engine, own = found.engine, code_digest()
    lines = []
    if engine.code != own:
        lines.append(
            f"engine {engine.place}, source {engine.code[:8]}; this verifier's is {own[:8]}"
        )
    others = unlike(found.lock, read_own_lock()) if installed else []
    if others:
        names = ", ".join(shorten(map(str, others), most=5))
        lines.append(f"lock: {len(others)} of it are not in this verifier's lock: {names}")
    if lines and installed:
        beside = [each for each in found.lock if each.is_engine and each.place != engine.place]
        lines += [f"lock: {each.place}, beside the engine {engine.place}" for each in beside]
    if found.needs_hooks or (lines and found.has_hooks):
        lines.append(f"{SETTINGS.with_name(FILE)}")
    return lines


@contextmanager
def unpack_package(package: Path) -> Iterator[UnpackedPackage]:
    """A package, checked and unpacked; it is gone when the block ends. None of its code is run.

    Raises:
        NegativeVerdict: Files are changed, missing or not listed, or not what the run's manifest
            records; they are named.
        InputError: It is no package, a dangerous or damaged one, or one of a different format.
    """
    with open_package(package) as archive:
        contents = read_package_contents(archive, package)
        with TemporaryDirectory(prefix="package-") as temporary:
            folder = Path(temporary).resolve()
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
        problems += [f"{CODE}/: {error.what}", *(f"  {detail}" for detail in error.details)]
    problems += [
        f"{name}: a kind of file that no run writes"
        for name in recorded
        if not name.endswith(RUN_SUFFIXES)
    ]
    place = RunFolder(Path(RUN)).place.as_posix()
    if place in contents.files:
        problems.append(f"{place}: it names places of the machine that made the package")
    if problems:
        raise InputError(f"{package} cannot be verified:", details=shorten(problems))
    refuse_foreign_weights(
        {name: folder / name for name in recorded if name.endswith(".safetensors")}
    )
    _refuse_other_files(folder / RUN, package)
    _refuse_contradictions(folder / RUN, package)


def _refuse_other_files(run: Path, package: Path) -> None:
    """Check the run's own files against its manifest: of these the verdict is, and not of others.

    Those of members are compared where they are read.
    """
    faults = [
        f"{RUN}/{name}: {fault}"
        for name, digest in recorded_run_files(read_manifest(run)).items()
        if (fault := changed_file(run / name, digest, "the run was recorded"))
    ]
    if faults:
        raise NegativeVerdict(f"{package} is not as its run was recorded:", details=shorten(faults))


def _refuse_contradictions(run: Path, package: Path) -> None:
    """Check that the submission can be made again of what the package holds.

    Otherwise nothing would be compared with it, and it could hold any answers.
    """
    content = read_manifest(run)["content"]
    asked = content["settings"].get("members")
    known = asked if isinstance(asked, dict) else {}
    blended = content["blend"]["weights"] if content["blend"] else known
    problems = [
        f"members/{name}: the settings have no such member"
        for name in content["members"]
        if name not in known
    ]
    submission = RunFolder(run).submission
    if content["submission"]:
        problems += [
            f"{submission.name}: blended of {name}, which the run has not completed"
            for name in blended
            if name not in content["members"]
        ]
    elif submission.exists():
        problems.append(f"{submission.name}: the manifest records none")
    if problems:
        raise InputError(
            f"{package} cannot be verified: its run contradicts itself:", details=shorten(problems)
        )
