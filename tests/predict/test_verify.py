"""predictions.json: new predictions, made again and graded; what is not the same is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from tests.conftest import Command
from tests.predict.test_predict import SAMPLE, TEST, predicted, refused
from tests.run_folder.documents import edited, read_plain, write_sealed
from twinrun.files import sha256_file


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("1AXIPJ.jpg", "2VXT82.jpg", "S2U8GN.gif"):
        shutil.copy(TEST / name, folder)
    return folder


def test_what_comes_out_again_is_called_the_same(
    recorded: Path, images: Path, invoke: Command, tmp_path: Path
) -> None:
    predicted(recorded, images, tmp_path / "out.csv")
    command = ("verify", "predictions.json", "--of", recorded, "--images", images)
    done = invoke(*command)
    assert done.returncode == 0, done.stderr
    assert "same bits: predictions.json made again" in done.stdout
    # More images beside them change nothing.
    shutil.copy(TEST / "643083.jpg", images)
    assert invoke(*command).returncode == 0
    refused(invoke(*command, "--sample", SAMPLE), "is of predictions")
    refused(invoke("verify", "predictions.json"), "names no place")
    refused(invoke("verify", recorded, "--images", images), "is for a predictions.json")


def test_a_submission_is_verified_with_its_sample(
    recorded: Path, invoke: Command, tmp_path: Path
) -> None:
    predicted(recorded, TEST, tmp_path / "out.csv", SAMPLE)
    command = ("verify", "predictions.json", "--of", recorded, "--images", TEST)
    assert invoke(*command, "--sample", SAMPLE).returncode == 0
    refused(invoke(*command), "is of a submission")


def test_other_images_are_named_and_the_answer_is_no(
    recorded: Path, images: Path, invoke: Command, tmp_path: Path
) -> None:
    predicted(recorded, images, tmp_path / "out.csv")
    Image.new("RGB", (90, 70), "red").save(images / "2VXT82.jpg")
    command = ("verify", "predictions.json", "--of", recorded, "--images", images)
    done = invoke(*command)
    assert done.returncode == 1
    assert "2VXT82: changed" in done.stdout
    assert "came out with different bits" in done.stderr
    (images / "2VXT82.jpg").unlink()
    done = invoke(*command)
    assert done.returncode == 1
    assert "2VXT82: missing" in done.stdout


def test_other_weights_are_named(
    recorded: Path, images: Path, invoke: Command, tmp_path: Path
) -> None:
    predicted(recorded, images, tmp_path / "out.csv")
    content = read_plain(tmp_path / "predictions.json")
    content["weights"]["b"] = "0" * 64
    write_sealed(tmp_path / "predictions.json", content)
    table = pd.read_csv(tmp_path / "out.csv")
    table.iloc[:, 1:] = table.iloc[:, [2, 3, 1]].to_numpy()
    table.to_csv(tmp_path / "out.csv", index=False)
    command = ("verify", "predictions.json", "--of", recorded, "--images", images)
    refused(invoke(*command), "out.csv is not the file that was written when it was predicted")
    digest = sha256_file(tmp_path / "out.csv")
    edited(tmp_path / "predictions.json", "output", "sha256", value=digest)
    done = invoke(*command)
    assert done.returncode == 1
    assert "weights: not those of the record" in done.stdout


def test_last_bits_alone_are_rounding(
    recorded: Path, images: Path, invoke: Command, tmp_path: Path
) -> None:
    predicted(recorded, images, tmp_path / "out.csv")
    table = pd.read_csv(tmp_path / "out.csv")
    column = table.columns[1]
    table[column] = table[column].to_numpy() + 1e-9
    table.to_csv(tmp_path / "out.csv", index=False)
    digest = sha256_file(tmp_path / "out.csv")
    edited(tmp_path / "predictions.json", "output", "sha256", value=digest)
    command = ("verify", "predictions.json", "--of", recorded, "--images", images)
    assert invoke(*command).returncode == 3
    assert invoke(*command, "--accept", "rounding").returncode == 0


def test_a_damaged_record_is_named(
    recorded: Path, images: Path, invoke: Command, tmp_path: Path
) -> None:
    (tmp_path / "predictions.json").write_text("{}")
    command = ("verify", "predictions.json", "--of", recorded, "--images", images)
    refused(invoke(*command), "is damaged")
