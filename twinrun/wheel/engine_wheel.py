"""Writes the engine's wheel: the same bytes each time, by the standard library alone.

It is the engine's build backend (PEP 517 and 660: `pip install .`, `pip install -e .`), and the
template's hook calls it to put the engine into a new project. Three places hold an engine:

- a clone of its repository: `twinrun/` beside `template/` and `pyproject.toml`;
- an environment: what the wheel holds, each file as RECORD lists it;
- a project that unpacked it (`nox -s eject`): `twinrun/` alone, which is installed as editable.

The wheel holds `twinrun/`, and under `twinrun_template/` the template with what it takes from the
repository, so that projects can be made without a clone. Members are stored, not deflated: zlib's
output differs between its builds.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import re
import subprocess
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ENGINE = Path(__file__).resolve().parents[1]
HOME = ENGINE.parent
NAME = "twinrun"

# Where the template lies: in a clone, and in an environment.
CLONED_TEMPLATE = HOME / "template"
INSTALLED_TEMPLATE = HOME / "twinrun_template"

# What the template takes from the repository, beside its own files.
RESOURCES = (
    "LICENSE",
    "competition/competition.toml",
    "requirements.lock",
    "tests/fixture",
    "tests/test_competition.py",
)

# The first moment that a zip can name: the clock is no part of a wheel.
_TIME = (1980, 1, 1, 0, 0, 0)
_WHEEL = "Wheel-Version: 1.0\nGenerator: engine_wheel\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
# What of an installed distribution was in its wheel; installers add files of their own.
_METADATA = ("METADATA", "WHEEL", "entry_points.txt", "licenses/LICENSE")
# git fills this in when it makes a zip of the repository, which holds no other trace of the commit.
_COMMIT_OF_ZIP = "commit.txt"


class NoEngine(Exception):
    """The engine of this place cannot be made into a wheel; the message says why."""


def write_wheel(folder: Path) -> Path:
    """Write the wheel of this engine: from one commit the same bytes, wherever it is written.

    Args:
        folder: It is made if it is not there.

    Returns:
        The path of `twinrun-<version>-py3-none-any.whl`.

    Raises:
        NoEngine: There is no template here, as in a project that unpacked its engine; or a file of
            an installed engine was changed.
    """
    members = _cloned_members() if _is_clone() else _installed_members()
    (metadata,) = (name for name in members if name.endswith(".dist-info/METADATA"))
    tag = metadata.partition(".dist-info/")[0]
    folder.mkdir(parents=True, exist_ok=True)
    return _write(folder / f"{tag}-py3-none-any.whl", members)


def template_folder() -> Path | None:
    """Where this engine's template lies; None for an engine that a project unpacked."""
    for folder in (CLONED_TEMPLATE, INSTALLED_TEMPLATE):
        if (folder / "cookiecutter.json").is_file():
            return folder
    return None


def read_origin() -> dict[str, str | None]:
    """From where this engine was taken.

    Returns:
        `repository`: its address as `[project.urls]` names it, None where it names none. `commit`:
        with "+changes" where files were not as the commit has them; None where git does not know.
    """
    recorded = ENGINE / "origin.json"
    if recorded.is_file():
        origin: dict[str, str | None] = json.loads(recorded.read_text(encoding="utf-8"))
        return origin
    urls = read_description().get("urls", {})
    return {"repository": urls.get("Repository"), "commit": _commit()}


def read_description() -> dict[str, Any]:
    """The table [project] of the engine's pyproject.toml, in any of the three places."""
    folder = HOME if _is_clone() else ENGINE
    text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    project: dict[str, Any] = tomllib.loads(text)["project"]
    return project


def _is_clone() -> bool:
    return (CLONED_TEMPLATE / "cookiecutter.json").is_file()


def _cloned_members() -> dict[str, bytes]:
    """The wheel's members by name, from a clone."""
    members = _read("twinrun", NAME) | _read("template", INSTALLED_TEMPLATE.name)
    members.pop(f"{INSTALLED_TEMPLATE.name}/{_COMMIT_OF_ZIP}", None)
    for resource in RESOURCES:
        members |= _read(resource, f"{INSTALLED_TEMPLATE.name}/resources/{resource}")
    project = read_description()
    members[f"{NAME}/pyproject.toml"] = _own_pyproject()
    members[f"{NAME}/origin.json"] = (json.dumps(read_origin(), indent=2) + "\n").encode()
    return members | _dist_info(project, {"licenses/LICENSE": (HOME / "LICENSE").read_bytes()})


def _installed_members() -> dict[str, bytes]:
    """The wheel's members by name, from an environment; each checked by its digest in RECORD."""
    records = list(HOME.glob(f"{NAME}-*.dist-info/RECORD"))
    if len(records) != 1 or not INSTALLED_TEMPLATE.is_dir():
        raise NoEngine(
            f"{ENGINE} is an engine that a project unpacked: no wheel can be written from it"
        )
    info = records[0].parent.name
    kept = (f"{NAME}/", f"{INSTALLED_TEMPLATE.name}/", *(f"{info}/{name}" for name in _METADATA))
    members, changed = {}, []
    for name, digest, _ in csv.reader(records[0].read_text(encoding="utf-8").splitlines()):
        if digest and name.startswith(kept):
            path = HOME / name
            content = path.read_bytes() if path.is_file() else None
            if content is None or _digest(content) != digest:
                changed.append(name)
            else:
                members[name] = content
    if changed:
        raise NoEngine(
            f"the engine in {HOME} is not as it was installed: {', '.join(sorted(changed)[:5])}. "
            "Install it again"
        )
    return members


def _read(source: str, target: str) -> dict[str, bytes]:
    """The files of the repository at or below `source`, by their names at or below `target`.

    Those that git ignores are left out; where there is no git, those that Python writes.
    """
    if _in_git():
        names = _git("ls-files", "-co", "--exclude-standard", "-z", "--", source).split("\0")
    else:
        found = [HOME / source, *(HOME / source).rglob("*")]
        names = [path.relative_to(HOME).as_posix() for path in found]
    return {
        target + name.removeprefix(source): (HOME / name).read_bytes()
        for name in names
        if name and (HOME / name).is_file() and "__pycache__" not in name.split("/")
    }


def _own_pyproject() -> bytes:
    """What of pyproject.toml describes the engine, as a project that unpacked it needs it."""
    text = (HOME / "pyproject.toml").read_text(encoding="utf-8")
    described = re.search(r"^\[project\].*?(?=^\[(?!project))", text, re.MULTILINE | re.DOTALL)
    if described is None:
        raise NoEngine(f"{HOME / 'pyproject.toml'}: no table follows [project] and its own")
    system = '[build-system]\nrequires = []\nbuild-backend = "engine_wheel"\n'
    return (system + 'backend-path = ["wheel"]\n\n' + described[0].rstrip() + "\n").encode()


def _dist_info(project: Mapping[str, Any], more: Mapping[str, bytes]) -> dict[str, bytes]:
    """The members that describe the distribution, but for RECORD."""
    scripts = [f"{name} = {target}" for name, target in project["scripts"].items()]
    files = {
        "METADATA": _metadata(project, list(more)).encode(),
        "WHEEL": _WHEEL.encode(),
        "entry_points.txt": "\n".join(["[console_scripts]", *scripts, ""]).encode(),
        **more,
    }
    info = f"{NAME}-{project['version']}.dist-info"
    return {f"{info}/{name}": content for name, content in files.items()}


def _metadata(project: Mapping[str, Any], files: Sequence[str]) -> str:
    """The core metadata of the table [project] (version 2.4 of that format)."""
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {project['name']}",
        f"Version: {project['version']}",
        f"Summary: {project['description']}",
        f"License-Expression: {project['license']}",
        *(f"License-File: {name.removeprefix('licenses/')}" for name in files),
        *(f"Classifier: {name}" for name in project["classifiers"]),
        *(f"Project-URL: {name}, {url}" for name, url in project.get("urls", {}).items()),
        f"Requires-Python: {project['requires-python']}",
        *(f"Requires-Dist: {requirement}" for requirement in project["dependencies"]),
    ]
    for extra, requirements in project.get("optional-dependencies", {}).items():
        lines.append(f"Provides-Extra: {extra}")
        for requirement in requirements:
            text, _, marker = requirement.partition(";")
            condition = f"({marker.strip()}) and " if marker else ""
            lines.append(f"Requires-Dist: {text.strip()}; {condition}extra == '{extra}'")
    return "\n".join([*lines, ""])


def _commit() -> str | None:
    """The commit of a clone, or of a zip that git made of the repository."""
    if _in_git():
        try:
            commit = _git("rev-parse", "HEAD").strip()
        except subprocess.CalledProcessError:  # nothing is committed yet
            return None
        parts = ("twinrun", "template", "pyproject.toml", *RESOURCES)
        # Permissions are no part of the wheel.
        changes = _git("-c", "core.fileMode=false", "status", "--porcelain", "--", *parts)
        return commit + ("+changes" if changes.strip() else "")
    filled_in = CLONED_TEMPLATE / _COMMIT_OF_ZIP
    text = filled_in.read_text(encoding="utf-8").strip() if filled_in.is_file() else ""
    return text if re.fullmatch("[0-9a-f]{40}", text) else None


def _in_git() -> bool:
    """Whether the engine stands in its own repository, not within a different one.

    Raises:
        NoEngine: It does, and git cannot or will not read it.
    """
    if not (HOME / ".git").exists():
        return False
    try:
        return Path(_git("rev-parse", "--show-toplevel").strip()).resolve() == HOME
    except (OSError, subprocess.CalledProcessError) as error:
        told = getattr(error, "stderr", "") or error
        raise NoEngine(f"git cannot read the repository {HOME}: {told}".strip()) from None


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(HOME), *arguments],
        capture_output=True,
        check=True,
        encoding="utf-8",
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
    ).stdout


def _digest(content: bytes) -> str:
    """As RECORD writes it."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
    return "sha256=" + digest.decode().rstrip("=")


def _write(path: Path, members: Mapping[str, bytes]) -> Path:
    """Write a wheel; it appears whole or not at all. RECORD, its last member, lists the others."""
    (info,) = {name.split("/")[0] for name in members if ".dist-info/" in name}
    record = f"{info}/RECORD"
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    names = sorted(members, key=lambda name: (".dist-info/" in name, name))
    rows.writerows([name, _digest(members[name]), len(members[name])] for name in names)
    rows.writerow([record, "", ""])
    partial = path.with_suffix(".partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            for name in (*names, record):
                entry = zipfile.ZipInfo(name, _TIME)
                entry.create_system = 3  # Unix, so that the permissions below hold
                entry.external_attr = 0o100644 << 16
                content = table.getvalue().encode() if name == record else members[name]
                archive.writestr(entry, content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


# What installers call. PEP 517 and PEP 660 give the names and the arguments.


def build_wheel(
    wheel_directory: str,
    config_settings: object = None,  # noqa: ARG001
    metadata_directory: str | None = None,  # noqa: ARG001
) -> str:
    """Write the wheel, as `write_wheel`; the file's name."""
    return write_wheel(Path(wheel_directory)).name


def build_editable(
    wheel_directory: str,
    config_settings: object = None,  # noqa: ARG001
    metadata_directory: str | None = None,  # noqa: ARG001
) -> str:
    """Write a wheel that leads to the engine where it lies; the file's name."""
    project = read_description()
    members = _dist_info(project, {}) | {f"{NAME}.pth": f"{HOME}\n".encode()}
    name = f"{NAME}-{project['version']}-py3-none-any.whl"
    return _write(Path(wheel_directory) / name, members).name


def build_sdist(
    sdist_directory: str,  # noqa: ARG001
    config_settings: object = None,  # noqa: ARG001
) -> str:
    """Refuse: the source is a clone.

    Raises:
        NoEngine: Always.
    """
    raise NoEngine("there is no source distribution: clone the repository, or install its wheel")
