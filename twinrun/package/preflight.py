"""Whether a run may be handed in: complete, untouched, and made by the engine that is packed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from twinrun.config.project import SETTINGS
from twinrun.config.settings import Settings
from twinrun.data.index import data_digest
from twinrun.errors import InputError, gaps, shorten
from twinrun.files import is_there
from twinrun.hooks.own_code import FILE
from twinrun.package.contents import is_safetensors
from twinrun.package.engine import FOLDER
from twinrun.package.worktree import WorkTree
from twinrun.repro.source import describe_engine
from twinrun.run_folder.documents import changed_file, is_sealed_page
from twinrun.run_folder.manifest import recorded_hooks, recorded_run_files
from twinrun.run_folder.paths import RunFolder
from twinrun.run_folder.records import read_record, recorded_files
from twinrun.run_folder.tables import read_index


def find_faults(run: Path, manifest: Mapping[str, Any], tree: WorkTree) -> list[str]:
    """A line for each reason why a package of a run could not be trusted; empty when there is none.

    Args:
        run: runs/<run>.
        manifest: The content of its manifest.json.
        tree: Of the source that goes into the package.

    Raises:
        InputError: A record is damaged.
    """
    content = manifest["content"]
    faults = [*tree.faults, *_engine_faults(manifest, tree), *_missing(content)]
    for name, member in content["members"].items():
        faults += _member_faults(run, name, member["files"])
    faults += _run_faults(run, manifest)
    faults += _index_faults(run, content["data"])
    return faults


def hook_faults(content: Mapping[str, Any], settings: Settings, files: Iterable[str]) -> list[str]:
    """A line for each reason why a package would lack the code that a run was made with.

    Args:
        content: `content` of the run's manifest.json.
        settings: Of the run, with the code that lies in the project now.
        files: Of the project, those that are packaged; relative to it, with slashes.
    """
    then, code, there = recorded_hooks(content), settings.code, set(files)
    faults = [
        f"{FILE}: {name} is not what the run was made with: bring it back, or run again"
        for name, *_ in gaps(then, settings.all_hook_digests())
    ]
    names = [(SETTINGS.parent / name).as_posix() for name in (*code.texts, *code.files)]
    lacking = [name for name in names if name not in there] if then else []
    return faults + [f"{name}: {FILE} reaches it, and git does not know it" for name in lacking]


def refuse_foreign_weights(weights: Mapping[str, Path]) -> None:
    """Check that weights are in the format safetensors, by name; none is loaded.

    Raises:
        InputError: One is not: to read other formats may run code that is hidden in them.
    """
    foreign = [name for name, path in weights.items() if not is_safetensors(path)]
    if foreign:
        raise InputError(
            "weights that are not in the format safetensors, and are not read:",
            details=shorten(foreign),
            fix="A file in a different format may run code when it is read. Put the recorded "
            "weights back, or train the member again.",
        )


def _engine_faults(manifest: Mapping[str, Any], tree: WorkTree) -> Iterator[str]:
    """Whether the engine that the run was made with is the committed folder or the locked wheel."""
    try:
        engine = tree.engine()
    except InputError as error:
        what = f"{error.what} {'; '.join(error.details)}" if error.details else error.what
        yield f"{what}. {error.fix}".rstrip(".")
        return
    code = manifest["content"]["code"]
    if engine.code != code:
        made_by = f"{describe_engine(manifest['beside']['engine'])}, source {code[:8]}"
        yield (
            f"the run was made with a different engine ({made_by}) than {engine.place} of the "
            f"project (source {engine.code[:8]}): train again with that one; or commit the run's "
            f"engine as {FOLDER}, or lock its wheel with `nox -s lock`"
        )


def _missing(content: Mapping[str, Any]) -> Iterator[str]:
    for name in content["settings"]["members"]:
        if name not in content["members"]:
            yield f"members/{name}: not complete"
    if not content["submission"]:
        yield "submission.csv: the run has not come to one"
    if lacking := (content["blend"] or {}).get("partial"):
        yield f"submission.csv: partial, made without {', '.join(lacking)}: rerun `twinrun run`"


def _member_faults(run: Path, name: str, digests: Mapping[str, str]) -> Iterator[str]:
    folder = RunFolder(run).training(name)
    records = {each.path: read_record(each.path) for each in folder.all_trainings()}
    own = records[folder.path]
    if own is None:
        yield f"members/{name}/member.json: missing"
    elif own["files"] != digests:
        yield f"members/{name}/member.json: not what the manifest records"
    expected = {folder.path / file: digest for file, digest in digests.items()}
    for place, record in records.items():
        files = recorded_files(record) if record else {}
        expected |= {place / file: digest for file, digest in files.items()}
    for path, digest in sorted(expected.items()):
        if fault := changed_file(path, digest):
            yield f"{path.relative_to(run).as_posix()}: {fault.removeprefix('is ')}"


def _run_faults(run: Path, manifest: Mapping[str, Any]) -> Iterator[str]:
    """What of the run's own files is not what the manifest records."""
    recorded = {RunFolder(run).index.name: "", **recorded_run_files(manifest)}
    for name, digest in sorted(recorded.items()):
        if fault := changed_file(run / name, digest, "the run was recorded"):
            yield f"{name}: {fault.removeprefix('is ')}"
    page = RunFolder(run).report
    if is_there(page) and not is_sealed_page(page):
        yield f"{page.name}: not the page that was written; `twinrun report` writes it again"


def _index_faults(run: Path, digest: str) -> Iterator[str]:
    try:
        found = data_digest(read_index(run))
    except InputError:
        return  # named above
    if found != digest:
        yield "index.parquet: not of the data that the manifest records"
