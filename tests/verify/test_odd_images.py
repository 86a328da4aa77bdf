"""Packages of runs on images that are not read as they are: few bits, or no picture at all."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import FIXTURE, SMALL
from tests.exact import read_exact
from tests.package.packing import committed_source
from twinrun import prepare, submit, train_run
from twinrun.config.reading import read_settings
from twinrun.data.unread import class_shares
from twinrun.errors import NegativeVerdict
from twinrun.package.hosts import HOSTS
from twinrun.package.package import make_package
from twinrun.run_folder.manifest import recorded_range
from twinrun.run_folder.paths import RunFolder
from twinrun.verify.own_engine import verify_by_own_engine
from twinrun.verify.packages import foreign_code, unpack_package

pytestmark = pytest.mark.slow


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The fixture as 12-bit greys; one training image is empty, and one test image."""
    folder = Path(shutil.copytree(FIXTURE, tmp_path / "data"))
    for path in sorted(folder.rglob("*.jpg")):
        with Image.open(path) as image:
            values = np.asarray(image.convert("L")).astype(np.uint16) * 16
        Image.fromarray(values).save(path.with_suffix(".tif"))
        path.unlink()
    for part in ("train/leaf_rust", "test"):
        sorted((folder / part).iterdir())[0].write_bytes(b"")
    return folder


@pytest.fixture
def package(data: Path, tmp_path: Path) -> Path:
    toml = tmp_path / "small.toml"
    toml.write_text(SMALL.format(folder=data.as_posix()), encoding="utf-8")
    settings = read_settings(toml, changes=["data.unreadable=prior"])
    started = time.perf_counter()
    run = prepare.prepare(settings, tmp_path / "runs" / "full")
    train_run.train(run, list(settings.members), started)
    output = RunFolder(run.folder).submission
    submit.blend_run(run.folder, settings, run.sample_path, output)
    prepare.keep_record(run, started)
    assert recorded_range(run.folder) == [run.scale.low, run.scale.high]  # type: ignore[union-attr]
    rows = read_exact(output, dtype={"ID": str}).set_index("ID")
    shares = class_shares(run.index, settings.classes)
    unread = sorted(path.stem for path in (data / "test").iterdir())[0]
    assert (
        rows[list(settings.classes)].to_numpy()[rows.index == unread][0].tolist() == shares.tolist()
    )
    source = committed_source(tmp_path / "source")
    make_package(run.folder, HOSTS.get("zindi"), tmp_path / "a.zip", force=False, project=source)
    return tmp_path / "a.zip"


def verify(package: Path, data: Path, out: Path, *, retrain: bool) -> None:
    with unpack_package(package) as found:
        assert foreign_code(found, installed=True) == []
        python = Path(sys.executable)
        verify_by_own_engine(found, python, [], data=data, out=out, retrain=retrain)


def test_its_package_comes_out_the_same_from_weights_and_trained_again(
    package: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for retrain in (False, True):
        verify(package, data, tmp_path / f"out-{retrain}", retrain=retrain)
        assert "same bits" in capfd.readouterr().out


def test_an_image_that_can_be_read_now_is_other_data(
    package: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    unread, other = sorted((data / "test").iterdir())[:2]
    shutil.copyfile(other, unread)
    with pytest.raises(NegativeVerdict):
        verify(package, data, tmp_path / "out", retrain=False)
    assert f"test/{unread.stem}: changed" in capfd.readouterr().err
