"""The winner's package: one zip with all that a host needs to make the submission again."""

from __future__ import annotations

import hashlib
import stat
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinrun.config.layout import refuse_unspeakable_names
from twinrun.config.listing import places
from twinrun.console import megabytes, progress_bars
from twinrun.errors import InputError, NegativeVerdict, shorten
from twinrun.files import is_there, sha256_file, whole_file
from twinrun.package.contents import (
    FORMAT,
    Contents,
    File,
    name_faults,
    shared_places,
)
from twinrun.package.hosts import Host, write_texts
from twinrun.package.page_facts import collect_page_facts
from twinrun.package.paths import CODE, CONTENTS, LOCK, RUN
from twinrun.package.places import find_places, hide_places, own_places
from twinrun.package.preflight import find_faults, hook_faults, refuse_foreign_weights
from twinrun.package.worktree import WorkTree, read_work_tree
from twinrun.plain_files import open_plain
from twinrun.run_folder.manifest import read_manifest, read_run_settings
from twinrun.run_folder.paths import RUN_FILES, TRAINING_FILES, RunFolder
from twinrun.run_folder.place import read_place
from twinrun.run_folder.verdicts import is_of_run, read_twins, read_verification

# The first moment that a zip can name: the clock is no part of a package.
_TIME = (1980, 1, 1, 0, 0, 0)
_BLOCK = 1 << 20


@dataclass(frozen=True)
class WrittenPackage:
    """A package that was written.

    Attributes:
        contents: What it reports of itself.
        bytes: Its size.
        sha256: Of the whole file.
        left_out: Verdicts beside the run that are of a different training.
    """

    contents: Contents
    bytes: int
    sha256: str
    left_out: tuple[str, ...]


def make_package(
    run: Path, host: Host, output: Path, *, force: bool, project: Path
) -> WrittenPackage:
    """Write the package of a run: the same run and source, the same bytes.

    Args:
        run: runs/<run>.
        host: Whom it is for.
        output: The zip to write; what stands there is replaced.
        force: Package also what should not be; the package then lists why.
        project: The folder that holds competition/.

    Raises:
        NegativeVerdict: The work tree is not clean, the run is not complete, or files are not what
            was recorded, or name places of this machine; everything is listed. Not when forced.
        InputError: There is no run or no lock, weights are in a foreign format, or the output
            cannot be written.
    """
    manifest = read_manifest(run)
    settings = read_run_settings(run, None)  # pages and places are named after them
    content = manifest["content"]
    tree = read_work_tree(project)
    place = _place_of(run)
    sources = {name: tree.root / name for name in _source_files(tree, run, place)}
    telling = own_places(project, run, Path(place["data_folder"]))
    found = [*find_faults(run, manifest, tree), *hook_faults(content, settings, sources)]
    found += find_places(sources, telling)
    faults = [hide_places(fault, telling) for fault in found]
    if not force:
        _refuse_faults(run, faults)
    verdicts, left_out = _find_verdicts(run, manifest)
    files = {
        **{f"{CODE}/{name}": path for name, path in sources.items()},
        **{f"{RUN}/{name}": path for name, path in _run_files(run, content).items()},
        **{f"{RUN}/{path.name}": path for path in verdicts},
    }
    refuse_unspeakable_names(files)
    told_of_run = {name: path for name, path in files.items() if name.startswith(f"{RUN}/")}
    faults += find_places(told_of_run, telling)
    if not force:
        _refuse_faults(run, faults)
    if LOCK not in files:
        raise InputError(
            f"{tree.root} has no requirements.lock, which {host.title} asks for",
            fix="Write it with `nox -s lock`.",
        )
    refuse_foreign_weights(
        {name: path for name, path in files.items() if path.suffix == ".safetensors"}
    )
    told = {path.name: verdict for path, verdict in verdicts.items()}
    parts: dict[str, Path | bytes] = {
        **files,
        **write_texts(host, collect_page_facts(run, manifest, tree, faults, told), files),
    }
    _refuse_names(parts)
    contents = Contents(
        format=FORMAT,
        host=host.name,
        competition=content["settings"]["competition"]["name"],
        run=run.resolve().name,
        commit=tree.commit,
        forced=bool(faults),
        why=faults,
        files={name: _describe(part) for name, part in sorted(parts.items())},
    )
    parts[CONTENTS] = (contents.model_dump_json(indent=2) + "\n").encode()
    _write(output, parts, contents)
    return WrittenPackage(contents, output.stat().st_size, sha256_file(output), tuple(left_out))


def _refuse_faults(run: Path, faults: Sequence[str]) -> None:
    """Raise NegativeVerdict where there are any."""
    if faults:
        raise NegativeVerdict(
            f"{run} cannot be packaged:",
            details=shorten(faults, most=30),
            fix="Fix these, or pass --force; the package will list them.",
        )


def _refuse_names(names: Iterable[str]) -> None:
    """Raise InputError for names that `verify` would refuse in a package."""
    problems = [f"{name!r}: {fault}" for name in names for fault in name_faults(name)]
    problems += shared_places(names)
    if problems:
        raise InputError(
            "a zip for any system cannot hold these files:",
            details=shorten(problems, most=20),
            fix="Rename or remove them.",
        )


def _place_of(run: Path) -> dict[str, Any]:
    """Where a run and its data lie.

    Raises:
        InputError: It is not known, so that the data could not be left out.
    """
    place = read_place(run)
    if place is None:
        raise InputError(
            f"{run} does not say where its data lies, which no package may hold: it has no "
            f"{RunFolder(run).place.name}",
            fix="Rerun the command that made the run, which keeps what is complete; or package it "
            "where it was made.",
        )
    return place


def _source_files(tree: WorkTree, run: Path, place: Mapping[str, Any]) -> Iterator[str]:
    """The files of the source without the data, which may not be handed on, and without runs."""
    data = read_run_settings(run, None).data
    folder = Path(place["data_folder"]).resolve()
    runs = run.resolve().parent
    images = [place for key in (data.train, data.test) for place in places(folder, key).values()]
    parts = {folder / place for place in images}
    parts |= {path.resolve() for path in (data.labels_path(folder), data.sample_path(folder))}
    root = tree.root.resolve()
    for name in tree.files:
        above = set((root / name).parents) | {root / name}
        if not above & parts and runs not in above:
            yield name


def _run_files(run: Path, content: Mapping[str, Any]) -> dict[str, Path]:
    """The files of a run by their name in it: no checkpoint, no lock, nothing unknown."""
    found = [run / name for name in RUN_FILES]
    for member in content["settings"]["members"]:
        for training in RunFolder(run).training(member).all_trainings():
            found += [training.path / name for name in TRAINING_FILES]
    return {path.relative_to(run).as_posix(): path for path in found if is_there(path)}


def _find_verdicts(
    run: Path, manifest: Mapping[str, Any]
) -> tuple[dict[Path, dict[str, Any]], list[str]]:
    """The verdicts beside a run that began with this run's files; and names of those that did not.

    Raises:
        InputError: One is damaged.
    """
    taken, left_out = {}, []
    readers = (read_twins, read_verification, read_verification)
    for path, read in zip(RunFolder(run).verdicts, readers, strict=True):
        if is_there(path):
            verdict = read(path)
            if is_of_run(verdict, manifest):
                taken[path] = verdict
            else:
                left_out.append(str(path))
    return taken, left_out


def _describe(part: Path | bytes) -> File:
    if isinstance(part, bytes):
        return File(bytes=len(part), sha256=hashlib.sha256(part).hexdigest())
    return File(bytes=part.stat().st_size, sha256=sha256_file(part))


def _write(output: Path, parts: Mapping[str, Path | bytes], contents: Contents) -> None:
    """Write the zip: sorted names, no clock, no compression, whose bytes depend on the library.

    Raises:
        InputError: The output cannot be written, or a file is being changed meanwhile.
    """
    total = sum(each.bytes for each in contents.files.values())
    with (
        whole_file(output) as temporary,
        progress_bars() as bars,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        task = bars.add_task("packing", total=-(-total // _BLOCK), note=megabytes(total))
        for name, part in sorted(parts.items()):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system = 3  # Unix, wherever it is written
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            listed = contents.files.get(name)
            entry.file_size = listed.bytes if listed else len(part)  # type: ignore[arg-type]
            digest = hashlib.sha256()
            with archive.open(entry, "w") as target:
                for block in _read_blocks(part):
                    target.write(block)
                    digest.update(block)
                    bars.advance(task, len(block) / _BLOCK)
            if listed and digest.hexdigest() != listed.sha256:
                raise InputError(
                    f"{part!s} is being changed while it is packed",
                    fix="Wait until the run is done, and rerun the command.",
                )


def _read_blocks(part: Path | bytes) -> Iterator[bytes]:
    if isinstance(part, bytes):
        yield part
        return
    with open_plain(part) as source:
        while block := source.read(_BLOCK):
            yield block
