"""A command works on the project that it stands in, whichever engine carries it out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT, SMALL, Command
from twinrun.config.project import find_project
from twinrun.errors import InputError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of another competition, outside of this repository."""
    folder = tmp_path / "rice"
    (folder / "competition").mkdir(parents=True)
    fixture = (ROOT / "tests" / "fixture").as_posix()
    text = SMALL.format(folder=fixture).replace('name = "', 'name = "rice ')
    (folder / "competition" / "competition.toml").write_text(text, encoding="utf-8")
    (folder / "notes" / "deep").mkdir(parents=True)
    return folder


def test_it_is_found_from_the_working_folder_upward(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    assert find_project() == Path()
    monkeypatch.chdir(project / "notes" / "deep")
    assert find_project() == project
    assert find_project(ROOT / "tests") == ROOT


def test_the_nearest_is_taken(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = project / "notes" / "competition"
    inner.mkdir()
    (inner / "competition.toml").touch()
    monkeypatch.chdir(project / "notes" / "deep")
    assert find_project() == project / "notes"


def test_a_link_that_leads_nowhere_is_no_reason_to_take_the_project_above(
    project: Path, invoke: Command
) -> None:
    inner = project / "notes" / "competition"
    inner.mkdir()
    (inner / "competition.toml").symlink_to(project / "nowhere.toml")
    answer = invoke("audit", cwd=project / "notes")
    assert answer.returncode == 2
    assert "competition/competition.toml" in answer.stderr
    assert not (project / "runs").exists()


def test_a_working_folder_that_is_gone_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(InputError, match="the working folder cannot be read"):
        find_project()


def test_outside_of_any_the_message_says_so_and_how_to_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as refusal:
        find_project()
    text = str(refusal.value)
    assert f"no competition/competition.toml in {tmp_path}, nor in any folder above it" in text
    assert "twinrun init DIR --data FOLDER" in text


@pytest.mark.parametrize("command", ["run", "train", "blend", "audit", "twins", "cache"])
def test_every_command_that_needs_settings_refuses_outside_of_a_project(
    command: str, invoke: Command
) -> None:
    answer = invoke(command)
    assert answer.returncode == 2
    assert "there is no competition/competition.toml" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_settings_and_runs_are_those_of_the_project_that_the_command_stands_in(
    project: Path, invoke: Command, tmp_path: Path
) -> None:
    """The engine is installed in this repository's environment, and answers for the other one."""
    (project / "competition" / "competition.toml").write_text("[competition]\nname = 1\n")
    answer = invoke("audit", cwd=project / "notes" / "deep")
    assert answer.returncode == 2
    assert str(project / "competition" / "competition.toml") in answer.stderr.replace("\n", "")
    text = SMALL.format(folder=(ROOT / "tests" / "fixture").as_posix())
    (project / "competition" / "competition.toml").write_text(text, encoding="utf-8")
    answer = invoke("audit", cwd=project / "notes" / "deep")
    assert answer.returncode == 0, answer.stderr
    assert list((project / "runs").glob("cache/*"))
    assert not (project / "notes" / "deep" / "runs").exists()
