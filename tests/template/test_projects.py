"""Projects made from the template: the files they hold, and the sessions they promise."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.template.conftest import Make, Run, contents

pytestmark = pytest.mark.template

# Every value of every question at least once.
CYCLE: dict[str, dict[str, str]] = {
    "defaults": {},
    "table": {
        "project_name": 'L\'été "2026"',
        "classes": "Été,d'or",
        "layout": "table",
        "id_column": "Image id",
        "label_column": "Kind",
        "metric": "AUC",
        "submission_columns": "the last class's probability",
        "members": "strong",
        "licence": "MIT",
        "ci": "none",
    },
    "label": {
        "project_name": "12 grades",
        "competition_address": "https://example.org/2nd",
        "classes": "0,1,2,3,4",
        "metric": "quadratic kappa",
        "submission_columns": "the likeliest class",
        "image_size": "96",
        "licence": "none",
    },
    "many": {
        "project_name": "lambda",
        "classes": ",".join(f"kind {n}" for n in range(12)),
        "metric": "macro F1",
        "members": "13th place",
    },
    "accuracy": {
        "project_name": "2nd class",
        "classes": "a b,Été,c",
        "metric": "accuracy",
        "submission_columns": "the likeliest class",
    },
}
# The one of them whose sessions are all run.
WHOLE = "accuracy"
RENDERED = ("README.md", "competition/competition.toml")


def common_files(answers: dict[str, str]) -> dict[str, Path]:
    generation = runpy.run_path(str(ROOT / "template" / "generation.py"))
    defaults = {"ci": "GitHub Actions", "licence": "Apache-2.0"}
    files: dict[str, Path] = generation["common_files"](defaults | answers)
    return files


def test_every_value_of_every_question_is_in_the_cycle(published: Path) -> None:
    questions: dict[str, Any] = json.loads(
        (published / "template" / "cookiecutter.json").read_text()
    )
    for key, value in questions.items():
        if isinstance(value, list) and not key.startswith("_"):
            seen = {answers.get(key, value[0]) for answers in CYCLE.values()}
            assert seen == set(value), key


@pytest.mark.parametrize("name", CYCLE)
def test_a_project_has_exactly_its_files_and_they_work(name: str, make: Make, run: Run) -> None:
    answers = CYCLE[name]
    project = make(**answers)
    files = contents(project)
    common = common_files(answers)
    own = {path for path in files if not path.startswith("tests/fixture/")} - set(common)
    expected = {*RENDERED, "pyproject.toml"}
    assert own == expected | ({"LICENSE"} if answers.get("licence") == "MIT" else set())
    for path, source in common.items():
        assert files[path] == source.read_bytes(), path
    for path in RENDERED:
        text = files[path].decode()
        for left in ("{{", "}}", "{%", "%}", "cookiecutter", "None", "Undefined"):
            assert left not in text, (path, left)
    settings = tomllib.loads(files["competition/competition.toml"].decode())
    assert settings["competition"]["name"] == answers.get("project_name", "Wheat rust")

    # The child's own lint and small twins, with the child's engine: its folder is looked in first.
    run("ruff", "check", ".", cwd=project)
    run("ruff", "format", "--check", ".", cwd=project)
    run("lint-imports", cwd=project)
    if name != WHOLE:
        run(sys.executable, "-m", "pytest", "-q", "tests/test_competition.py", cwd=project)


def test_a_clone_an_address_and_a_zip_give_the_same_project(
    make: Make, published: Path, tmp_path_factory: pytest.TempPathFactory, run: Run
) -> None:
    folder = tmp_path_factory.mktemp("zip")
    run(
        *("git", "archive", "--format=zip", "--prefix=twinrun-main/"),
        *("-o", folder / "twinrun.zip", "HEAD"),
        cwd=published,
    )
    found = []
    for source in (published, f"git+file://{published}", folder / "twinrun.zip"):
        project = make(source)
        found.append(contents(project))
        shutil.rmtree(project)
    assert found[0] == found[1] == found[2]


def test_a_relative_path_works_as_well(published: Path, run: Run, tmp_path: Path) -> None:
    run(
        *("cookiecutter", ".", "--directory", "template", "--no-input", "-o", tmp_path),
        cwd=published,
    )
    assert (tmp_path / "wheat-rust" / "twinrun" / "cli" / "app.py").is_file()


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"classes": "one"}, "classes: got 'one', allowed: two or more different names"),
        ({"project_slug": "Über"}, "project_slug: got 'Über'"),
        ({"image_size": "12"}, "image_size: got '12', allowed: a whole number from 32 to 4096"),
    ],
)
def test_a_refused_answer_leaves_no_folder_behind(
    answers: dict[str, str], says: str, published: Path, run: Run, tmp_path: Path
) -> None:
    options = [f"{key}={value}" for key, value in answers.items()]
    refused = run(
        *("cookiecutter", published, "--directory", "template", "--no-input", *options),
        cwd=tmp_path,
        code=None,
    )
    assert refused.returncode != 0
    assert says in refused.stdout + refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_one_project_passes_all_its_sessions_from_a_fresh_clone(
    make: Make, run: Run, tmp_path: Path
) -> None:
    project = make(**CYCLE[WHOLE])
    run("git", "init", "-q", cwd=project)
    run("git", "add", "-A", cwd=project)
    run("git", "commit", "-qm", "Begin", cwd=project)
    clone = tmp_path / "clone"
    run("git", "clone", "-q", project, clone, cwd=tmp_path)
    tested = run("nox", "-s", "tests", cwd=clone)
    assert " passed" in tested.stdout
    # The other sessions install the same lock: they share the first one's environment.
    for session in ("lint", "reproducibility", "full_train"):
        (clone / ".nox" / session).symlink_to(clone / ".nox" / "tests")
    run("nox", "-R", "-s", "lint", cwd=clone)
    twins = run("nox", "-R", "-s", "reproducibility", cwd=clone)
    assert "same bits: 1 member trained twice" in twins.stdout
    trained = run("nox", "-R", "-s", "full_train", cwd=clone)
    assert "no data folder" in trained.stdout
    assert "submission runs/fixture/submission.csv, checked against the sample: valid" in (
        trained.stdout
    )

    # With images in data/ it trains on them.
    shutil.copytree(clone / "tests" / "fixture", clone / "data")
    small = ("--set", "recipe.network=resnet18", "--set", "recipe.image_size=32")
    quick = ("--set", "recipe.pretrained=false", "--set", "members.first.epochs.frozen=1")
    own = run("nox", "-R", "-s", "full_train", "--", *small, *quick, cwd=clone)
    assert "no data folder" not in own.stdout
    assert (clone / "runs" / "full" / "submission.csv").is_file()
    assert run("git", "status", "--porcelain", cwd=clone).stdout == ""

    # What is locked stays so, and the lock is of this project: none of another name.
    (clone / ".nox" / "lock").symlink_to(clone / ".nox" / "tests")
    run("nox", "-R", "-s", "lock", cwd=clone)
    assert run("git", "status", "--porcelain", cwd=clone).stdout == ""
