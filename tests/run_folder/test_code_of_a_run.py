"""Whose code a run's record may have run: that of the project, or what was asked for by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from twinrun.errors import InputError, NegativeVerdict
from twinrun.hooks.in_use import name_code, use
from twinrun.hooks.loading import load
from twinrun.run_folder import manifest
from twinrun.run_folder.manifest import read_run_settings
from twinrun.run_folder.own_code import find_code
from twinrun.run_folder.place import write_place

CODE = """import sys
sys.modules["ran_of_a_run"] = sys  # acts: it is imported as soon as it is in use


def metric(truth):
    return 1
"""


@pytest.fixture(autouse=True)
def has_not_run() -> Iterator[None]:
    yield
    sys.modules.pop("ran_of_a_run", None)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings file of the project that the process stands in."""
    config = written(tmp_path / "mine")
    monkeypatch.chdir(config.parents[1])
    return config


def written(folder: Path) -> Path:
    config = folder / "competition" / "competition.toml"
    config.parent.mkdir(parents=True)
    config.with_name("hooks.py").write_text(CODE)
    config.touch()
    return config


def content(**hooks: str) -> dict[str, Any]:
    return {
        "settings": {"members": {}, "competition": {"metric": "own"}},
        "environment": {"device": "cpu"},
        "blend": {"hooks": hooks} if hooks else None,
        "hooks": {},
    }


def recorded(config: Path) -> dict[str, Any]:
    """The content of a run that was made with the code as it is."""
    code = find_code(content(), config)
    effects = code.digests("pixels", {}) | code.digests("training", {})
    return content(**code.digests("blend", {})) | {"hooks": effects}


@pytest.mark.parametrize("place", ["runs/theirs", "competition/inner", "../else"])
def test_no_code_is_taken_from_where_a_runs_folder_says(project: Path, place: str) -> None:
    found = find_code(content(metric="0" * 64), written(Path(place)))
    assert not found.texts
    assert found.edited == ("metric: not there",)
    with pytest.raises(NegativeVerdict, match="Code that a run's folder names is run nowhere else"):
        found.refuse_edited()


def test_but_from_beside_settings_that_were_named(project: Path) -> None:
    config = written(Path("../named"))
    name_code(config)
    assert find_code(content(), config).texts


def test_nor_from_beside_a_link_to_the_projects_settings(project: Path) -> None:
    beside = Path("runs", "theirs")
    beside.mkdir(parents=True)
    (beside / "hooks.py").write_text(CODE)
    (beside / "competition.toml").symlink_to(project)
    assert not find_code(content(), beside / "competition.toml").texts


@pytest.mark.parametrize("config", ["", "\0/x", "x" * 5000, "competition.toml"])
def test_a_place_that_is_none_has_no_code(project: Path, config: str) -> None:
    assert not find_code(content(), Path(config)).texts
    assert not find_code(content(), None).texts


@pytest.mark.parametrize("hooks", [{}, {"metric": "0" * 64}])
def test_a_strangers_run_runs_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, hooks: dict[str, str]
) -> None:
    run = Path("runs", "theirs")
    config = written(run)
    write_place(run, config=config, data_folder=Path("data"), cache="cache")
    monkeypatch.setattr(manifest, "read_manifest", lambda _: {"content": content(**hooks)})
    with pytest.raises(InputError):
        read_run_settings(run, None)
    assert "ran_of_a_run" not in sys.modules


def test_the_projects_code_is_run_where_it_is_what_was_recorded(project: Path) -> None:
    found = find_code(recorded(project), Path("competition", "competition.toml"))
    assert found.edited == ()
    use(found, {})
    load(found)
    assert "ran_of_a_run" in sys.modules


def test_an_edited_code_is_not_imported_before_it_is_said_to_be_another(project: Path) -> None:
    then = recorded(project)
    project.with_name("hooks.py").write_text(CODE.replace("return 1", "return 2"))
    found = find_code(then, project)
    assert "metric: edited since, or what it reaches" in found.edited
    use(found, {})
    with pytest.raises(NegativeVerdict, match="is not what the run was made with"):
        load(found)
    assert "ran_of_a_run" not in sys.modules
