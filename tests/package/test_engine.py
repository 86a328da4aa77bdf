"""The engine of a project: its folder, or the wheel that its lock names; each mistake is told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.package.packing import commit, engine_that_tells, engine_wheel, lock_wheels, thin_project
from twinrun.errors import InputError
from twinrun.package.engine import find_engine
from twinrun.package.worktree import read_work_tree
from twinrun.repro.source import code_digest

WHEEL = "vendor/twinrun-0.2.0-py3-none-any.whl"
HASH = f"--hash=sha256:{'0' * 64}"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return thin_project(tmp_path / "project")


def names_of(project: Path) -> set[str]:
    return {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}


def test_clone_wheel_and_unpacked_engine_of_one_source_have_one_digest(project: Path) -> None:
    of_wheel = read_work_tree(project).engine()
    assert (of_wheel.place, of_wheel.code) == (WHEEL, code_digest())
    shutil.copytree(
        ROOT / "twinrun", project / "twinrun", ignore=shutil.ignore_patterns("__pycache__")
    )
    commit(project)
    of_folder = read_work_tree(project).engine()
    assert (of_folder.place, of_folder.code) == ("twinrun/", code_digest())
    (project / "twinrun" / "names.py").write_text("# changed")
    assert read_work_tree(project).engine().code != code_digest()


def test_a_folder_that_git_ignores_is_not_the_projects_engine(project: Path) -> None:
    engine_that_tells(project / "twinrun")
    assert read_work_tree(project).engine().place == "twinrun/"
    with (project / ".gitignore").open("a") as file:
        file.write("/twinrun/\n")
    assert read_work_tree(project).engine().place == WHEEL


def replaced(project: Path) -> None:
    with (project / WHEEL).open("ab") as file:
        file.write(b"0")


def two_engines(project: Path) -> None:
    other = engine_wheel(project / "vendor", engine_that_tells(project / "other"), "0.3.0")
    lock_wheels(project, project / WHEEL, other)


def cut_short(project: Path) -> None:
    (project / WHEEL).write_bytes((project / WHEEL).read_bytes()[:1000])
    lock_wheels(project, project / WHEEL)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (
            lambda project: (project / WHEEL).unlink(),
            f"{WHEEL}: requirements.lock names it, and it is not there",
        ),
        (replaced, f"{WHEEL}: its SHA-256 is not the one in requirements.lock"),
        (
            lambda project: (project / "requirements.lock").write_text(f"./{WHEEL} {HASH}\n"),
            f"{WHEEL}: its SHA-256 is not the one in requirements.lock",
        ),
        (
            lambda project: (project / "requirements.lock").write_text(f"./{WHEEL}\n"),
            "requirements.lock holds what no lock may hold",
        ),
        (two_engines, f"names several engines: {WHEEL}, vendor/twinrun-0.3.0-py3-none-any.whl"),
        (
            lambda project: (project / "requirements.lock").write_text(f"torch==2.15.0 {HASH}\n"),
            "no engine: there is no folder twinrun/, and requirements.lock names no wheel",
        ),
        (lambda project: (project / "requirements.lock").unlink(), "no engine: there is no folder"),
        (
            lambda project: (project / "requirements.lock").write_text(
                f"./vendor/x-1-py3-none-any.whl {HASH}"
            ),
            "vendor/x-1-py3-none-any.whl: requirements.lock names it, and it is not there",
        ),
        (cut_short, f"{WHEEL} is not a whole wheel"),
    ],
)
def test_a_lock_and_a_wheel_that_do_not_go_together_are_one_mistake(
    project: Path, spoil: Callable[[Path], object], told: str
) -> None:
    spoil(project)
    with pytest.raises(InputError) as caught:
        find_engine(project, names_of(project))
    assert told in caught.value.what
    assert "nox -s lock" in caught.value.fix


def test_a_missing_wheel_is_told_beside_an_unpacked_engine_too(project: Path) -> None:
    engine_that_tells(project / "twinrun")
    assert find_engine(project, names_of(project)).place == "twinrun/"
    (project / WHEEL).unlink()
    with pytest.raises(InputError, match="it is not there"):
        find_engine(project, names_of(project))


def test_wheels_of_a_competitors_own_are_not_the_engine(project: Path) -> None:
    own = project / "vendor" / "mylib-1.0-py3-none-any.whl"
    own.write_bytes(b"own")
    lock_wheels(project, project / WHEEL, own, more=f"torch==2.15.0 \\\n    {HASH}\n")
    assert find_engine(project, names_of(project)).place == WHEEL
    own.write_bytes(b"other")
    with pytest.raises(InputError, match=r"mylib-1\.0-py3-none-any\.whl: its SHA-256"):
        find_engine(project, names_of(project))
