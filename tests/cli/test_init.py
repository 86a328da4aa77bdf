"""`twinrun init`: what is refused before it asks, how it asks, and that no answer is lost."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FIXTURE, ROOT, Command
from twinrun.cli import init as command
from twinrun.scaffold import project, render

SHIPPED = (ROOT / "competition" / "competition.toml").read_text(encoding="utf-8")


class Made:
    """In place of the template, whose rendering takes seconds: keeps the answers that it gets."""

    def __init__(self) -> None:
        self.answers: dict[str, str] | None = None
        self.refusal: Exception | None = None

    def render(self, parent: Path, folder: Path, answers: Any) -> Path:
        if self.refusal is not None:
            raise self.refusal
        self.answers = dict(answers)
        made = parent / "made"
        (made / "competition").mkdir(parents=True)
        (made / "competition" / "competition.toml").write_text(SHIPPED, encoding="utf-8")
        return made


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    made = Made()
    monkeypatch.setattr(project, "render", made.render)
    return made


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Somebody sits at a terminal and types these lines, or ends by raising something."""

    def types(*lines: str | type[BaseException]) -> None:
        left = iter(lines)

        def type_line(*_: object) -> str:
            line = next(left)
            if isinstance(line, str):
                return line
            raise line

        monkeypatch.setattr(command, "is_anyone_there", lambda: True)
        monkeypatch.setattr("builtins.input", type_line)

    return types


def program(folder: Path, text: str) -> str:
    """A PATH on which git does this, and nothing else is."""
    folder.mkdir()
    git = folder / "git"
    git.write_text(text)
    git.chmod(git.stat().st_mode | stat.S_IXUSR)
    return str(folder)


def test_without_a_terminal_one_message_names_the_ways_out(invoke: Command, tmp_path: Path) -> None:
    refused = invoke("init", "new", "--data", FIXTURE, "--answer", "metric=AUC")
    assert refused.returncode == 2
    assert refused.stdout == ""
    first, fix = refused.stderr.splitlines()
    assert first.startswith("error: there is no terminal to ask on: project_name, ")
    assert "metric" not in first
    assert "--yes" in fix
    assert "--answer project_name=TEXT" in fix
    assert list(tmp_path.iterdir()) == []


def test_where_everything_is_answered_no_terminal_is_needed(
    invoke: Command, made: Made, tmp_path: Path
) -> None:
    texts = {
        "project_name": "Rice",
        "competition_name": "Rice cup",
        "competition_address": "",
        "metric": "accuracy",
        "image_size": "64",
        "members": "quick",
        "validation": "a tenth",
        "licence": "none",
        "ci": "none",
    }
    answers = [word for name, text in texts.items() for word in ("--answer", f"{name}={text}")]
    done = invoke("init", "new", "--data", FIXTURE, *answers)
    assert done.returncode == 0, done.stderr
    assert made.answers is not None
    assert made.answers.items() >= texts.items()
    assert (tmp_path / "new" / "competition" / "competition.toml").is_file()


def test_an_answer_that_cannot_be_is_one_message(invoke: Command, tmp_path: Path) -> None:
    for answer in ("image_size=5", "competition_address=zindi", "metric=acuracy"):
        refused = invoke("init", "new", "--data", FIXTURE, "--answer", answer, "--yes")
        assert refused.returncode == 2
        assert refused.stdout == ""
        assert refused.stderr.startswith(f"error: --answer {answer}: ")
        assert len(refused.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("git", "says"),
    [
        (None, "git, which is not installed"),
        ("no program", "git, which cannot be started: "),
        ("#!/bin/sh\necho 'fatal: detected dubious ownership' >&2\nexit 128\n", "dubious"),
        ("#!/bin/sh\nexit 2\n", "there is no commit"),
    ],
)
def test_where_git_cannot_take_the_template_it_is_one_message_before_any_other(
    git: str | None, says: str, invoke: Command, tmp_path: Path
) -> None:
    place = tmp_path / "path"
    path = str(place) if git is None else program(place, git)
    refused = invoke("init", "new", "--data", FIXTURE, PATH=path)
    assert refused.returncode == 2
    assert says in refused.stderr
    assert refused.stdout == ""
    assert len(refused.stderr.splitlines()) <= 3
    assert not (tmp_path / "new").exists()


def test_who_has_no_name_for_a_commit_is_told_so(
    invoke: Command, made: Made, tmp_path: Path
) -> None:
    assert made.answers is None
    nobody = "[user]\n  useConfigOnly = true\n"
    (tmp_path / "config").write_text(nobody)
    variables = {
        "GIT_CONFIG_GLOBAL": str(tmp_path / "config"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "EMAIL": "",
    }
    done = invoke("init", "new", "--data", FIXTURE, "--yes", **variables)
    assert done.returncode == 0
    assert "note      git has no name to commit under" in done.stdout
    (tmp_path / "config").write_text(f"{nobody}  name = Me\n  email = me@example.org\n")
    done = invoke("init", "other", "--data", FIXTURE, "--yes", **variables)
    assert "git has no name" not in done.stdout


def test_what_the_next_commands_need_and_lack_is_told(
    invoke: Command, made: Made, tmp_path: Path
) -> None:
    assert made.answers is None
    git = shutil.which("git")
    assert git is not None
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "git").symlink_to(git)
    done = invoke("init", "new", "--data", FIXTURE, "--yes", PATH=str(tmp_path / "path"))
    assert done.returncode == 0, done.stderr
    assert "note      nox is not installed; to do so: pip install 'nox[uv]'" in done.stdout


def test_a_refused_answer_is_told_and_asked_again(
    invoke: Command, made: Made, typed: Callable[..., None]
) -> None:
    typed("Rice", "", "zindi.africa", "https://zindi.africa", "auc", "AUC", *[""] * 5)
    done = invoke("init", "new", "--data", FIXTURE)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.split("\n") if "not possible" in line]
    assert len(told) == 2
    assert "got 'zindi.africa'" in told[0]
    assert "did you mean 'AUC'?" in told[1]
    assert made.answers is not None
    assert made.answers["project_name"] == made.answers["competition_name"] == "Rice"
    assert made.answers["competition_address"] == "https://zindi.africa"
    assert made.answers["metric"] == "AUC"


def test_each_question_shows_what_may_be_answered_and_why_something_is_suggested(
    invoke: Command, made: Made, typed: Callable[..., None]
) -> None:
    typed(*[""] * 5, "3", *[""] * 4)
    done = invoke("init", "new", "--data", FIXTURE, "--quiet")
    assert done.returncode == 0, done.stderr
    assert made.answers is not None
    asked = "".join(done.stderr.partition("First members")[1:])
    assert asked.startswith(
        "First members\n"
        "  quick       one ResNet-34, 8 epochs: a first submission soon\n"
        "  strong      DenseNet-201, ResNet-152, ResNet-50, 25 epochs each: for a GPU\n"
        "  13th place  the crop-disease competition's 13th place: ten, 50 to 80 epochs\n"
        "[quick]: not possible: '3' is not known. Allowed: quick, strong, 13th place\n"
        "[quick]: \n"
        "What is each member judged by? (quick and strong)\n"
        "  a tenth  one training; every tenth image is held out\n"
        "  5 folds  five trainings; each image is held out by one of them\n"
        "  suggested: 5 folds, a tenth of 96 images is 9: too few to judge by\n"
    )


def test_what_yes_takes_is_told_with_the_reason(invoke: Command, made: Made) -> None:
    done = invoke("init", "new", "--data", FIXTURE, "--yes", "--answer", "licence=none")
    assert done.returncode == 0, done.stderr
    assert (
        """
answers   project_name: new (as its folder)
          competition_name: new (as the project)
          competition_address: none
          metric: log loss (usual for a probability per class)
          image_size: 128 (a multiple of 32; the images' shorter sides: 142 px)
          members: quick (one ResNet-34, 8 epochs: a first submission soon)
          validation: 5 folds (a tenth of 96 images is 9: too few to judge by)
          ci: GitHub Actions
"""
        in done.stdout
    )
    assert made.answers is not None
    assert made.answers["validation"] == "5 folds"
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stdout.splitlines()[-4:] == [
        "Next:",
        "  cd new",
        "  git init -b main && git add -A && git commit -m 'Begin'",
        "  nox -s full_train",
    ]


@pytest.mark.parametrize("end", [KeyboardInterrupt, EOFError])
def test_who_stops_is_told_what_was_answered(
    end: type[BaseException],
    invoke: Command,
    made: Made,
    typed: Callable[..., None],
    tmp_path: Path,
) -> None:
    typed("My rice", "", "zindi.africa", end)
    stopped = invoke("init", "new", "--data", FIXTURE)
    assert stopped.returncode == 2
    assert "stopped before the end: no project was made" in stopped.stderr
    last = stopped.stderr.splitlines()[-1]
    assert last == "  --answer 'project_name=My rice' --answer 'competition_name=My rice'"
    assert made.answers is None
    assert list(tmp_path.iterdir()) == []


def test_whatever_ends_it_afterwards_the_answers_are_told(
    invoke: Command, made: Made, typed: Callable[..., None], tmp_path: Path
) -> None:
    made.refusal = OSError(28, "No space left on device", "somewhere")
    typed("Rice", *[""] * 8)
    failed = invoke("init", "new", "--data", FIXTURE)
    assert failed.returncode == 2
    assert "somewhere: No space left on device" in failed.stderr
    assert "--answer project_name=Rice" in failed.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_an_empty_folder_and_the_working_folder_stay_what_they_are(
    invoke: Command, made: Made, tmp_path: Path
) -> None:
    assert made.answers is None
    for name in ("empty", "here"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("empty")
    done = invoke("init", "link", "--data", FIXTURE, "--yes")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "empty" / "competition" / "competition.toml").is_file()
    number = (tmp_path / "here").stat().st_ino
    done = invoke("init", ".", "--data", FIXTURE, "--yes", cwd=tmp_path / "here")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "here").stat().st_ino == number
    assert "cd ." not in done.stdout
    assert (tmp_path / "here" / "competition" / "competition.toml").is_file()
    assert not list(tmp_path.rglob(".twinrun-init-*"))


@pytest.mark.parametrize(
    ("folder", "says"),
    [
        ("file", "file is not a folder"),
        ("file/below", "file is not a folder"),
        ("dangling", "dangling is not a folder but a link to nowhere, where none is"),
    ],
)
def test_what_is_in_the_way_is_told_before_any_question(
    folder: str, says: str, invoke: Command, typed: Callable[..., None], tmp_path: Path
) -> None:
    typed()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to("nowhere")
    refused = invoke("init", folder, "--data", FIXTURE)
    assert refused.returncode == 2
    assert says in refused.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "file"]


def test_what_the_template_says_is_part_of_the_one_message(
    invoke: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """As where a clone's last commit refuses what its working tree takes."""
    from cookiecutter.exceptions import FailedHookException

    def refuses(*_: object) -> Path:
        os.system("echo 'These answers cannot be used:\n  image_size: too large' >&2")
        raise FailedHookException("Hook script failed (exit status: 1)")

    monkeypatch.setattr(render, "_render_clone", refuses)
    refused = invoke("init", "new", "--data", FIXTURE, "--yes")
    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        "error: the template makes no project of these answers:",
        "  These answers cannot be used:",
        "    image_size: too large",
    ]
    assert capfd.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []
