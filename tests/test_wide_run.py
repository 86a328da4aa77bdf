"""A run on images of more than 8 bits a value: their range is recorded, and used from there."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.audit.test_value_checks import CLASSES, draw
from tests.package.test_hosts import pages
from tests.run_folder.documents import edited
from twinrun import prepare
from twinrun.compare import replay_step
from twinrun.compare.runs import _other_settings
from twinrun.config.reading import read_settings
from twinrun.data.wide_values import ValueRange
from twinrun.errors import InputError, NegativeVerdict
from twinrun.report.thumbnails import Thumbnails
from twinrun.run_folder.audit import write_audit
from twinrun.run_folder.manifest import read_manifest, recorded_range
from twinrun.run_folder.tables import read_index, write_index
from twinrun.verify.same_inputs import refuse_other_data


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Of two images with conflicting labels, which the policy drops, one reaches the furthest."""
    folder = tmp_path / "data"
    for number, name in enumerate(CLASSES * 3):
        draw(folder / "train" / name / f"I{number}.tif", number, 16, 3000)
    draw(folder / "train" / CLASSES[0] / "X.tif", 90, 7, 4095)
    draw(folder / "train" / CLASSES[1] / "Y.tif", 90, 7, 4095)
    draw(folder / "test" / "T.tif", 91, 0, 60_000)
    (folder / "sample_submission.csv").write_text("ID," + ",".join(CLASSES) + "\nT,0,0,0\n")
    return folder


@pytest.fixture
def run(data: Path, small_toml: Path, tmp_path: Path) -> prepare.Prepared:
    """Of it nothing is trained; its record is written as that of a run is."""
    settings = read_settings(small_toml, data=data, changes=["data.conflicts=drop"])
    found = prepare.prepare(settings, tmp_path / "runs" / "full")
    found.folder.mkdir(parents=True)
    write_index(found.folder, found.index)
    prepare.keep_record(found, 0.0)
    return found


def test_the_range_stands_in_the_record(run: prepare.Prepared) -> None:
    assert run.audit.dropped == ("X", "Y")
    # A range is of all training images: that of the cache, whatever a policy leaves out later.
    assert run.scale == ValueRange(7, 4095)
    assert recorded_range(run.folder) == [7.0, 4095.0]


def test_an_image_that_was_dropped_has_its_say_and_is_compared(
    run: prepare.Prepared, data: Path
) -> None:
    write_audit(run.folder, run.audit.content())
    prepare.keep_record(run, 0.0)
    refuse_other_data(run.folder, run.settings)
    dropped = data / "train" / CLASSES[0] / "X.tif"
    draw(dropped, 90, 7, 4000)
    with pytest.raises(NegativeVerdict, match="train/X: changed"):
        refuse_other_data(run.folder, run.settings)
    dropped.unlink()
    with pytest.raises(NegativeVerdict, match="train/X: missing"):
        refuse_other_data(run.folder, run.settings)


def test_without_such_images_nothing_stands_there(small_toml: Path, tmp_path: Path) -> None:
    found = prepare.prepare(read_settings(small_toml), tmp_path / "runs" / "full")
    found.folder.mkdir(parents=True)
    prepare.keep_record(found, 0.0)
    assert found.scale is None
    assert "range" not in read_manifest(found.folder)["content"]
    assert recorded_range(found.folder) is None


@pytest.mark.parametrize("value", [[7.0, 7.0], [9.0, 1.0], [0.0], [0.0, math.nan], [0.0, math.inf]])
def test_a_record_of_no_range_is_damaged(run: prepare.Prepared, value: list[float]) -> None:
    edited(run.folder / "manifest.json", "content", "range", value=value)
    with pytest.raises(InputError, match=r"manifest\.json is damaged"):
        recorded_range(run.folder)


def test_a_replay_sees_images_in_the_recorded_range(
    run: prepare.Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The index alone would give a smaller one.
    assert "X" not in set(read_index(run.folder)["id"])
    seen: dict[str, Any] = {}

    class Enough(Exception):
        pass

    def stop(name: str, settings: Any, index: Any, pixels: Any, environment: Any) -> None:
        seen.update(pixels)
        raise Enough

    monkeypatch.setattr(replay_step, "set_up_training", stop)
    with pytest.raises(Enough):
        replay_step.replay(run.folder, "a", (1, 1), "item", tmp_path / "out", data=None)
    [pixels] = seen.values()
    assert pixels.scale == run.scale
    before = run.pixels[pixels.size].table["digest"]
    assert pixels.table["digest"].to_dict() == before.to_dict()


def test_a_thumbnail_shows_what_was_trained_on(run: prepare.Prepared) -> None:
    index, folder = read_index(run.folder), run.settings.data_folder
    assert Thumbnails(folder, index).of("test", "T") is None
    found = Thumbnails(folder, index, run.scale)
    assert found.of("test", "T")
    assert not found.why


def test_runs_of_different_ranges_differ_in_that_setting(run: prepare.Prepared) -> None:
    then = read_manifest(run.folder)["content"]
    [gap] = _other_settings([then, {**then, "range": [0.0, 255.0]}], set(), set())
    assert (gap.name, gap.first, gap.second) == ("data.range", [7.0, 4095.0], [0.0, 255.0])
    # Two numbers in the settings that are what "auto" finds are no difference.
    asked = {**then["settings"], "data": {**then["settings"]["data"], "range": [7.0, 4095.0]}}
    assert not list(_other_settings([then, {**then, "settings": asked}], set(), set()))


def test_two_numbers_in_the_settings_are_the_range_and_a_run_says_so(
    data: Path, small_toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = read_settings(small_toml, data=data, changes=["data.range=[0, 3000]"])
    assert prepare.prepare(settings, tmp_path / "runs" / "full").scale == ValueRange(0, 3000)
    assert "values    from 0 to 3000, of images of more than 8 bits" in capsys.readouterr().out


@pytest.mark.parametrize("asked", [None, [7, 4095]])
def test_a_package_tells_how_values_became_pixels(
    run: prepare.Prepared, asked: list[int] | None
) -> None:
    if asked:
        edited(run.folder / "manifest.json", "content", "settings", "data", "range", value=asked)
    page = pages(run.folder, "zindi")["README.md"]
    text = " ".join(page.split())
    assert "seen from 7, which is black, to 4095, which is white" in text
    assert "floor(255 (v - L) / (H - L) + 1/2) with L = 7 and H = 4095" in text
    assert ("The settings say so." in text) == bool(asked)
    assert ("lowest and the highest value of all training images" in text) == (not asked)


def test_the_formula_of_the_page_gives_the_pixels(run: prepare.Prepared, data: Path) -> None:
    # Numbers that few digits do not tell.
    for path in data.rglob("*.tif"):
        with Image.open(path) as file:
            values = np.asarray(file).astype(np.float32) / np.float32(4099)
        Image.fromarray(values).save(path)
    floats = prepare.prepare(run.settings, run.folder)
    prepare.keep_record(floats, 0.0)
    text = " ".join(pages(run.folder, "zindi")["README.md"].split())
    found = re.search(r"with L = (\S+) and H = (\S+), one beyond", text)
    assert found
    low, high = map(float, found.groups())
    assert (low, high) == floats.scale
    sha256 = floats.index.loc[floats.index["id"] == "T", "sha256"].item()
    size = max(floats.pixels)
    values = np.asarray(Image.open(data / "test" / "T.tif")).astype(float)
    bytes_ = np.floor(255 * (np.clip(values, low, high) - low) / (high - low) + 0.5)
    greys = Image.fromarray(bytes_.astype(np.uint8))
    expected = greys.resize((size, size), Image.Resampling.LANCZOS)
    pixels = floats.pixels[size].rows([sha256]).image(0)
    assert (pixels[..., 1] == np.asarray(expected)).all()


def test_a_range_that_is_null_in_a_record_is_none(run: prepare.Prepared) -> None:
    edited(run.folder / "manifest.json", "content", "range", value=None)
    assert recorded_range(run.folder) is None
    assert "is white" not in pages(run.folder, "zindi")["README.md"]
    then = read_manifest(run.folder)["content"]
    assert not list(_other_settings([then, then], set(), set()))
