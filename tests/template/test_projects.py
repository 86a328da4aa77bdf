"""Projects made from the template: the files they hold, and the sessions they promise."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.template.conftest import Make, Run, contents
from twinrun.image_files import suffixes
from twinrun.metrics import METRICS

pytestmark = pytest.mark.template

PROJECT_NAME = json.loads((ROOT / "template" / "cookiecutter.json").read_text())["project_name"]

# Every value of every question at least once.
CYCLE: dict[str, dict[str, str]] = {
    "defaults": {},
    "table": {
        "project_name": 'L\'été "2026"',
        "classes": "Été,d'or",
        "layout": "table",
        "id_column": "Image id",
        "label_column": "Kind",
        "ids": "the file's name with extension",
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
        "validation": "5 folds",
        "licence": "none",
    },
    "many": {
        "project_name": "lambda",
        "classes": ",".join(f"kind {n}" for n in range(12)),
        "submission_columns": "a row per class: id_class, probability",
        "metric": "macro F1",
        "ids": "the file's path in the data folder",
        "members": "13th place",
    },
    "accuracy": {
        "project_name": "2nd class",
        "classes": "a b,Été,c",
        "unseen": "another one,d",
        "metric": "accuracy",
        "submission_columns": "a row per class: id, class, probability",
    },
}
# The one of them whose sessions are all run: test_sessions.py.
WHOLE = "accuracy"
# All files but the drawn photos, and those that an answer adds.
FILES = {
    ".gitattributes",
    ".gitignore",
    ".pre-commit-config.yaml",
    "README.md",
    "competition/competition.toml",
    "competition/hooks.py",
    "noxfile.py",
    "pyproject.toml",
    "requirements-dev.lock",
    "requirements.lock",
    "tests/fixture/sample_submission.csv",
    "tests/test_competition.py",
}
RENDERED = ("README.md", "competition/competition.toml", "pyproject.toml")


def files_of(answers: Mapping[str, str]) -> set[str]:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    files = FILES | {f"vendor/twinrun-{version}-py3-none-any.whl"}
    files |= set() if answers.get("licence") == "none" else {"LICENSE"}
    files |= {"tests/fixture/labels.csv"} if answers.get("layout") == "table" else set()
    workflows = {f".github/workflows/{name}.yml" for name in ("ci", "full_train")}
    return files | (set() if answers.get("ci") == "none" else workflows)


def test_every_value_of_every_question_is_in_the_cycle(published: Path) -> None:
    questions: dict[str, Any] = json.loads(
        (published / "template" / "cookiecutter.json").read_text()
    )
    for key, value in questions.items():
        if isinstance(value, list) and not key.startswith("_"):
            seen = {answers.get(key, value[0]) for answers in CYCLE.values()}
            if key == "metric":
                # One more project for each of them would show one word: all that most metrics
                # change of a project is the name that stands in competition.toml.
                assert seen < set(value)
                assert [questions["_settings"][key][words] for words in value] == METRICS.names
            else:
                assert seen == set(value), key


@pytest.mark.parametrize("name", CYCLE)
def test_a_project_has_exactly_its_files_and_they_work(name: str, make: Make, run: Run) -> None:
    answers = CYCLE[name]
    project = make(**answers)
    files = contents(project)
    photos = {path for path in files if Path(path).suffix.lower() in suffixes()}
    assert files.keys() - photos == files_of(answers)
    assert len(files_of(answers)) <= 30
    for path in RENDERED:
        text = files[path].decode()
        for left in ("{{", "}}", "{%", "%}", "cookiecutter", "None", "Undefined"):
            assert left not in text, (path, left)
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
    settings = tomllib.loads(files["competition/competition.toml"].decode())
    assert settings["competition"]["name"] == answers.get("project_name", PROJECT_NAME)

    # The child's own lint and small twins.
    run("ruff", "check", ".", cwd=project)
    run("ruff", "format", "--check", ".", cwd=project)
    if name != WHOLE:
        run(sys.executable, "-m", "pytest", "-q", cwd=project)


# Of the competition that Twinrun comes with.
STRANGE = re.compile(
    r"wheat|(?<![a-z])rusts?(?![a-z])|M2[0-9][a-z]|crop.?disease|zindi|13th|iclr", re.IGNORECASE
)


@pytest.mark.parametrize("name", CYCLE)
def test_nothing_of_a_different_competition_is_in_a_project(name: str, make: Make) -> None:
    answers = CYCLE[name]
    files = contents(make(**answers))
    del files[next(path for path in files if path.endswith(".whl"))]
    texts = {
        path: content.decode()
        for path, content in files.items()
        if Path(path).suffix.lower() not in suffixes()
    }
    texts["README.md"] = texts["README.md"].replace("--for zindi", "")
    found = {path for path, text in texts.items() if STRANGE.search(text + path)}
    # The check can find something: who asks for the 13th place gets it.
    asked = answers.get("members") == "13th place"
    assert found == ({"competition/competition.toml"} if asked else set())


@pytest.mark.parametrize("layout", ["folder per class", "table"])
def test_the_readme_names_the_data_as_the_settings_do(layout: str, make: Make) -> None:
    project = make(
        layout=layout,
        train="Train images",
        test="Test",
        labels="Train.csv",
        sample_submission="Sample (1).csv",
        id_column="Image_ID",
        label_column="Kind",
    )
    data = tomllib.loads((project / "competition" / "competition.toml").read_text())["data"]
    assert (data["train"], data["test"]) == ("Train images", "Test")
    assert data["sample_submission"] == "Sample (1).csv"
    readme = (project / "README.md").read_text()
    (rows,) = re.findall(r"\| what \| name \|\n\| --- \| --- \|\n((?:\|.*\|\n)+)\n", readme)
    named = re.findall(r"`([^`]+)`", rows)
    if layout == "table":
        assert named == ["Train images/", "Train.csv", "Test/", "Sample (1).csv"]
        assert "Image_ID and Kind" in rows
        assert data["labels"] == "Train.csv"
    else:
        assert named == ["Train images/<class>/", "Test/", "Sample (1).csv"]


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
    (made,) = tmp_path.iterdir()
    assert list(made.glob("vendor/*.whl"))


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
