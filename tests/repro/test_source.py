"""The engine's source: one digest of it in any form, its version and commit."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.package.packing import commit, engine_wheel, git
from twinrun.package.worktree import read_work_tree
from twinrun.repro.environment import set_up
from twinrun.repro.source import (
    code_digest,
    describe_engine,
    read_commit,
    read_engine,
    wheel_code_digest,
)
from twinrun.wheel.engine_wheel import read_origin, write_wheel


def test_the_digest_sees_a_changed_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("x = 1\n")
    before = code_digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "page.html").touch()
    assert code_digest(tmp_path) == before
    (tmp_path / "one.py").write_text("x = 2\n")
    assert code_digest(tmp_path) != before
    (tmp_path / "one.py").rename(tmp_path / "two.py")
    (tmp_path / "two.py").write_text("x = 1\n")
    assert code_digest(tmp_path) != before


def test_what_runs_and_what_is_packed_have_one_digest(tmp_path: Path) -> None:
    assert set_up(threads=1)["beside"]["code"] == code_digest()
    for name in ("__main__.py", "a.py", "a/b.py", "a-b.py", "a.txt"):
        path = tmp_path / "twinrun" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    assert read_work_tree(tmp_path).engine().code == code_digest(tmp_path / "twinrun")


def test_a_wheel_and_the_folder_in_it_have_one_digest(tmp_path: Path) -> None:
    engine = tmp_path / "twinrun"
    for name in ("a.py", "a/b.py", "a-b.py", "a/page.html"):
        path = engine / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    wheel = engine_wheel(tmp_path / "vendor", engine)
    assert wheel_code_digest(wheel) == code_digest(engine)
    (engine / "a" / "b.py").write_text("changed")
    assert wheel_code_digest(wheel) != code_digest(engine)
    assert wheel_code_digest(engine_wheel(tmp_path / "other", engine)) == code_digest(engine)


def head_of(folder: Path) -> str:
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True
    )
    return head.stdout.strip()


def test_the_commit_is_told_and_whether_anything_changed_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = tmp_path / "one.py"
    one.touch()
    git(tmp_path, "init", "-q")
    assert read_commit(one) is None
    commit(tmp_path)
    head = head_of(tmp_path)
    assert read_commit(one) == head
    (tmp_path / "two.py").touch()
    assert read_commit(one) == f"{head}+changes"
    assert read_commit(tmp_path / "two.py") is None
    (tmp_path / ".git").rename(tmp_path / "git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert read_commit(one) is None
    monkeypatch.setenv("PATH", "")
    assert read_commit(one) is None


def test_an_installed_wheel_has_its_own_commit_and_not_that_of_the_project_around_it(
    tmp_path: Path,
) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text(".nox/\n")
    commit(tmp_path)
    site = tmp_path / ".nox" / "site-packages"
    for folder in ("twinrun", "twinrun-0.9.0.dist-info"):
        (site / folder).mkdir(parents=True)
    (site / "twinrun" / "__init__.py").touch()
    described = '[project]\nname = "twinrun"\nversion = "0.9.0"\n'
    (site / "twinrun" / "pyproject.toml").write_text(described)
    origin = site / "twinrun" / "origin.json"
    origin.write_text('{"commit": "0123456789abcdef+changes", "repository": null}')
    found = read_engine(site / "twinrun")
    assert found == {"version": "0.9.0", "commit": "0123456789abcdef+changes"}
    assert describe_engine(found) == "0.9.0, commit 01234567+changes"
    for damaged in ('{"commit": null, "repository": null}', "[]", "{", '{"commit": 7}'):
        origin.write_text(damaged)
        found = read_engine(site / "twinrun")
        assert found == {"version": "0.9.0", "commit": None}
    assert describe_engine(found) == "0.9.0, commit unknown"


def test_an_unpacked_engine_has_the_commit_of_the_project_that_owns_it(tmp_path: Path) -> None:
    engine = tmp_path / "twinrun"
    engine.mkdir()
    (engine / "__init__.py").touch()
    # What it was unpacked from; it may have been edited since.
    (engine / "origin.json").write_text('{"commit": "f00d", "repository": null}')
    described = '[project]\nname = "twinrun"\nversion = "0.9.0"\n'
    (engine / "pyproject.toml").write_text(described)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "wheat"\nversion = "3"\n')
    assert read_engine(engine) == {"version": "0.9.0", "commit": None}
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    head = head_of(tmp_path)
    assert read_engine(engine) == {"version": "0.9.0", "commit": head}
    (engine / "__init__.py").write_text("# edited")
    assert read_engine(engine) == {"version": "0.9.0", "commit": f"{head}+changes"}
    # A clone has the one beside it; a package of the competitor's own says nothing of the engine.
    (engine / "pyproject.toml").unlink()
    assert read_engine(engine)["version"] is None
    (tmp_path / "pyproject.toml").write_text(described)
    assert read_engine(engine)["version"] == "0.9.0"


def test_the_version_and_commit_of_a_written_wheel_are_those_of_its_clone(tmp_path: Path) -> None:
    with zipfile.ZipFile(write_wheel(tmp_path)) as wheel:
        wheel.extractall(tmp_path / "site")
    found, here = read_engine(tmp_path / "site" / "twinrun"), read_engine()
    assert found["version"] == here["version"] is not None
    assert found["commit"] == read_origin()["commit"]
    assert wheel_code_digest(next(tmp_path.glob("*.whl"))) == code_digest()
    assert code_digest(tmp_path / "site" / "twinrun") == code_digest()
