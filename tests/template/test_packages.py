"""A made project's run, handed in and verified: with the wheel, and with an engine of its own."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.template.conftest import Make, Run
from twinrun.repro.source import code_digest, wheel_code_digest

pytestmark = [pytest.mark.template, pytest.mark.slow]


@dataclass(frozen=True)
class Project:
    """A made project and the environment of its lock."""

    folder: Path
    environment: Path
    run: Run

    @property
    def wheel(self) -> Path:
        (wheel,) = (self.folder / "vendor").iterdir()
        return wheel

    def git(self, *arguments: str) -> str:
        return self.run("git", *arguments, cwd=self.folder).stdout.strip()

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", "As it is")

    def install(self, *what: str) -> None:
        command = ("uv", "pip", "install", "--quiet", "--python", self.environment)
        self.run(*command, *what, cwd=self.folder)

    def twinrun(self, *arguments: str, code: int = 0) -> CompletedProcess[str]:
        command = self.environment / "bin" / "twinrun"
        return self.run(command, *arguments, cwd=self.folder, code=code)

    def train(self) -> dict[str, Any]:
        """Train one small member on the drawn photos, or find it complete; the run's record."""
        changes = ("members.first.network=resnet18", "run.threads=1", "run.device=cpu")
        options = (part for change in changes for part in ("--set", change))
        self.twinrun("run", "--profile", "fixture", *options)
        record = (self.folder / "runs" / "fixture" / "manifest.json").read_text()
        content: dict[str, Any] = json.loads(record)
        return content

    def pack(self, code: int = 0) -> CompletedProcess[str]:
        return self.twinrun("package", "runs/fixture", "--for", "zindi", code=code)

    def verify(self, *options: str, code: int = 0) -> CompletedProcess[str]:
        package = "runs/fixture-zindi.zip"
        return self.twinrun("verify", package, "--data", "tests/fixture", *options, code=code)


@pytest.fixture
def project(make: Make, run: Run, tmp_path: Path) -> Project:
    made = Project(make(), tmp_path / "environment", run)
    made.git("init", "-q")
    made.commit()
    run("uv", "venv", "--quiet", made.environment, cwd=tmp_path)
    made.install("--require-hashes", "-r", "requirements.lock")
    return made


def test_a_project_is_verified_from_its_package_with_the_wheel(project: Project) -> None:
    record, locked = project.train(), wheel_code_digest(project.wheel)
    assert record["content"]["code"] == locked
    assert record["beside"]["commit"] == project.git("rev-parse", "HEAD")
    with zipfile.ZipFile(project.wheel) as archive:
        origin = json.loads(archive.read("twinrun/origin.json"))
    assert origin["commit"] not in (None, record["beside"]["commit"])
    assert record["beside"]["engine"]["commit"] == origin["commit"]
    project.pack()
    done = project.verify()
    assert f"engine    vendor/{project.wheel.name}, source {locked[:8]}" in done.stdout
    assert "environment as recorded" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("verified: ")
    project.verify("--this-environment")

    # One that was edited where it is installed is neither locked nor committed.
    (site,) = project.environment.glob("lib/*/site-packages")
    edited = site / "twinrun" / "names.py"
    text = edited.read_text()
    edited.unlink()  # it may be a link into the installer's cache
    edited.write_text(text + "# edited\n")
    code = code_digest(site / "twinrun")
    done = project.verify("--this-environment", code=2)
    assert f"environment: {site / 'twinrun'}, source {code[:8]}" in done.stderr
    assert project.train()["content"]["code"] == code
    assert "the run was made with a different engine" in project.pack(code=1).stderr


def test_a_project_is_verified_from_its_package_with_an_engine_of_its_own(
    project: Project,
) -> None:
    with zipfile.ZipFile(project.wheel) as archive:  # as `nox -s eject`
        names = [name for name in archive.namelist() if name.startswith("twinrun/")]
        archive.extractall(project.folder, names)
    project.install("--no-deps", "--no-build-isolation", "-e", "./twinrun")
    with (project.folder / "twinrun" / "names.py").open("a") as file:
        file.write("# our own\n")
    own = code_digest(project.folder / "twinrun")
    assert project.train()["content"]["code"] == own != wheel_code_digest(project.wheel)
    done = project.pack(code=1)
    assert "twinrun/: not as the commit" in done.stderr
    assert "different engine" not in done.stderr
    project.commit()
    project.pack()
    done = project.verify()
    assert f"engine    twinrun/, source {own[:8]}" in done.stdout
    assert "environment as recorded" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("verified: ")
