"""manifest.json: what a run was made from, on what, and what came out.

Reading one does without the settings, which import pandas.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinrun.errors import InputError
from twinrun.files import is_there, sha256_file
from twinrun.repro.source import code_digest, read_commit, read_engine
from twinrun.run_folder.documents import read_document, refuse_changed_files, write_document
from twinrun.run_folder.paths import GUARDED_FILES, RunFolder
from twinrun.run_folder.place import read_place
from twinrun.run_folder.shapes import BlendRecord, Manifest, TakenBlend

if TYPE_CHECKING:
    from twinrun.config.settings import Settings

_BLEND_AGAIN = "Write it again with `twinrun blend`."


def build_manifest(
    settings: Settings,
    data: str,
    environment: dict[str, Any],
    members: dict[str, dict[str, Any]],
    *,
    submission: Path | None,
    seconds: float,
    guards: Mapping[str, str],
    blend: dict[str, Any] | None = None,
    scale: Sequence[float] | None = None,
) -> dict[str, Any]:
    """The content of manifest.json, as JSON values in three tables.

    `content` is the same in every run with the same bits: settings, digests of data, code and
    results, and the part of the environment that decides bits, of a member that was trained in
    a different one also of that. `beside` is not compared: clock, durations in seconds, hardware,
    which member ran on which node of a cluster; `commit` is of the project that the settings lie
    in, `engine` says version and commit of the engine. `guards` has the digests of the run's other
    files, so that damage is noticed; it is not compared either. No path and no host stands in any
    of them: see `place`.

    Args:
        settings: Of the run.
        data: From `data_digest`.
        environment: From `set_up`.
        members: The content of member.json by name.
        submission: The submission, None when there is none yet.
        seconds: Wall time of the command that writes the manifest.
        guards: From `guard_digests`.
        blend: From `read_taken_blend`.
        scale: The range that images of more than 8 bits a value were seen in, where there are such.
    """
    from twinrun.config.identity import identity_settings

    hooks = settings.hook_digests("pixels") | settings.hook_digests("training")
    return {
        "content": {
            "settings": identity_settings(settings),
            "data": data,
            "code": code_digest(),
            "environment": environment["decides"],
            "members": {
                name: {
                    "files": record["files"],
                    "scores": record["scores"],
                    **_other_environment(record, environment["decides"]),
                }
                for name, record in members.items()
            },
            "submission": sha256_file(submission) if submission else None,
            "blend": blend,
            **({"range": [float(end) for end in scale]} if scale else {}),
            **({"hooks": hooks} if hooks else {}),
        },
        "beside": {
            "written": _now(),
            "seconds": {
                "command": round(seconds, 3),
                "members": {name: record["seconds"] for name, record in members.items()},
            },
            "nodes": {name: record["node"] for name, record in members.items() if "node" in record},
            "commit": read_commit(settings.config),
            "engine": read_engine(),
            "environment": environment["beside"],
        },
        "guards": dict(guards),
    }


def guard_digests(run: Path) -> dict[str, str]:
    """SHA-256 by name of the files of a run that its manifest guards, of those that are there."""
    paths = (run / name for name in GUARDED_FILES)
    return {path.name: sha256_file(path) for path in paths if is_there(path)}


def recorded_run_files(manifest: Mapping[str, Any]) -> dict[str, str]:
    """All digests of a manifest of the run's own files: SHA-256 by name.

    Args:
        manifest: The content of manifest.json.
    """
    submission = manifest["content"]["submission"]
    own = {RunFolder(Path()).submission.name: submission} if submission else {}
    return {**manifest["guards"], **own}


def is_as_recorded(run: Path, path: Path, *, fix: str) -> bool:
    """Whether a run's index, audit or blend is there: compared with what the manifest says of it.

    A run without a manifest has just been begun, and nothing is compared. The manifest is written
    last: a command that was killed before that leaves a newer file beside an older manifest, and
    is to be rerun.

    Args:
        run: runs/<run>.
        path: The file, of those in GUARDED_FILES.
        fix: What to do when it is not the recorded one.

    Raises:
        InputError: It is not the recorded one, or was lost; or the manifest is damaged.
    """
    there, manifest = is_there(path), read_manifest_if_there(run)
    if manifest is not None and (there or path.name in manifest["guards"]):
        digest = manifest["guards"].get(path.name, "")
        refuse_changed_files(run, {path.name: digest}, fix=fix, since="the run was recorded")
    return there


def renew_guard(manifest: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The content of a manifest, with the digest of one file that was just written anew.

    It is then the manifest of this moment: a run is as old as its last change.

    Args:
        manifest: The content of manifest.json. Its other guards stay: they were not written now.
        path: The file.
    """
    return {
        **manifest,
        "beside": {**manifest["beside"], "written": _now()},
        "guards": {**manifest["guards"], path.name: sha256_file(path)},
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def read_manifest_if_there(run: Path) -> dict[str, Any] | None:
    """As `read_manifest`; None where there is none yet."""
    return read_manifest(run) if is_there(RunFolder(run).manifest) else None


def _other_environment(record: dict[str, Any], decides: dict[str, Any]) -> dict[str, Any]:
    """What a member, or by fold some of its folds, was trained in, where the run says otherwise."""
    own = record["identity"]["environment"]
    found = {} if own == decides else {"environment": own}
    return found | ({"environments": record["environments"]} if "environments" in record else {})


def read_taken_blend(run: Path) -> dict[str, Any] | None:
    """What decides a run's submission besides its members' predictions, as blend.json says it.

    Returns:
        Method, weights by member, temperature, the number of images that they were judged on, and
        the digests of the competitor's own code that is part of it, if there is any; of a partial
        one what it lacks: `shapes.TakenBlend`. None where no submission was blended.

    Raises:
        InputError: blend.json is damaged.
    """
    content = read_written_blend(run)
    return content and {name: content[name] for name in TakenBlend.model_fields if name in content}


def read_written_blend(run: Path) -> dict[str, Any] | None:
    """As `read_blend_if_there`, for who writes the manifest next: compared with no older one.

    A kill may have come between blend.json and the manifest.
    """
    return _read_blend(run) if is_there(RunFolder(run).blend) else None


def read_blend(run: Path) -> dict[str, Any]:
    """The content of a run's blend.json: `shapes.BlendRecord`.

    Raises:
        InputError: It is missing or damaged, or not the one that the manifest records.
    """
    is_as_recorded(run, RunFolder(run).blend, fix=_BLEND_AGAIN)
    return _read_blend(run)


def read_blend_if_there(run: Path) -> dict[str, Any] | None:
    """As `read_blend`; None where the run has none."""
    there = is_as_recorded(run, RunFolder(run).blend, fix=_BLEND_AGAIN)
    return _read_blend(run) if there else None


def _read_blend(run: Path) -> dict[str, Any]:
    return read_document(RunFolder(run).blend, BlendRecord, fix=_BLEND_AGAIN)


def write_blend(run: Path, content: Mapping[str, Any]) -> None:
    """Write a run's blend.json.

    Raises:
        InputError: The folder cannot be written.
    """
    write_document(RunFolder(run).blend, BlendRecord, content)


def read_manifest(run: Path) -> dict[str, Any]:
    """The content of a run's manifest.json: `shapes.Manifest`.

    Raises:
        InputError: There is none, or it is damaged.
    """
    path = RunFolder(run).manifest
    if not is_there(path):
        raise InputError(
            f"{run} is not a run: it has no manifest.json",
            fix="Name the folder of a run, such as runs/full.",
        )
    return read_document(
        path,
        Manifest,
        fix="Rerun the command that made the run to have a new one.",
    )


def recorded_hooks(content: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 by name of the competitor's own code that a run was made with.

    Args:
        content: `content` of its manifest.json.
    """
    return {**content.get("hooks", {}), **(content["blend"] or {}).get("hooks", {})}


def recorded_range(run: Path) -> list[float] | None:
    """The range that a run's images of more than 8 bits a value were seen in; None without such.

    Raises:
        InputError: As `read_manifest`.
    """
    found: list[float] | None = read_manifest(run)["content"].get("range")
    return found


def write_manifest(run: Path, content: Mapping[str, Any]) -> None:
    """Write a run's manifest.json.

    Raises:
        InputError: The folder cannot be written.
    """
    write_document(RunFolder(run).manifest, Manifest, content)


def read_run_settings(run: Path, data: Path | None, but: Collection[str] = ()) -> Settings:
    """The settings that a run was made with.

    Args:
        run: runs/<run>.
        data: The data folder; None for the one that local.json names. Without either it is one
            that is not there.
        but: As for `own_code.find_code`.

    Raises:
        NegativeVerdict: Its settings cannot be checked without code of its competitor's, and that
            is not what the run was made with.
        InputError: As `read_manifest` and `read_place`, or its settings are none that this version
            knows.
    """
    from twinrun.config.identity import with_neutral
    from twinrun.config.local import FolderOrigin, find_origin
    from twinrun.config.settings import Settings
    from twinrun.hooks.in_use import use
    from twinrun.run_folder.own_code import find_code

    content, place, named = read_manifest(run)["content"], read_place(run), RunFolder(run).place
    # A run from elsewhere has neither. Its own folder may hold what a stranger put there.
    config = Path(place["config"]) if place else run.absolute().parent / "competition.toml"
    if data:
        folder, origin = data.absolute(), find_origin(config, "--data")
    else:
        folder = Path(place["data_folder"]) if place else run.absolute() / "data"
        where = f"recorded in {named}" if place else f"there is no {named} to name it"
        origin = FolderOrigin(where, ("Name it with --data.",))
    # Where there is no GPU now, "auto" lets the difference be told instead of refused.
    device = "cpu" if content["environment"]["device"] == "cpu" else "auto"
    code = find_code(content, config if place else None, but)
    use(code, content["settings"].get("hooks", {}))
    # Elsewhere than it was made, a run's cache is not there, and its place cannot be written to.
    cache = config.parent / ((place and place["cache"]) or "?")
    if not cache.is_dir():
        cache = run.absolute().parent / "cache"
    try:
        settings = with_neutral(Settings, content["settings"])
        settings["data"] |= {"folder": str(folder)}
        settings["data"] |= place["tables"] if place else {}
        settings["run"] |= {"device": device, "cache": str(cache)}
        return Settings.model_validate(
            settings | {"config": config, "folder_origin": origin, "code": code}
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if code.texts:
            code.refuse_edited()
        if lacking := sorted(recorded_hooks(content).keys() - code.parts.keys()):
            raise InputError(
                f"{run} was made with code of its competitor's that is not here: "
                f"hooks.py, {', '.join(lacking)}",
                fix="Call this in the project that the run was made in, with hooks.py and what it "
                "imports beside the settings. Code that a run's folder names is run nowhere else.",
            ) from None
        raise InputError(
            f"{RunFolder(run).manifest} is damaged, or has the settings of a different version: "
            f"{error}",
            fix="Use the version that made the run; its commit is in that file.",
        ) from None
