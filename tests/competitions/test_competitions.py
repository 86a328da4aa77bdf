"""From the data folder of a public competition to a valid submission, without an edit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.competitions.draw import COMPETITIONS, Competition, draw_anew
from tests.conftest import Command
from twinrun.config.project import SETTINGS
from twinrun.config.reading import read_settings
from twinrun.data.index import build_index
from twinrun.files import read_csv

pytestmark = pytest.mark.folders

# Weights cannot be fetched everywhere, and what is learnt from eight photos means nothing.
SHORT = (
    *("--set", "recipe.pretrained=false", "--set", "recipe.image_size=32"),
    *("--set", "recipe.epochs={frozen=1,unfrozen=1}"),
)


def found_in(project: Path) -> tuple[dict[str, str], list[str]]:
    """The class of each training image and the test images, by their paths, as a run sees them."""
    index = build_index(read_settings(project / SETTINGS))
    train, test = (index[index["part"] == part] for part in ("train", "test"))
    return dict(zip(train["path"], train["label"], strict=True)), sorted(test["path"])


@pytest.mark.parametrize("competition", COMPETITIONS, ids=lambda each: each.name)
def test_a_folder_becomes_a_valid_submission(
    twinrun: Command, tmp_path: Path, competition: Competition
) -> None:
    data, project = tmp_path / "data", tmp_path / "project"
    truth = draw_anew(competition, data)
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}

    made = twinrun("init", project, "--data", data, "--yes")
    assert made.returncode == 0, made.stderr
    assert found_in(project) == (truth.labels, sorted(truth.test))
    assert read_settings(project / SETTINGS).submission.columns == competition.columns

    run = twinrun("run", *SHORT, "--run", "first", cwd=project)
    assert run.returncode == 0, run.stdout + run.stderr
    submission = project / "runs" / "first" / "submission.csv"
    checked = twinrun("validate", submission, cwd=project)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    written, asked = (read_csv(path, all_text=True) for path in (submission, data / truth.sample))
    assert list(written.columns) == list(asked.columns)
    assert list(written[written.columns[0]]) == list(asked[asked.columns[0]])
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before


def test_a_folder_with_another_truth_is_reported(invoke: Command, tmp_path: Path) -> None:
    """What the test above compares differs as soon as one photo lies in another class."""
    data, project = tmp_path / "data", tmp_path / "project"
    truth = draw_anew(COMPETITIONS[-1], data)
    assert invoke("init", project, "--data", data, "--yes").returncode == 0
    path = min(truth.labels)
    assert truth.labels[path] != "leaf_rust"
    (data / path).rename(data / "train" / "leaf_rust" / Path(path).name)
    assert found_in(project)[0] != truth.labels
