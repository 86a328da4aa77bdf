"""A host of packages from outside, in one file: listed, packaged for, its own files in the zip."""

from __future__ import annotations

import dataclasses
import importlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.package.packing import committed_source, drawn_run
from twinrun.cli import package as command
from twinrun.errors import InputError
from twinrun.package.hosts import HOSTS, Host, PackageParts
from twinrun.package.package import make_package
from twinrun.registry import IncompleteEntry

README = """{% import "common.md" as say with context %}
# {{ competition.name }} for the county fair

{{ say.result() }}
"""


def write_inventory(parts: PackageParts) -> str:
    return f"{len(parts.names)} files of run {parts.facts['run']}\n"


FAIR = Host(
    name="fair",
    title="County Fair",
    readme=README,
    hours=12,
    extra={"INVENTORY.txt": write_inventory},
)


def test_a_package_is_made_for_it(
    small_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = drawn_run(small_toml, tmp_path / "runs" / "full")
    monkeypatch.chdir(committed_source(tmp_path / "project"))
    with HOSTS.including(FAIR):
        answer = CliRunner().invoke(command.app, [str(run), "--for", "fair"])
    assert answer.exit_code == 0, answer.output
    assert "County Fair gives a winner 12 hours to send it" in answer.output
    with zipfile.ZipFile(tmp_path / "runs" / "full-fair.zip") as archive:
        texts = {
            name: archive.read(name).decode()
            for name in ("README.md", "INVENTORY.txt", "package.json")
        }
        count = len(archive.namelist())
    assert texts["README.md"].startswith("# small for the county fair\n")
    assert "| a | timm/test\\_resnet | 32 px |" in texts["README.md"]
    assert texts["INVENTORY.txt"] == f"{count} files of run full\n"
    contents = json.loads(texts["package.json"])
    assert contents["host"] == "fair"
    assert "INVENTORY.txt" in contents["files"]


def test_what_is_missing_is_asked_for_in_its_name(small_toml: Path, tmp_path: Path) -> None:
    run = drawn_run(small_toml, tmp_path / "runs" / "full")
    project = committed_source(tmp_path / "project")
    (project / "requirements.lock").unlink()
    with pytest.raises(InputError, match=r"requirements\.lock, which County Fair asks for"):
        make_package(run, FAIR, tmp_path / "fair.zip", force=True, project=project)
    assert not (tmp_path / "fair.zip").exists()


def test_help_and_messages_list_it() -> None:
    with HOSTS.including(FAIR):
        text = CliRunner().invoke(importlib.reload(command).app, ["--help"]).output
        with pytest.raises(InputError, match=r"did you mean 'fair'\?.*zindi, kaggle"):
            HOSTS.get("fare")
    importlib.reload(command)
    assert "drivendata, fair" in " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize("part", ["name", "title", "readme"])
def test_a_part_that_is_left_out_is_named(part: str) -> None:
    changes: dict[str, Any] = {part: ""}
    with pytest.raises(IncompleteEntry, match=f"lacks: {part}$"):
        HOSTS.add(dataclasses.replace(FAIR, **changes))
    parts = {name: getattr(FAIR, name) for name in ("name", "title", "readme") if name != part}
    with pytest.raises(TypeError, match=rf"missing .*'{part}'"):
        Host(**parts)


@pytest.mark.parametrize("name", ["README.md", "package.json", "run/manifest.json", "code/x.py"])
def test_a_file_of_its_own_does_not_take_the_place_of_another(name: str) -> None:
    with pytest.raises(ValueError, match=r"'fair'.*taken name"):
        dataclasses.replace(FAIR, extra={name: write_inventory})
