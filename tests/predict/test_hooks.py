"""A run with a reader and a last change of its own, on new images: its bits, by its very code."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import FIXTURE, Command
from tests.exact import read_exact
from tests.package.packing import commit, committed_source
from tests.predict.conftest import CHANGES, make_run
from tests.predict.test_predict import SAMPLE, TEST, predicted, refused, rows_of
from tests.run_folder.documents import edited
from twinrun import submit
from twinrun.config.reading import read_settings
from twinrun.package.hosts import HOSTS
from twinrun.package.package import make_package
from twinrun.predict.record import read_record_of
from twinrun.run_folder.manifest import read_manifest
from twinrun.verify.confine import find_way

# The last change looks across images: it makes the classes equally frequent.
CODE = """
import numpy as np
from PIL import Image


def read_image(path):
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return np.repeat(pixels[..., 1:2], 3, axis=2)


def after_predictions(table):
    values = table.iloc[:, 1:] / table.iloc[:, 1:].mean()
    table.iloc[:, 1:] = values.div(values.sum(axis=1), axis=0)
    return table
"""
HOOKS = ["after_predictions", "read_image"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be written to."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "hooks.py").write_text(CODE)
    return make_run(folder)


@pytest.fixture
def elsewhere(own: Path, tmp_path: Path) -> Path:
    """The run, beside settings and a hooks.py that may be changed."""
    run = Path(shutil.copytree(own, tmp_path / "runs" / "full"))
    # Beside the project's settings: the command stands in it.
    folder = tmp_path / "competition"
    folder.mkdir()
    shutil.copy(own.parents[1] / "small.toml", folder / "competition.toml")
    shutil.copy(own.parents[1] / "hooks.py", folder)
    edited(run / "local.json", "config", value=str(folder / "competition.toml"))
    return run


def test_the_images_that_a_run_knew_get_the_bits_of_its_submission(
    own: Path, recorded: Path, invoke: Command, tmp_path: Path
) -> None:
    done = invoke("predict", own, "--images", TEST, "--sample", SAMPLE)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "submission.csv").read_bytes() == (own / "submission.csv").read_bytes()
    assert (own / "submission.csv").read_bytes() != (recorded / "submission.csv").read_bytes()
    told = " ".join(done.stdout.split())
    assert "own code hooks.py: after_predictions, read_image" in told
    assert (
        "own code after_predictions changed 24 predictions in one table: an image's may depend on "
        "which others are there"
    ) in told
    content = read_manifest(own)["content"]
    then = {**content["hooks"], **content["blend"]["hooks"]}
    assert sorted(then) == HOOKS
    assert read_record_of(tmp_path / "submission.predictions.json")["hooks"] == then
    verify = ("verify", "submission.predictions.json", "--of", own, "--images", TEST)
    again = invoke(*verify, "--sample", SAMPLE)
    assert again.returncode == 0, again.stdout + again.stderr


def test_a_table_of_predictions_is_changed_too_and_what_cannot_be_read_is_named(
    own: Path, invoke: Command, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in ("1AXIPJ.jpg", "2VXT82.jpg"):
        shutil.copy(TEST / name, images)
    predicted(own, images, tmp_path / "out.csv")
    means = read_exact(tmp_path / "out.csv").iloc[:, 1:]
    assert means.sum(axis=1).tolist() == pytest.approx([1, 1])
    (images / "2VXT82.jpg").unlink()
    predicted(own, images, tmp_path / "alone.csv")
    # Alone an image is its own mean.
    alone = [float(value) for value in rows_of(tmp_path / "alone.csv")["1AXIPJ"]]
    assert alone == pytest.approx([1 / 3] * 3)
    (images / "spoiled.jpg").write_bytes(b"no image at all")
    refused(invoke("predict", own, "--images", images), "1 of 2 images cannot be read")
    assert not (tmp_path / "predictions.csv").exists()


@pytest.mark.parametrize("name", HOOKS)
def test_a_different_code_is_refused_named_and_not_run(
    elsewhere: Path, invoke: Command, tmp_path: Path, name: str
) -> None:
    ran = f"    open({str(tmp_path / 'ran')!r}, 'w')\n"
    lines = CODE.splitlines(keepends=True)
    at = next(place for place, line in enumerate(lines) if line.startswith(f"def {name}("))
    hooks = tmp_path / "competition" / "hooks.py"
    hooks.write_text("".join([*lines[: at + 1], ran, *lines[at + 1 :]]))
    done = invoke("predict", elsewhere, "--images", TEST)
    assert done.returncode == 1
    assert f"{name}: edited since, or what it reaches" in done.stderr
    assert done.stderr.count("edited since") == 1
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "predictions.csv").exists()


def test_a_last_change_that_no_blend_records_is_refused(elsewhere: Path, invoke: Command) -> None:
    edited(elsewhere / "manifest.json", "content", "blend", value=None)
    edited(elsewhere / "manifest.json", "content", "submission", value=None)
    done = invoke("predict", elsewhere, "--images", TEST)
    refused(done, "hooks.py has after_predictions, and")


def test_a_code_that_the_run_was_blended_with_since_is_named_as_the_cause(
    elsewhere: Path, invoke: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    predicted(elsewhere, TEST, tmp_path / "out.csv", SAMPLE)
    folder = tmp_path / "competition"
    (folder / "hooks.py").write_text(CODE.replace(".mean()", ".max()"))
    settings = read_settings(folder / "competition.toml", changes=CHANGES)
    submit.blend_run(elsewhere, settings, SAMPLE, elsewhere / "submission.csv")
    submit.record_blend(elsewhere, settings, read_manifest(elsewhere))
    verify = ("verify", "out.predictions.json", "--of", elsewhere, "--images", TEST)
    done = invoke(*verify, "--sample", SAMPLE)
    assert done.returncode == 1, done.stderr
    assert "hooks.py: after_predictions" in done.stdout
    assert "hooks.py: read_image" not in done.stdout
    predicted(elsewhere, TEST, tmp_path / "new.csv", SAMPLE)
    assert (tmp_path / "new.csv").read_bytes() == (elsewhere / "submission.csv").read_bytes()
    assert (tmp_path / "new.csv").read_bytes() != (tmp_path / "out.csv").read_bytes()


@pytest.fixture(scope="module")
def project(own: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that the run was made in, committed."""
    source = committed_source(tmp_path_factory.mktemp("source"))
    shutil.copy(own.parents[1] / "hooks.py", source / "competition")
    commit(source)
    return source


@pytest.mark.skipif(find_way() is None, reason="nothing confines a process here")
def test_a_package_predicts_with_its_hooks_where_somebody_agreed(
    own: Path, project: Path, invoke: Command, tmp_path: Path
) -> None:
    package = tmp_path / "full-zindi.zip"
    make_package(own, HOSTS.get("zindi"), package, force=False, project=project)
    command = ("predict", package, "--images", TEST, "--sample", SAMPLE)
    refused(invoke(*command), "nobody agreed to it")
    done = invoke(*command, "--trust")
    assert done.returncode == 0, done.stderr
    assert "own code    hooks.py: after_predictions, read_image" in done.stdout
    assert (tmp_path / "submission.csv").read_bytes() == (own / "submission.csv").read_bytes()


@pytest.mark.parametrize("host", ["zindi", "kaggle"])
def test_what_a_packages_pages_tell_works_in_a_fresh_folder(
    own: Path, project: Path, tmp_path: Path, host: str
) -> None:
    package, folder = tmp_path / "full.zip", tmp_path / "unpacked"
    make_package(own, HOSTS.get(host), package, force=False, project=project)
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    # In place of the environment that the first step makes.
    python = folder / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    page = (folder / "README.md").read_text(encoding="utf-8")
    if host == "kaggle":
        settings = json.loads((folder / "SETTINGS.json").read_text())
        settings |= {"RAW_DATA_DIR": str(FIXTURE), "SAMPLE_SUBMISSION": str(SAMPLE)}
        settings |= {"TEST_DATA_DIRS": [str(TEST)]}
        (folder / "SETTINGS.json").write_text(json.dumps(settings))
        commands = [f"environment/bin/python {name}.py" for name in ("predict", "train")]
        assert all(f"`{command}`" in page for command in commands)
    else:
        commands = [line for line in page.splitlines() if " -m twinrun " in line]
        places = (("DATA", FIXTURE), ("TEST", TEST), ("SAMPLE", SAMPLE))
        for word, place in places:
            commands = [re.sub(rf"\b{word}\b", str(place), each) for each in commands]
        assert len(commands) == 3
    for command in commands:
        done = subprocess.run(
            ["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    recorded = (own / "submission.csv").read_bytes()
    for made in ("submission.csv", "verify/run/submission.csv"):
        assert (folder / "output" / made).read_bytes() == recorded
