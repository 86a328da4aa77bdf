"""manifest.json: what decides bits on one side, clocks and paths on the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.package.packing import commit, git
from twinrun.config.reading import read_settings
from twinrun.data.index import data_digest
from twinrun.repro.source import read_engine
from twinrun.run_folder.manifest import build_manifest

ENVIRONMENT = {"decides": {"threads": 1}, "beside": {"workers": 0}}
RECORD = {
    "identity": {"environment": ENVIRONMENT["decides"]},
    "files": {"test.csv": "f" * 64},
    "scores": {"valid_loss": 0.5},
    "seconds": 12.5,
}


@pytest.fixture
def index() -> pd.DataFrame:
    columns = ["part", "id", "label", "sha256", "group"]
    return pd.DataFrame([["train", "004217", "x", "s", "004217"]], columns=columns)


def make(config: Path, index: pd.DataFrame, **options: Any) -> dict[str, Any]:
    settings = read_settings(config, changes=options.pop("changes", []))
    submission = config.with_name("submission.csv")
    submission.write_text("id,x\n1,0.5\n")
    seconds = options.pop("seconds", 1.0)
    return build_manifest(
        settings,
        data_digest(index),
        ENVIRONMENT,
        {"a": RECORD},
        submission=submission,
        seconds=seconds,
        guards={},
    )


def test_the_content_holds_no_time_or_worker_count_and_nothing_a_path(
    small_toml: Path, index: pd.DataFrame
) -> None:
    first = make(small_toml, index)
    elsewhere = small_toml.parent / "elsewhere"
    elsewhere.mkdir()
    moved = elsewhere / "other.toml"
    moved.write_text(small_toml.read_text())
    changes = ["run.workers=4", "run.cache='/nowhere'", "data.folder='/nowhere'"]
    second = make(moved, index, changes=changes, seconds=99.0)
    assert first["content"] == second["content"]
    assert first["beside"] != second["beside"]
    assert str(small_toml.parent) not in json.dumps(first)
    assert str(elsewhere) not in json.dumps(second)
    assert "nowhere" not in json.dumps(second)


def test_the_content_changes_with_settings_data_and_submission(
    small_toml: Path, index: pd.DataFrame
) -> None:
    first = make(small_toml, index)["content"]
    reseeded = make(small_toml, index, changes=["run.seed=1"])["content"]
    relabelled = make(small_toml, index.assign(label="y"))["content"]
    assert first["settings"] != reseeded["settings"]
    assert first["data"] != relabelled["data"]
    assert first["submission"]
    assert first["members"]["a"]["files"] == RECORD["files"]


def test_the_commits_of_project_and_engine_are_recorded_apart(
    small_toml: Path, index: pd.DataFrame
) -> None:
    beside = make(small_toml, index)["beside"]
    assert beside["commit"] is None
    assert beside["engine"] == read_engine()
    git(small_toml.parent, "init", "-q")
    commit(small_toml.parent)
    beside = make(small_toml, index)["beside"]
    assert beside["commit"] is not None
    assert beside["commit"] != beside["engine"]["commit"]
