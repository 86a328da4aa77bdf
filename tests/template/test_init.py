"""`twinrun init` on real photos: from a data folder to a valid submission and own twins."""

from __future__ import annotations

import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from tests.template.conftest import Run

pytestmark = pytest.mark.template

SMALL = {
    "recipe.network": "resnet18",
    "recipe.image_size": 48,
    "recipe.pretrained": "false",
    "members.first.epochs.frozen": 0,
    "members.first.epochs.unfrozen": 1,
    "members.first.network": "resnet18",
    "members.first.validation": "{ share = 0.1 }",
    "run.threads": 1,
}


@pytest.fixture
def rice(request: pytest.FixtureRequest, shared_data: Path, tmp_path: Path) -> Path:
    """The rice photos, in folders per class or in one folder beside labels.csv."""
    source = shared_data / "rice"
    if request.param == "folders":
        return source
    folder = tmp_path / "unpacked"
    (folder / "images").mkdir(parents=True)
    for image in (source / "train").glob("*/*"):
        shutil.copyfile(image, folder / "images" / image.name)
    (folder / "images").rename(folder / "train_images")
    shutil.copytree(source / "test", folder / "test")
    shutil.copyfile(source / "labels.csv", folder / "train.csv")
    shutil.copyfile(source / "sample_submission.csv", folder / "SampleSubmission.csv")
    return folder


@pytest.mark.parametrize(
    "rice", ["folders", pytest.param("table", marks=pytest.mark.slow)], indirect=True
)
def test_from_real_photos_to_a_valid_submission_and_its_own_twins(
    rice: Path, published: Path, run: Run, tmp_path: Path
) -> None:
    project = tmp_path / "my rice"
    twinrun = (sys.executable, "-m", "twinrun")
    said = run(*twinrun, "init", project, "--data", rice, "--yes", cwd=published).stdout
    assert "207 images" in said
    settings = tomllib.loads((project / "competition" / "competition.toml").read_text())
    assert settings["competition"]["classes"] == ["bacterial_leaf_blight", "blast", "brown_spot"]
    assert settings["members"]["first"]["validation"] == {"folds": 5}
    assert "a tenth of 207 images is 20" in said
    assert settings["data"]["layout"] == ("folders" if rice.name == "rice" else "table")

    small = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
    trained = run(*twinrun, "run", *small, cwd=project).stdout
    assert "checked against the sample: valid" in trained
    twins = run(*twinrun, "twins", *small, cwd=project).stdout
    assert "same bits: 1 member trained twice" in twins


def test_a_refused_init_leaves_nothing_behind(published: Path, run: Run, tmp_path: Path) -> None:
    twinrun = (sys.executable, "-m", "twinrun")
    data = published / "tests" / "fixture"
    for options, says in (
        (["--data", tmp_path / "nowhere"], "no data folder"),
        (["--data", data, "--answer", "membrs=quick"], "did you mean 'members'?"),
        (["--data", data, "--answer", "metric=acuracy"], "did you mean 'accuracy'?"),
        (["--data", data, "--answer", "image_size=1"], "image_size=1: got '1'"),
    ):
        refused = run(
            *(*twinrun, "init", tmp_path / "new", *options, "--yes"), cwd=published, code=2
        )
        assert says in refused.stderr, refused.stderr
        assert "Traceback" not in refused.stdout + refused.stderr
        assert not list(tmp_path.glob("*"))
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine.txt").write_text("keep")
    refused = run(
        *(*twinrun, "init", tmp_path / "new", "--data", data, "--yes"), cwd=published, code=2
    )
    assert "is not empty" in refused.stderr
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mine.txt"]


def test_an_engine_that_a_project_unpacked_makes_no_project(
    published: Path, run: Run, tmp_path: Path
) -> None:
    project = tmp_path / "unpacked"
    shutil.copytree(published / "twinrun", project / "twinrun")
    refused = run(
        *(sys.executable, "-m", "twinrun", "init", tmp_path / "new"),
        *("--data", published / "tests" / "fixture", "--yes"),
        cwd=project,
        code=2,
    )
    assert "was unpacked by a project, and has no template" in refused.stderr
    assert not (tmp_path / "new").exists()
