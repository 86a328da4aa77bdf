"""The engine's source: one digest of it, and one way to ask git."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.package.packing import commit, git
from twinrun.package.worktree import read_work_tree
from twinrun.repro.environment import set_up
from twinrun.repro.source import code_digest, read_commit


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
    for name in ("a.py", "a/b.py", "a-b.py", "a.txt"):
        path = tmp_path / "twinrun" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    assert read_work_tree(tmp_path).code_digest() == code_digest(tmp_path / "twinrun")


def test_the_commit_is_told_and_whether_anything_changed_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.py").touch()
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert read_commit(tmp_path) == head.stdout.strip()
    (tmp_path / "two.py").touch()
    assert read_commit(tmp_path) == f"{head.stdout.strip()}+changes"
    (tmp_path / ".git").rename(tmp_path / "git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert read_commit(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert read_commit(tmp_path) is None
