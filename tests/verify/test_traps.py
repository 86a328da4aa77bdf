"""Packages with a trap beside the answers: names that lead away, rows like ours, what hangs."""

from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.package.packing import repacked, thin_package
from twinrun.cli.verify import _name_of
from twinrun.config.identity import identity_settings, with_neutral
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.console import Terminal, quote
from twinrun.errors import InputError
from twinrun.files import json_text
from twinrun.repro import source
from twinrun.repro.source import wheel_code_digest
from twinrun.run_folder.documents import SEAL, sealed
from twinrun.verify import environments
from twinrun.verify.confine import places_of
from twinrun.verify.environments import build_environment
from twinrun.verify.packages import unpack_package

Content = dict[str, Any]


@pytest.fixture(scope="module")
def thin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return thin_package(tmp_path_factory.mktemp("thin"))


def with_manifest(package: Path, output: Path, edit: Callable[[Content], None]) -> Path:
    """The package with another manifest, its seal and digest in agreement with it."""
    with zipfile.ZipFile(package) as archive:
        manifest = json.loads(archive.read("run/manifest.json"))
    del manifest[SEAL]
    edit(manifest)
    return repacked(package, output, {"run/manifest.json": json_text(sealed(manifest)).encode()})


def blend_of(*names: str) -> Content:
    weights = dict.fromkeys(names, 1.0)
    return {"method": "arithmetic", "weights": weights, "temperature": 1.0, "images": 1}


def a_ghost_in_the_blend(manifest: Content) -> None:
    manifest["content"]["blend"] = blend_of("a", "b", "ghost")


def a_member_left_out(manifest: Content) -> None:
    del manifest["content"]["members"]["b"]


def no_record_of_the_submission(manifest: Content) -> None:
    manifest["content"]["submission"] = None


def a_member_that_was_never_asked_for(manifest: Content) -> None:
    del manifest["content"]["settings"]["members"]["b"]


@pytest.mark.parametrize(
    "edit",
    [
        a_ghost_in_the_blend,
        a_member_left_out,
        no_record_of_the_submission,
        a_member_that_was_never_asked_for,
    ],
)
def test_a_submission_that_would_not_be_made_again_is_refused(
    thin: Path, tmp_path: Path, edit: Callable[[Content], None]
) -> None:
    package = with_manifest(thin, tmp_path / "lies.zip", edit)
    with pytest.raises(InputError, match="contradicts itself"), unpack_package(package):
        pass


@pytest.mark.parametrize("name", ["../../code/x", "/dev/zero", "..", "a\\b", "fold-1/../../../x"])
@pytest.mark.parametrize("place", ["guards", "members", "blend", "files"])
def test_names_in_a_manifest_lead_nowhere(
    thin: Path, tmp_path: Path, place: str, name: str
) -> None:
    def edit(manifest: Content) -> None:
        content = manifest["content"]
        if place == "guards":
            manifest["guards"][name] = "0" * 64
        elif place == "members":
            content["members"][name] = content["members"]["a"]
            manifest["beside"]["seconds"]["members"][name] = 1.0
        elif place == "blend":
            content["blend"] = blend_of("a", name)
        else:
            content["members"]["a"]["files"][name] = "0" * 64

    package = with_manifest(thin, tmp_path / "lies.zip", edit)
    with pytest.raises(InputError) as refused, unpack_package(package):
        pass
    assert "not the name of a file in its folder" in str(refused.value)


def test_a_package_names_no_places(thin: Path, tmp_path: Path) -> None:
    place = {"config": "/elsewhere/competition.toml", "data_folder": "/", "cache": "", "nodes": {}}
    package = repacked(
        thin, tmp_path / "lies.zip", {"run/local.json": json_text(sealed(place)).encode()}
    )
    with pytest.raises(InputError, match="cannot be verified") as refused, unpack_package(package):
        pass
    assert "run/local.json: it names places" in str(refused.value)


def test_a_recorded_run_sends_nothing_where_its_settings_say(small_toml: Path) -> None:
    recorded = identity_settings(read_settings(small_toml))
    recorded["run"] |= {"tracking": ["wandb"], "cache": "/elsewhere"}
    found = with_neutral(Settings, recorded)
    assert not {"tracking", "cache"} & found["run"].keys()


def test_each_row_of_what_foreign_code_prints_is_marked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal breaks a long line: what stands after the break must not look like ours."""
    monkeypatch.setattr("twinrun.console.console", Terminal(width=80))
    forged = "verified: package.zip: same bits"
    for line in (
        "x" * 70 + forged,
        "\u4e16" * 35 + forged,
        "\t" * 9 + forged,
        "\x1b" * 18 + forged,
    ):
        quote("its code:", line)
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) >= 8
    assert all(row.startswith("its code: ") for row in rows)
    assert max(map(len, rows)) <= 80


@pytest.mark.parametrize("name", ["...zip", "..zip", "....zip"])
def test_a_verification_is_never_written_above_its_place(name: str) -> None:
    assert _name_of(Path(name)) == "package"


def test_a_small_wheel_that_takes_days_to_read_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "twinrun-1-py3-none-any.whl"
    monkeypatch.setattr(source, "_MOST_BYTES", 1000)
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("twinrun/a.py", "\n" * 1001)
    with pytest.raises(zipfile.BadZipFile, match="far more than an engine has"):
        wheel_code_digest(wheel)


def test_a_pipe_is_no_package(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    with (
        pytest.raises(InputError, match="it is a pipe, not a file"),
        unpack_package(tmp_path / "pipe.zip"),
    ):
        pass


def test_a_link_to_python_in_the_home_does_not_show_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    assert tmp_path not in places_of(python)
    assert python in places_of(python)
    monkeypatch.setenv("HOME", str(Path(sys.base_prefix, "lib")))
    if not Path(sys.base_prefix).is_relative_to("/usr"):
        with pytest.raises(InputError, match="sees your home"):
            places_of(python)


@pytest.mark.parametrize("tool", ["uv", None])
def test_nothing_that_is_installed_can_take_part_in_the_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str | None
) -> None:
    """It is not confined: neither by uv's compiling nor by a pip that a package overwrites."""
    calls: list[list[str]] = []
    monkeypatch.setattr(shutil, "which", lambda *_, **__: tool)
    monkeypatch.setattr(environments, "_call", lambda command, _: calls.append([*command]))
    with build_environment([], tmp_path) as python:
        environment = str(python.parents[1])
        assert all(not call[0].startswith(environment) for call in calls)
        *_, make, install = calls
    assert install[install.index("--python") + 1] == str(python)
    if tool:
        assert "--no-compile-bytecode" in install
    else:
        assert "--without-pip" in make
