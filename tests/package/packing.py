"""What the tests of packages share: sources under git, and a run that nobody trained."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from tests.conftest import FIXTURE, ROOT, SMALL
from tests.run_folder.documents import edited, place_of, record_member, write_sealed
from twinrun.config.reading import read_settings
from twinrun.data.index import build_index, data_digest
from twinrun.files import sha256_file, write_csv
from twinrun.package.hosts import HOSTS
from twinrun.package.package import make_package
from twinrun.package.worktree import read_work_tree
from twinrun.run_folder.manifest import build_manifest, guard_digests

HISTORY = {
    "epoch": [1, 2],
    "phase": ["frozen", "unfrozen"],
    "train_loss": [1.0, 0.5],
    "valid_loss": [1.0, 0.5],
    "accuracy": [0.5, 0.75],
    "error_rate": [0.5, 0.25],
    "learning_rate": [0.001, 0.0001],
}
GIT = ("git", "-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")

ENVIRONMENT = {
    "decides": {
        "device": "cpu",
        "threads": 1,
        "instruction_set": "AVX2",
        "machine": "x86_64",
        "python": "3.11.7",
        "packages": {"torch": "2.15.0"},
    },
    "beside": {"processor": "", "cores": 2, "platform": "Linux-6.1", "workers": 0},
}


def git(folder: Path, *arguments: str) -> None:
    subprocess.run([*GIT, *arguments], cwd=folder, check=True, capture_output=True)


def committed_source(folder: Path) -> Path:
    """The engine as it is now, all of it committed in a repository of its own."""
    shutil.copytree(
        ROOT / "twinrun", folder / "twinrun", ignore=shutil.ignore_patterns("__pycache__")
    )
    (folder / "competition").mkdir()
    shutil.copy(ROOT / "competition" / "competition.toml", folder / "competition")
    for name in ("pyproject.toml", "requirements.lock", "README.md", "LICENSE", ".gitignore"):
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "-q")
    commit(folder)
    return folder


def thin_project(folder: Path, engine: Path = ROOT / "twinrun") -> Path:
    """A project whose engine is a wheel in vendor/, all of it committed."""
    for name in ("competition.toml", "hooks.py"):
        (folder / "competition").mkdir(parents=True, exist_ok=True)
        (folder / "competition" / name).touch()
    (folder / "noxfile.py").touch()
    (folder / "pyproject.toml").write_text('[project]\nname = "wheat"\nversion = "1"\n')
    (folder / "requirements-dev.lock").write_text("pytest==9.0 --hash=sha256:00\n")
    (folder / ".gitignore").write_text("/competition/local.toml\n/runs/\n/.nox/\n")
    lock_wheels(folder, engine_wheel(folder / "vendor", engine))
    git(folder, "init", "-q")
    commit(folder)
    return folder


def lock_wheels(folder: Path, *wheels: Path, more: str = "") -> Path:
    """A project's requirements.lock, as uv writes it: wheels of the project and more lines."""
    lines = [
        f"./{wheel.relative_to(folder).as_posix()} \\\n    --hash=sha256:{sha256_file(wheel)}\n"
        for wheel in wheels
    ]
    lock = folder / "requirements.lock"
    lock.write_text("".join(lines) + more)
    return lock


def engine_that_tells(folder: Path) -> Path:
    """An engine in place of Twinrun: it prints its own place, then what it is called with."""
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    main = "import json, sys\nprint(json.dumps([__file__, *sys.argv[1:]]))\n"
    (folder / "__main__.py").write_text(main)
    return folder


def with_engine(package: Path, output: Path, remake: str, main: str = "") -> Path:
    """A package with an engine of its own in code/twinrun/, of two modules: nobody has read it."""
    modules = {"__init__": "", "__main__": main, "verify/__init__": "", "verify/remake": remake}
    return repacked(
        package,
        output,
        {f"code/twinrun/{name}.py": text.encode() for name, text in modules.items()},
    )


def repacked(
    package: Path, output: Path, changes: Mapping[str, bytes], *, listed: bool = True
) -> Path:
    """The package with other files; `listed`: with their digests in package.json, too."""
    with zipfile.ZipFile(package) as before, zipfile.ZipFile(output, "w") as after:
        files = {name: before.read(name) for name in before.namelist()} | dict(changes)
        contents = json.loads(files.pop("package.json"))
        for name, data in changes.items():
            if listed:
                digest = hashlib.sha256(data).hexdigest()
                contents["files"][name] = {"bytes": len(data), "sha256": digest}
        for name, data in files.items():
            after.writestr(name, data)
        after.writestr("package.json", json.dumps(contents))
    return output


def thin_package(folder: Path, engine: Path = ROOT / "twinrun") -> Path:
    """The package of a project whose engine is a wheel, and of a run that nobody trained."""
    project = thin_project(folder / "thin", engine)
    toml = folder / "small.toml"
    toml.write_text(SMALL.format(folder=FIXTURE.as_posix()), encoding="utf-8")
    run = drawn_run(toml, folder / "thin" / "runs" / "full")
    code = read_work_tree(project).engine().code
    edited(run / "manifest.json", "content", "code", value=code)
    package = folder / "thin.zip"
    make_package(run, HOSTS.get("zindi"), package, force=False, project=project)
    return package


def engine_wheel(vendor: Path, engine: Path, version: str = "0.2.0") -> Path:
    """An engine's folder as the wheel of a project, in its folder vendor/."""
    vendor.mkdir(parents=True, exist_ok=True)
    wheel = vendor / f"twinrun-{version}-py3-none-any.whl"
    info = f"twinrun-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in sorted(engine.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.write(path, f"twinrun/{path.relative_to(engine).as_posix()}")
        described = f'[project]\nname = "twinrun"\nversion = "{version}"\n'
        archive.writestr("twinrun/pyproject.toml", described)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: twinrun\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        names = [*archive.namelist(), f"{info}/RECORD"]
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in names))
    return wheel


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "As it is")


def drawn_run(config: Path, folder: Path) -> Path:
    """A run that looks complete, with small weights: nothing in it was trained."""
    settings = read_settings(config)
    index = build_index(settings)
    folder.mkdir(parents=True)
    index.to_parquet(folder / "index.parquet", index=False)
    records: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(settings.members):
        member = folder / "members" / name
        (member / "checkpoint").mkdir(parents=True)
        (member / "checkpoint" / "epoch.safetensors").touch()
        (member / "valid.csv").write_text("id,label,x\n004217,x,0.5\n")
        (member / "test.csv").write_text(f"id,x\n1,0.{number}\n")
        (member / "ledger.parquet").write_bytes(b"ledger")
        write_csv(member / "history.csv", pd.DataFrame({**HISTORY, "seconds": [2.0, 61.0]}))
        save_file({"x": np.array([number], np.float32)}, member / "weights.safetensors")
        record: dict[str, Any] = {
            "identity": {
                "settings": settings.training_content(name),
                "data": data_digest(index),
                "environment": ENVIRONMENT["decides"],
            },
            "images": {"train": 3, "valid": 1, "test": 1},
            "scores": {"valid_loss": 0.5, "accuracy": 0.75},
            "seconds": 70.5,
        }
        records[name] = record_member(member, **record)
    (folder / "submission.csv").write_text("ID,x\n1,0.5\n")
    submission = folder / "submission.csv"
    content = build_manifest(
        settings,
        data_digest(index),
        ENVIRONMENT,
        records,
        submission=submission,
        seconds=150.0,
        guards=guard_digests(folder),
    )
    place_of(folder, settings)
    write_sealed(folder / "manifest.json", content)
    return folder
