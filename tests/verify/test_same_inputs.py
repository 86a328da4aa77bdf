"""Before a run is made again: its images and settings are those it was made with, or are named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import FIXTURE
from tests.run_folder.documents import read_plain, whole_audit, whole_record, write_sealed
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.data.index import build_index
from twinrun.errors import InputError, NegativeVerdict
from twinrun.verify.same_inputs import refuse_other_data, refuse_other_settings


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
    write_sealed(run / "audit.json", whole_audit("004217"))
    refuse_other_data(run, settings)
    write_sealed(run / "audit.json", whole_audit("O4AT5H"))
    assert "train/004217: new" in said(run, settings)


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
