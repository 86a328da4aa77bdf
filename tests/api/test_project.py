"""What Python and notebooks do with a project."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import twinrun
from tests.api.conftest import new_project
from tests.conftest import FIXTURE
from twinrun.api import command
from twinrun.api.project import Project, _as_toml


def test_a_project_is_found_from_a_folder_within(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder / "competition")
    found = twinrun.open_project(changes={"run.seed": 7})
    assert found.folder == project.folder
    assert found.settings.run.seed == 7
    assert found.runs == ["fixture"]
    assert found.open_run("fixture").name == "fixture"
    assert repr(found).startswith("<Project ")


def test_no_project_and_wrong_settings_are_reported(project: Project, tmp_path: Path) -> None:
    with pytest.raises(twinrun.InputError, match=r"there is no competition/competition\.toml"):
        twinrun.open_project(tmp_path)
    with pytest.raises(twinrun.InputError, match=r"run\.sed"):
        twinrun.open_project(project.folder, changes={"run.sed": 7})
    with pytest.raises(twinrun.InputError, match="no value of a setting"):
        twinrun.open_project(project.folder, changes={"run.seed": object()})
    with pytest.raises(twinrun.InputError, match="is not a run"):
        project.open_run("other")
    with pytest.raises(twinrun.InputError, match="a/b"):
        project.open_run("a/b")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (7, "7"),
        (1e-3, "0.001"),
        ('a"b', '"a\\"b"'),
        (Path("x/y"), '"x/y"'),
        ([1, 2.5], "[1, 2.5]"),
        ({"folds": 5}, "{folds = 5}"),
    ],
)
def test_values_are_written_as_set_takes_them(value: Any, text: str) -> None:
    assert _as_toml(value) == text


def test_an_audit_is_a_table(project: Project) -> None:
    audited = project.audit()
    assert audited.fit
    assert list(audited.findings) == ["check", "severity", "count", "title", "images"]
    assert len(audited.findings) == len(audited.audit.found)
    assert "Fit to train on" in audited._repr_html_()


def test_a_project_predicts_with_its_run(project: Project) -> None:
    found = project.predict(FIXTURE / "test")
    assert next(iter(found)) == "id"
    assert len(found) == len(list((FIXTURE / "test").iterdir()))


def test_commands_are_given_what_was_asked(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(command, "run_command", lambda words, folder: asked.append(words))
    project.run(hours=2)
    project.train("a", "b/fold-1", name="fixture")
    replace(project, changes={"run.seed": 7}, data=Path("photos")).run("fixture")
    given = ["--run", "fixture", "--profile", "fixture"]
    more = ["--data", str(Path("photos").absolute()), "--set", "run.seed=7"]
    assert asked == [
        ["run", "--hours", "2", *given],
        ["train", "a", "b/fold-1", *given],
        ["run", *given, *more],
    ]


@pytest.mark.slow
def test_a_run_from_python_has_the_bits_of_one_in_this_process(
    project: Project, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = new_project(tmp_path).run("fixture")
    assert twinrun.diff_runs(project.folder / "runs" / "fixture", run.folder).same
    said = capfd.readouterr().out
    assert "submission" in said
    assert "\x1b" not in said
