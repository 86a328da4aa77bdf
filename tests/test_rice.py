"""Real photos, in both layouts, from data to a valid submission: `-s` shows the log loss."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import Command
from twinrun.files import read_csv
from twinrun.metrics import score
from twinrun.probabilities import read_probabilities
from twinrun.run_folder.paths import RESULT_FILES

RICE = """
[competition]
name = "Rice leaf diseases"
classes = ["bacterial_leaf_blight", "blast", "brown_spot"]

[data]
folder = {folder!r}
layout = {layout!r}

[run]
seed = 3
threads = 1

[recipe]
image_size = 64
pretrained = false
validation = {{ share = 0.15 }}
epochs = {{ frozen = 2, unfrozen = 8 }}
frozen_rates = [1e-4, 3e-3]
unfrozen_rates = [1e-4, 3e-3]
mixup = 0.1
flip_vertical = true

[members.rice]
network = "resnet18"
batch_size = 16
"""


@pytest.fixture
def as_table(shared_data: Path, tmp_path: Path) -> Path:
    """The same photos in one folder beside labels.csv."""
    folder = tmp_path / "table"
    (folder / "train").mkdir(parents=True)
    for image in (shared_data / "rice" / "train").glob("*/*"):
        shutil.copyfile(image, folder / "train" / image.name)
    shutil.copytree(shared_data / "rice" / "test", folder / "test")
    for name in ("labels.csv", "sample_submission.csv"):
        shutil.copyfile(shared_data / "rice" / name, folder / name)
    return folder


@pytest.mark.slow  # four processes, two of which train on real photos
def test_both_layouts_train_to_the_same_valid_submission(
    twinrun: Command, shared_data: Path, as_table: Path, tmp_path: Path
) -> None:
    layouts = {"folders": shared_data / "rice", "table": as_table}
    for layout, folder in layouts.items():
        config = tmp_path / f"{layout}.toml"
        config.write_text(RICE.format(folder=str(folder), layout=layout))
        answer = twinrun("run", "--config", config, "--run", layout)
        assert answer.returncode == 0, answer.stderr
        submission = tmp_path / "runs" / layout / "submission.csv"
        checked = twinrun("validate", submission, "--config", config)
        assert checked.returncode == 0, checked.stderr
    runs = [tmp_path / "runs" / layout for layout in layouts]
    for file in ("submission.csv", *(f"members/rice/{name}" for name in RESULT_FILES)):
        assert (runs[0] / file).read_bytes() == (runs[1] / file).read_bytes(), file

    solution = read_csv(shared_data / "rice" / "solution.csv", text=("ID", "label"))
    predictions = read_probabilities(runs[0] / "submission.csv")
    by_id = dict(zip(solution["ID"], solution["label"], strict=True))
    labels = [by_id[image] for image in predictions["ID"]]
    loss = score(predictions, labels, "log_loss")
    print(f"\nrice, resnet18 from nothing, 64 px, 10 epochs: test log loss {loss:.4f}")
    assert loss < 1.0986, "worse than uniform guessing"
