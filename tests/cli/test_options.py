"""The common options are told once, as groups that a command's parameter stands for."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import typer

from twinrun.cli.app import app
from twinrun.cli.options import RunOptions, SettingsOptions, as_command
from twinrun.console import console
from twinrun.errors import InputError


def command(found: list[object]) -> object:
    @as_command
    def train(names: list[str] | None = None, *, options: RunOptions, deep: bool = False) -> None:
        found.extend([names, options, deep, console.quiet])

    return train


def test_a_group_of_options_stands_for_its_fields() -> None:
    found: list[object] = []
    made = command(found)
    assert callable(made)
    assert list(inspect.signature(made).parameters) == [
        "names",
        "config",
        "profile",
        "data",
        "changes",
        "out",
        "run",
        "deep",
        "quiet",
        "debug",
    ]
    given = {"config": None, "data": None, "out": Path("runs"), "run": None}
    before = console.quiet
    try:
        made(names=["a"], profile="small", changes=["x=1"], deep=True, quiet=True, **given)
    finally:
        console.quiet = before
    options = RunOptions(profile="small", changes=["x=1"])
    assert found == [["a"], options, True, True]


def test_more_changes_come_after_the_users() -> None:
    options = SettingsOptions(changes=["a=1"])
    assert options.changed("b=2", "c=3").changes == ["a=1", "b=2", "c=3"]
    assert SettingsOptions().changed("b=2").changes == ["b=2"]
    assert options.changes == ["a=1"]


@pytest.mark.parametrize(
    ("options", "folder"),
    [
        (RunOptions(), "runs/full"),
        (RunOptions(profile="fixture"), "runs/fixture"),
        (RunOptions(profile="fixture", run="mine", out=Path("x")), "x/mine"),
    ],
)
def test_a_runs_folder_is_called_as_the_user_says(options: RunOptions, folder: str) -> None:
    assert options.folder == Path(folder)


@pytest.mark.parametrize(
    "name", ["", "a/b", "a\\b", "..", ".", "-x", ".x", "a b", "a\n", "ä", "/", "a\x1bb", "a:b"]
)
def test_a_run_has_a_name_and_no_path(name: str) -> None:
    with pytest.raises(InputError, match="a run has a name, not a path") as refused:
        _ = RunOptions(run=name).folder
    assert refused.value.what.startswith(f"--run {name!r}: ")
    with pytest.raises(InputError, match="a run has a name, not a path") as refused:
        _ = RunOptions(profile=name).folder
    assert refused.value.what.startswith(f"profile {name!r}: ")
    assert "--run" in refused.value.fix


@pytest.mark.parametrize("name", ["cache", "twins", "verify", "Cache"])
def test_a_run_is_not_called_as_what_else_lies_beside_runs(name: str) -> None:
    with pytest.raises(InputError, match="for other things than a run"):
        _ = RunOptions(run=name).folder


@pytest.mark.parametrize("name", ["a", "M27g", "full-2", "1_b.c"])
def test_a_plain_name_is_taken(name: str) -> None:
    assert RunOptions(run=name, profile="other").folder == Path("runs") / name


def test_no_line_of_a_text_of_help_is_broken_but_by_the_terminal() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    texts = {name: each.help for name, each in commands.items()}
    assert len(texts) > 10
    assert not [name for name, text in texts.items() if "\n" in text.replace("\n\n", "")]
