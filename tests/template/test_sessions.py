"""The sessions of a made project: unedited, under uv and under plain virtualenv with pip."""

from __future__ import annotations

import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.template.conftest import Make, Run, contents
from tests.template.test_projects import CYCLE, WHOLE
from tests.template.test_updates import commit, locked

pytestmark = pytest.mark.template


@pytest.fixture
def project(make: Make, run: Run, tmp_path: Path) -> Path:
    """A fresh clone of a project, whose owner edited nothing."""
    made = make(**CYCLE[WHOLE])
    commit(run, made, "init", "-q")
    commit(run, made, "Begin")
    clone = tmp_path / "clone"
    run("git", "clone", "-q", made, clone, cwd=tmp_path)
    return clone


@pytest.fixture
def without_uv(tmp_path: Path) -> dict[str, str]:
    """What makes nox use virtualenv and pip: sessions find no uv on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "nox").symlink_to(Path(sys.executable).with_name("nox"))
    for name in ("git", "sh"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return {"NOX_DEFAULT_VENV_BACKEND": "virtualenv", "PATH": str(folder)}


def check_all_sessions(project: Path, run: Run, more: Mapping[str, str]) -> None:
    """Run every session in one environment, which `tests` installs, and what needs no training."""
    folder = project / ".nox"

    def session(name: str, *options: str) -> str:
        link = folder / name
        if name != "tests" and not link.exists():
            link.symlink_to(folder / "tests")
        command = ("nox", "-R", "-s", name, *(("--", *options) if options else ()))
        return run(*command, cwd=project, more=more).stdout

    tested = session("tests")
    assert " passed" in tested
    assert "warning" not in tested
    session("lint")
    assert "same bits: 1 member trained twice" in session("reproducibility")
    trained = session("full_train")
    assert "no data folder" in trained
    submission = "submission runs/fixture/submission.csv, checked against the sample: valid"
    assert submission in trained

    # With images in data/ it trains on them.
    shutil.copytree(project / "tests" / "fixture", project / "data")
    small = ("--set", "recipe.network=resnet18", "--set", "recipe.image_size=32")
    quick = ("--set", "recipe.pretrained=false", "--set", "members.first.epochs.frozen=1")
    assert "no data folder" not in session("full_train", *small, *quick)
    assert (project / "runs" / "full" / "submission.csv").is_file()

    # What is not installed is named by the line that installs it.
    twinrun = folder / "tests" / "bin" / "twinrun"
    refused = run(twinrun, "run", "--ray", "--profile", "fixture", cwd=project, code=2, more=more)
    said = " ".join((refused.stdout + refused.stderr).split())
    assert "nox -s lock -- --extra cluster, then rerun the session" in said
    assert run("git", "status", "--porcelain", cwd=project).stdout == ""


def test_a_project_passes_all_its_sessions_under_uv(project: Path, run: Run) -> None:
    check_all_sessions(project, run, {})
    # What is locked stays so.
    assert "uv pip install uv" in run("nox", "-s", "lock", cwd=project).stderr
    assert run("git", "status", "--porcelain", cwd=project).stdout == ""


@pytest.mark.slow  # pip copies 6 GB of packages
def test_a_project_passes_all_its_sessions_under_virtualenv_with_pip(
    project: Path, run: Run, without_uv: dict[str, str]
) -> None:
    assert shutil.which("uv", path=without_uv["PATH"]) is None
    check_all_sessions(project, run, without_uv)
    locking = run("nox", "-s", "lock", cwd=project, more=without_uv).stderr
    assert "python -m pip install uv" in locking
    assert run("git", "status", "--porcelain", cwd=project).stdout == ""
    # A different engine of the same version is installed: pip alone would keep the present one.
    (wheel,) = project.glob("vendor/*.whl")
    change_wheel(wheel, "twinrun/errors.py", b"How a command", b"HOW a command")
    run("nox", "-s", "lock", cwd=project, more=without_uv)
    run("nox", "-s", "tests", "--install-only", cwd=project, more=without_uv)
    (installed,) = project.glob(".nox/tests/lib/*/site-packages/twinrun/errors.py")
    assert "HOW a command" in installed.read_text()


def change_wheel(wheel: Path, name: str, old: bytes, new: bytes) -> None:
    """Give a wheel a different member, in RECORD too: as of a different commit."""
    from twinrun.wheel.engine_wheel import _write

    with zipfile.ZipFile(wheel) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    assert old in members[name]
    members[name] = members[name].replace(old, new)
    del members[next(each for each in members if each.endswith("/RECORD"))]
    _write(wheel, members)


def test_a_project_develops_without_ray_servers_browsers_and_torch(project: Path) -> None:
    development = locked(project / "requirements-dev.lock").keys()
    assert {"ruff", "pytest", "pre-commit", "cruft"} <= development
    lacking = {"ray", "moto", "playwright", "torch", "fastai", "numpy", "boto3", "mypy"}
    assert not development & lacking
    assert "torch" in locked(project / "requirements.lock")
    assert "ray" not in locked(project / "requirements.lock")


def test_an_extra_adds_its_packages_to_the_lock_of_a_run_alone(project: Path, run: Run) -> None:
    before = locked(project / "requirements.lock")
    development = locked(project / "requirements-dev.lock")
    run("nox", "-s", "lock", "--", "--extra", "cluster", cwd=project)
    after = locked(project / "requirements.lock")
    assert {"ray", "s3fs", "fsspec"} <= after.keys()
    assert {name: after.get(name) for name in before} == before
    assert locked(project / "requirements-dev.lock") == development
    # And without it they are gone again, everything else as it was.
    run("nox", "-s", "lock", cwd=project)
    assert run("git", "status", "--porcelain", cwd=project).stdout == ""


def test_an_unknown_extra_is_refused_with_those_that_there_are(project: Path, run: Run) -> None:
    said = run("nox", "-s", "lock", "--", "--extra", "clutser", cwd=project, code=1).stderr
    assert "no such extra: clutser; there are cluster, distributed, export, gcs, tracking" in said
    assert run("git", "status", "--porcelain", cwd=project).stdout == ""


def test_a_package_that_cannot_be_locked_leaves_both_locks_as_they_are(
    project: Path, run: Run
) -> None:
    settings = project / "pyproject.toml"
    settings.write_text(settings.read_text().replace('    "ruff",\n', '    "ruff==0.0.0",\n'))
    dependencies = settings.read_text().replace("dependencies = []", 'dependencies = ["humanize"]')
    settings.write_text(dependencies)
    run("nox", "-s", "lock", cwd=project, code=1)
    assert run("git", "status", "--porcelain", cwd=project).stdout == " M pyproject.toml\n"


def _remove(wheel: Path) -> None:
    wheel.unlink()


def _double(wheel: Path) -> None:
    shutil.copy(wheel, wheel.with_name("twinrun-0.0.1-py3-none-any.whl"))


def _empty(wheel: Path) -> None:
    wheel.write_bytes(b"no zip")


def _flip(wheel: Path) -> None:
    content = wheel.read_bytes()
    place = content.index(b"How a command ends before its time")
    wheel.write_bytes(content[:place] + b"h" + content[place + 1 :])


def _cut(wheel: Path) -> None:
    wheel.write_bytes(wheel.read_bytes()[:-1000])


def _replace(wheel: Path) -> None:
    change_wheel(wheel, "twinrun/errors.py", b"How a command", b"HOW a command")


def _without_line(wheel: Path) -> None:
    lock = wheel.parents[1] / "requirements.lock"
    lock.write_text(re.sub(r"\./vendor/.*\n.*\n", "", lock.read_text()))


def _without_lock(wheel: Path) -> None:
    (wheel.parents[1] / "requirements.lock").unlink()


def _conflict(wheel: Path) -> None:
    lock = wheel.parents[1] / "requirements.lock"
    marks = "<<<<<<< ours\ntyper==1\n=======\ntyper==2\n>>>>>>> theirs\n"
    lock.write_text(lock.read_text() + marks)


def _development_conflict(wheel: Path) -> None:
    lock = wheel.parents[1] / "requirements-dev.lock"
    lock.write_text("<<<<<<< ours\n" + lock.read_text())


@pytest.mark.parametrize(
    ("spoil", "session", "says"),
    [
        (_remove, "reproducibility", "vendor/ must hold one wheel of the engine, and holds none"),
        (_double, "tests", "vendor/ must hold one wheel of the engine, and holds twinrun-0.0.1"),
        (_double, "lock", "vendor/ must hold one wheel of the engine, and holds twinrun-0.0.1"),
        (_empty, "full_train", "is damaged (File is not a zip file): git checkout -- vendor"),
        (_empty, "lock", "is damaged (File is not a zip file): git checkout -- vendor"),
        (_empty, "eject", "is damaged (File is not a zip file): git checkout -- vendor"),
        (_flip, "tests", "is damaged (twinrun/errors.py): git checkout -- vendor"),
        (_flip, "lock", "is damaged (twinrun/errors.py): git checkout -- vendor"),
        (_cut, "eject", "is damaged (File is not a zip file): git checkout -- vendor"),
        (_replace, "tests", "requirements.lock does not name vendor/twinrun-"),
        (_without_line, "full_train", "requirements.lock does not name vendor/twinrun-"),
        (_without_lock, "tests", "requirements.lock is missing: write it anew with `nox -s lock`"),
        (_conflict, "tests", "requirements.lock has conflict marks: write it anew with `nox -s l"),
        (_development_conflict, "lint", "requirements-dev.lock has conflict marks: write it anew"),
    ],
)
def test_a_spoilt_wheel_or_lock_is_named_before_anything_is_installed_or_written(
    spoil: Callable[[Path], None], session: str, says: str, project: Path, run: Run
) -> None:
    (wheel,) = project.glob("vendor/*.whl")
    spoil(wheel)
    before = contents(project)
    refused = run("nox", "-s", session, cwd=project, code=1)
    assert says in refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr
    assert "pip install" not in refused.stderr
    shutil.rmtree(project / ".nox")
    after = contents(project)
    after = {name: after[name] for name in after if "__pycache__" not in name}
    assert after == before


@pytest.mark.parametrize("spoil", [_without_line, _without_lock, _conflict, _replace])
def test_a_spoilt_lock_is_written_anew(
    spoil: Callable[[Path], None], project: Path, run: Run
) -> None:
    (wheel,) = project.glob("vendor/*.whl")
    run("nox", "-s", "lock", "--", "--extra", "gcs", cwd=project)
    lock = project / "requirements.lock"
    before = locked(lock)
    spoil(wheel)
    run("nox", "-s", "lock", "--", "--extra", "gcs", cwd=project)
    assert locked(lock) == before
    assert f"./vendor/{wheel.name} \\\n" in lock.read_text()
    assert "<<<<" not in lock.read_text()
