"""A package of a member that was begun with a file: it predicts; to train again needs the file."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path

import pytest

from tests.conftest import FIXTURE, SMALL, Command
from tests.package.packing import committed_source
from twinrun import prepare, submit, train_run
from twinrun.config.reading import read_settings
from twinrun.files import sha256_file
from twinrun.networks.beginning import kept_file
from twinrun.package.hosts import HOSTS
from twinrun.package.package import make_package

pytestmark = pytest.mark.slow  # two trainings, and three commands in processes of their own


def made(toml: Path, name: str, *changes: str) -> prepare.Prepared:
    settings = read_settings(toml, changes=["recipe.epochs={frozen=1,unfrozen=0}", *changes])
    run = prepare.prepare(settings, toml.parent / "runs" / name)
    train_run.train(run, ["a"], time.perf_counter())
    submit.blend_run(run.folder, settings, run.sample_path, run.folder / "submission.csv")
    prepare.keep_record(run, time.perf_counter())
    return run


def test_it_predicts_and_says_which_file_it_needs_to_be_trained_again(
    tmp_path: Path,
    invoke: Command,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    toml = tmp_path / "small.toml"
    text = SMALL.replace("[members.b]\nmixup = 0.0\n", "").replace(", b = 1.0", "")
    toml.write_text(text.format(folder=FIXTURE.as_posix()), encoding="utf-8")
    weights = made(toml, "first").folder / "members" / "a" / "weights.safetensors"
    digest = sha256_file(weights)
    second = made(toml, "second", 'members.a.begin="runs/first/members/a"')
    package = tmp_path / "package.zip"
    (tmp_path / "source").mkdir()
    source = committed_source(tmp_path / "source")
    make_package(second.folder, HOSTS.get("zindi"), package, force=False, project=source)
    with zipfile.ZipFile(package) as archive:
        records = archive.read("run/manifest.json").decode()
        assert digest in records
        assert "runs/first" not in records
        assert f"needs that\nfile, SHA-256 `{digest}`" in archive.read("README.md").decode()

    verify = ("verify", package, "--data", FIXTURE, "--this-environment")
    answer = invoke(*verify, "--retrain", "--out", tmp_path / "again", COLUMNS="200")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.splitlines()[-1].endswith(": same bits")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "elsewhere"))
    answer = invoke(*verify, "--out", tmp_path / "predicted", COLUMNS="200")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    capfd.readouterr()
    answer = invoke(*verify, "--retrain", "--out", tmp_path / "without", COLUMNS="200")
    assert answer.returncode == 2
    told = " ".join((answer.stderr + capfd.readouterr().err).split())
    assert f"are not here: a file of the SHA-256 {digest}" in told
    assert str(kept_file(digest)) in told
