"""Before a run is made again: its images and settings are those it was made with, or are named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import FIXTURE
from tests.run_folder.documents import (
    edited,
    read_plain,
    record_run,
    whole_audit,
    whole_record,
    write_sealed,
)
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.data.index import build_index
from twinrun.data.wide_values import ValueRange
from twinrun.errors import InputError, NegativeVerdict
from twinrun.files import sha256_file
from twinrun.verify.same_inputs import (
    refuse_other_data,
    refuse_other_range,
    refuse_other_settings,
)


@pytest.fixture
def settings(small_toml: Path, tmp_path: Path) -> Settings:
    shutil.copytree(FIXTURE, tmp_path / "data")
    return read_settings(small_toml, data=tmp_path / "data")


@pytest.fixture
def run(settings: Settings, tmp_path: Path) -> Path:
    """A run's index, and the record of one member."""
    folder = tmp_path / "full"
    (folder / "members" / "a").mkdir(parents=True)
    build_index(settings).to_parquet(folder / "index.parquet", index=False)
    record = whole_record()
    record["identity"]["settings"] = settings.training_content("a")
    write_sealed(folder / "members" / "a" / "member.json", record)
    return folder


def said(run: Path, settings: Settings) -> str:
    with pytest.raises(NegativeVerdict) as caught:
        refuse_other_data(run, settings)
    return str(caught.value)


def test_the_same_images_under_another_extension_are_the_same_data(
    run: Path, settings: Settings
) -> None:
    refuse_other_data(run, settings)
    image = settings.data_folder / "test" / "643083.jpg"
    image.rename(image.with_suffix(".jpeg"))
    refuse_other_data(run, settings)


def test_each_image_that_is_missing_changed_relabelled_or_new_is_named(
    run: Path, settings: Settings
) -> None:
    data = settings.data_folder
    (data / "test" / "643083.jpg").unlink()
    with (data / "test" / "KJ2V5U.jpg").open("ab") as image:
        image.write(b"\0")
    (data / "train" / "leaf_rust" / "004217.jpg").rename(
        data / "train" / "stem_rust" / "004217.jpg"
    )
    shutil.copy(data / "test" / "O17KPD.jpg", data / "train" / "leaf_rust" / "[red]new.jpg")
    text = said(run, settings)
    assert "4 of 120 images" in text
    assert "test/643083: missing" in text
    assert "test/KJ2V5U: changed" in text
    assert "train/004217: was leaf_rust, is stem_rust" in text
    assert "train/[red]new: new" in text


def test_what_the_audit_dropped_is_not_new(run: Path, settings: Settings) -> None:
    index = build_index(settings)
    index[index["id"] != "004217"].to_parquet(run / "index.parquet", index=False)
    assert "train/004217: new" in said(run, settings)
    digests = dict(zip(index["id"], index["sha256"], strict=True))
    write_sealed(run / "audit.json", whole_audit({"004217": digests["004217"]}))
    refuse_other_data(run, settings)
    write_sealed(run / "audit.json", whole_audit({"O4AT5H": digests["O4AT5H"]}))
    assert "train/004217: new" in said(run, settings)


@pytest.mark.parametrize("why", ["dropped", "unread"])
def test_images_that_were_left_out_are_to_be_the_same_too(
    run: Path, settings: Settings, why: str
) -> None:
    index = build_index(settings)
    index[index["id"] != "004217"].to_parquet(run / "index.parquet", index=False)
    path = settings.data_folder / "train" / "leaf_rust" / "004217.jpg"
    write_sealed(run / "audit.json", whole_audit(**{why: {"004217": sha256_file(path)}}))
    refuse_other_data(run, settings)
    with path.open("ab") as image:
        image.write(b"\0")
    assert "train/004217: changed" in said(run, settings)
    path.unlink()
    assert "train/004217: missing" in said(run, settings)


def test_another_range_than_the_recorded_one_is_told(tmp_path: Path) -> None:
    record_run(tmp_path)
    refuse_other_range(tmp_path, None)
    with pytest.raises(NegativeVerdict, match="none recorded, 0 to 255 now"):
        refuse_other_range(tmp_path, ValueRange(0.0, 255.0))
    edited(tmp_path / "manifest.json", "content", "range", value=[0.0, 255.0])
    refuse_other_range(tmp_path, ValueRange(0.0, 255.0))
    with pytest.raises(NegativeVerdict, match="0 to 255 recorded, 0 to 254 now"):
        refuse_other_range(tmp_path, ValueRange(0.0, 254.0))


@pytest.mark.parametrize("damage", ["index.parquet", "audit.json"])
def test_damaged_records_are_told(run: Path, settings: Settings, damage: str) -> None:
    (run / damage).write_text("{")
    with pytest.raises(InputError, match=f"{damage} is"):
        refuse_other_data(run, settings)


def test_settings_that_no_prediction_shows_are_named(
    run: Path, settings: Settings, small_toml: Path
) -> None:
    refuse_other_settings(run, settings, ["a"])
    other = read_settings(small_toml, changes=["members.a.mixup=0.3", "run.seed=4"])
    with pytest.raises(NegativeVerdict) as caught:
        refuse_other_settings(run, other, ["a"])
    assert "a, member.mixup: 0.4 then, 0.3 in the manifest" in str(caught.value)
    assert "a, seed: 0 then, 4 in the manifest" in str(caught.value)


def test_a_setting_that_is_not_recorded_did_nothing(run: Path, small_toml: Path) -> None:
    path = run / "members" / "a" / "member.json"
    record = read_plain(path)
    record["identity"]["settings"]["member"].pop("dropout", None)
    write_sealed(path, record)
    refuse_other_settings(run, read_settings(small_toml, changes=["recipe.dropout=0.0"]), ["a"])
    other = read_settings(small_toml, changes=["recipe.dropout=0.1"])
    with pytest.raises(NegativeVerdict, match=r"member\.dropout: 0\.0 then, 0\.1 in the manifest"):
        refuse_other_settings(run, other, ["a"])
