"""Whose source a package takes: that of the project which its run lies in."""

from __future__ import annotations

from pathlib import Path

import pytest

from twinrun.cli.package import _project_of


def test_a_package_takes_the_source_of_the_runs_own_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("own", "other"):
        (tmp_path / name / "competition").mkdir(parents=True)
        (tmp_path / name / "competition" / "competition.toml").touch()
    run = tmp_path / "own" / "runs" / "full"
    run.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "other")
    assert _project_of(run) == tmp_path / "own"
    # A run that lies in no project was made for the one that the command stands in.
    (tmp_path / "elsewhere").mkdir()
    assert _project_of(tmp_path / "elsewhere") == Path()
