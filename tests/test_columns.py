"""Submissions of a label or of one probability, through the commands and the stages behind them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import FIXTURE, Command
from tests.run_folder.documents import whole_blend, whole_manifest, write_sealed
from twinrun import submit
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.errors import InputError, NegativeVerdict
from twinrun.files import sha256_file
from twinrun.run_folder.manifest import read_manifest

FIRST = "004217,0.5,0.5,0\nNA,0.1,0.2,0.7\n00,0.5,0.25,0.25\n"
SECOND = "NA,0.1,0.1,0.8\n004217,0.5,0.5,0\n00,0,0.75,0.25\n"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two prediction files of three images and the grades 0, 01 and 1, as FILE=WEIGHT."""
    for name, rows in (("first.csv", FIRST), ("second.csv", SECOND)):
        (tmp_path / name).write_text(f"id,0,01,1\n{rows}", encoding="utf-8")
    return ["first.csv=3", "second.csv=1"]


def graded(config: Path, columns: str, *classes: str) -> tuple[str, ...]:
    """The options that make a competition of these classes and this submission of it."""
    return (
        *("--config", str(config), "--set", f"competition.classes={json.dumps(classes)}"),
        *("--set", f"submission.columns={columns}"),
    )


def in_process(
    config: Path, columns: str, *classes: str, changes: tuple[str, ...] = ()
) -> Settings:
    options = graded(config, columns, *classes)
    return read_settings(config, changes=[*options[3::2], *changes])


def test_labels_are_blended_and_validated_as_text(
    invoke: Command, small_toml: Path, files: list[str], tmp_path: Path
) -> None:
    options = graded(small_toml, "label", "0", "01", "1")
    sample = tmp_path / "sample.csv"
    sample.write_text("Image,Grade\n00,0\n004217,0\nNA,0\n", encoding="utf-8")
    blended = invoke("blend", *files, "--output", "out.csv", "--sample", sample, *options)
    assert blended.returncode == 0, blended.stderr
    # 00: 0.375 for 0 and 0.375 for 01, of which 0 comes first.
    submission = tmp_path / "out.csv"
    assert submission.read_text(encoding="utf-8") == "Image,Grade\n00,0\n004217,0\nNA,1\n"
    valid = invoke("validate", submission, "--sample", sample, *options)
    assert valid.returncode == 0, valid.stderr
    assert "3 rows" in valid.stdout

    wrong = "Image,Grade\n00,1.0\n004217,\n004217,01\nX,0\n"
    submission.write_text(wrong, encoding="utf-8")
    invalid = invoke("validate", submission, "--sample", sample, *options)
    assert invalid.returncode == 1, invalid
    assert "Traceback" not in invalid.stderr
    for line in (
        "00: Grade is '1.0', no such class",
        "004217: nothing in column Grade",
        "004217: this id stands more than once",
        "NA: missing",
        "X: unknown to the sample",
    ):
        assert line in invalid.stderr


def test_the_probability_of_the_last_of_two_classes_is_blended_and_validated(
    invoke: Command, small_toml: Path, tmp_path: Path
) -> None:
    options = graded(small_toml, "probability", "no", "yes")
    (tmp_path / "one.csv").write_text("id,yes,no\n7,0.25,0.75\n07,1,0\n", encoding="utf-8")
    sample = tmp_path / "sample.csv"
    sample.write_text("id,is_sick\n07,0\n7,0\n", encoding="utf-8")
    blended = invoke("blend", "one.csv=1", "--output", "o.csv", "--sample", sample, *options)
    assert blended.returncode == 0, blended.stderr
    submission = tmp_path / "o.csv"
    assert submission.read_text(encoding="utf-8") == "id,is_sick\n07,1.0\n7,0.25\n"
    valid = invoke("validate", submission, "--sample", sample, *options)
    assert valid.returncode == 0, valid.stderr

    submission.write_text("id,is_sick\n07,1.5\n7,\n", encoding="utf-8")
    invalid = invoke("validate", submission, "--sample", sample, *options)
    assert invalid.returncode == 1
    assert "07: is_sick is 1.5, outside [0, 1]" in invalid.stderr
    assert "7: nothing in column is_sick" in invalid.stderr

    three = invoke("validate", submission, *graded(small_toml, "probability", "a", "b", "c"))
    assert three.returncode == 2
    assert "submission.columns" in three.stderr
    assert "Traceback" not in three.stderr


def test_labels_without_a_sample_stand_in_a_column_called_label(
    small_toml: Path, files: list[str], tmp_path: Path
) -> None:
    settings = in_process(small_toml, "label", "0", "01", "1")
    output = tmp_path / "out.csv"
    pairs = [(tmp_path / name.partition("=")[0], 1.0) for name in files]
    submit.blend_files(pairs, settings, None, output)
    assert output.read_text(encoding="utf-8") == "id,label\n004217,0\nNA,1\n00,01\n"


def test_a_label_does_not_ask_for_rows_that_sum_to_one_and_a_probability_does(
    small_toml: Path, tmp_path: Path
) -> None:
    path, output = tmp_path / "one.csv", tmp_path / "out.csv"
    path.write_text("id,no,yes\n7,0.5,0.75\n", encoding="utf-8")
    as_it_is = ("blend.renormalise=false",)
    plain = in_process(small_toml, "label", "no", "yes", changes=as_it_is)
    submit.blend_files([(path, 1.0)], plain, None, output)
    assert output.read_text(encoding="utf-8") == "id,label\n7,yes\n"
    plain = in_process(small_toml, "probability", "no", "yes", changes=as_it_is)
    with pytest.raises(NegativeVerdict, match=r"7: the row's sum is 1\.25, not 1") as caught:
        submit.blend_files([(path, 1.0)], plain, None, output)
    assert "blend.renormalise" in caught.value.fix
    # All that is wrong is told at once, although one column has no sum.
    sample = tmp_path / "sample.csv"
    sample.write_text("ID,yes\n7,0\n8,0\n", encoding="utf-8")
    with pytest.raises(NegativeVerdict, match="8: nothing in column yes") as caught:
        submit.blend_files([(path, 1.0)], plain, sample, output)
    assert "7: the row's sum is 1.25, not 1" in caught.value.details
    renormalised = in_process(small_toml, "probability", "no", "yes")
    submit.blend_files([(path, 1.0)], renormalised, None, output)
    assert output.read_text(encoding="utf-8") == "id,probability\n7,0.6\n"
    loose = (*as_it_is, "submission.rows_sum_to_one=false")
    plain = in_process(small_toml, "probability", "no", "yes", changes=loose)
    submit.blend_files([(path, 1.0)], plain, None, output)
    assert output.read_text(encoding="utf-8") == "id,probability\n7,0.75\n"


def test_predictions_of_other_classes_than_the_settings_are_refused(
    small_toml: Path, files: list[str], tmp_path: Path
) -> None:
    sample = tmp_path / "sample.csv"
    sample.write_text("ID,a,b,c\n00,0,0,0\n", encoding="utf-8")
    settings = in_process(small_toml, "classes", "a", "b", "c")
    with pytest.raises(InputError, match="of the classes 0, 01, 1; the settings have"):
        submit.blend_files([(tmp_path / "first.csv", 1.0)], settings, sample, tmp_path / "o.csv")
    assert not (tmp_path / "o.csv").exists()


def test_the_record_says_what_was_asked_of_the_submission_that_is_there(
    small_toml: Path, tmp_path: Path
) -> None:
    settings = in_process(small_toml, "label", "0", "01", "1")
    (tmp_path / "submission.csv").write_text("Image,Grade\n", encoding="utf-8")
    asked = {"submission": {"columns": "classes"}, "blend": {}}
    old = whole_manifest(settings=asked, submission="0" * 64)
    write_sealed(tmp_path / "manifest.json", old)
    write_sealed(tmp_path / "blend.json", whole_blend())
    submit.record_blend(tmp_path, settings, read_manifest(tmp_path))
    content = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))["content"]
    assert content["settings"]["submission"]["columns"] == "label"
    assert content["submission"] == sha256_file(tmp_path / "submission.csv")


def test_auto_without_a_data_folder_lets_another_profile_step_in(
    invoke: Command, small_toml: Path, tmp_path: Path
) -> None:
    shutil.copytree(FIXTURE / "train", tmp_path / "little" / "train")
    shutil.copytree(FIXTURE / "test", tmp_path / "little" / "test")
    text = small_toml.read_text(encoding="utf-8").replace(FIXTURE.as_posix(), "absent")
    listed = '["leaf_rust", "stem_rust", "healthy_wheat"]'
    text = text.replace(listed, '"auto"') + '[profiles.tiny.data]\nfolder = "little"\n'
    small_toml.write_text(text, encoding="utf-8")
    refused = invoke("run", "--config", small_toml)
    assert refused.returncode == 2
    assert f"no data folder: {tmp_path / 'absent'}" in refused.stderr
    answer = invoke("run", "--without-data", "tiny", "--config", small_toml)
    assert "no data folder" in answer.stdout
    # The images were read; what comes next is not there, which saves a training here.
    assert answer.returncode == 2
    assert "no sample submission" in answer.stderr


@pytest.mark.slow  # a run, and all of it again
def test_a_run_of_labels_is_scored_by_its_metric_and_verified(
    invoke: Command, small_toml: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(FIXTURE, tmp_path / "data"))
    rows = (data / "sample_submission.csv").read_text(encoding="utf-8").splitlines()[1:]
    ids = [row.partition(",")[0] for row in rows]
    lines = ["ID,Target", *(f"{image},x" for image in ids)]
    (data / "sample_submission.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = ("--set", "competition.classes=auto", "--set", "submission.columns=label")
    metric = ("--set", "competition.metric=macro_f1", "--set", "recipe.epochs.unfrozen=0")
    done = invoke("run", "--config", small_toml, "--data", data, *options, *metric)
    assert done.returncode == 0, done.stderr
    assert "macro F1 on the 24 images that every member held out" in done.stdout
    assert "(always the largest class: " in done.stdout
    submission = (tmp_path / "runs/full/submission.csv").read_text(encoding="utf-8").splitlines()
    assert submission[0] == "ID,Target"
    assert {line.partition(",")[2] for line in submission[1:]} <= {
        *("healthy_wheat", "leaf_rust", "stem_rust")
    }
    verified = invoke("verify", "runs/full")
    assert verified.returncode == 0, verified.stderr
    assert "submission.csv" in verified.stdout

    # Another metric asks for no other training.
    again = invoke("run", "--config", small_toml, "--data", data, *options, *metric[2:])
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("is complete already") == 2
    assert "(uniform guessing: 1.0986)" in again.stdout


@pytest.mark.parametrize("weight", ["1e-320", "1e308", "nan", "inf", "-1"])
def test_a_weight_that_no_mean_can_be_taken_with_is_refused(
    invoke: Command, small_toml: Path, files: list[str], tmp_path: Path, weight: str
) -> None:
    path = files[0].rpartition("=")[0]
    done = invoke("blend", f"{path}={weight}", "--config", small_toml, "--output", "x.csv")
    assert done.returncode == 2
    assert "a weight is 0, or from 0.000000001 to 1000000000" in " ".join(done.stderr.split())
    assert not (tmp_path / "x.csv").exists()
