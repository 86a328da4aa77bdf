"""The user's path: a run, the same run again, a changed run, the commands' looks."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import FIXTURE, Command
from tests.exact import read_exact
from twinrun.files import sha256_file


def test_a_run_trains_blends_validates_and_says_where_everything_is(
    twinrun: Command, invoke: Command, small_toml: Path, tmp_path: Path
) -> None:
    answer = twinrun("run", "--config", small_toml)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    for text in (
        "96 training and 24 test images",
        "timm/test_resnet",
        "uniform guessing: 1.0986",
        "submission runs/full/submission.csv, checked against the sample: valid",
        "report     runs/full/report.html",
        "done in",
    ):
        assert text in answer.stdout
    run = tmp_path / "runs" / "full"
    manifest = json.loads((run / "manifest.json").read_text())
    assert set(manifest["content"]["members"]) == {"a", "b"}
    assert manifest["content"]["settings"]["run"] == {"seed": 0, "threads": 1}
    index = pd.read_parquet(run / "index.parquet")
    assert index["id"].is_monotonic_increasing is False  # two parts, each sorted
    assert len(index) == 120

    page = (run / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3  # a learning curve of each member, the calibration
    assert page.count("data:image/jpeg;base64,") >= 16

    # The submission is bound to the sample by id: its rows are in the sample's order, which is not
    # the folder's, and each is the members' weighted mean for that id.
    sample = read_exact(FIXTURE / "sample_submission.csv", dtype={"ID": str})
    submission = read_exact(run / "submission.csv", dtype={"ID": str})
    assert submission["ID"].tolist() == sample["ID"].tolist() != sorted(sample["ID"])
    assert list(submission.columns) == list(sample.columns)
    members = {
        name: read_exact(run / "members" / name / "test.csv", dtype={"id": str}).set_index("id")
        for name in ("a", "b")
    }
    mean = (2 * members["a"] + members["b"]) / 3
    mean = mean.div(mean.sum(axis=1), axis=0).loc[submission["ID"]]
    assert (submission.set_index("ID") - mean).abs().to_numpy().max() < 1e-12

    before = {path: path.read_bytes() for path in run.rglob("*.csv")}
    again = invoke("run", "--config", small_toml)
    assert again.returncode == 0
    assert again.stdout.count("is complete already") == 2
    assert {path: path.read_bytes() for path in run.rglob("*.csv")} == before

    changed = invoke("run", "--config", small_toml, "--set", "run.seed=4")
    assert changed.returncode == 2
    assert "settings.seed: 0 then, 4 now" in changed.stderr
    assert "--run NAME" in changed.stderr
    assert {path: path.read_bytes() for path in run.rglob("*.csv")} == before


@pytest.mark.slow  # six processes, of which one trains
def test_training_and_blending_again_keep_the_record_of_the_run(
    twinrun: Command, small_toml: Path, tmp_path: Path
) -> None:
    assert twinrun("run", "--config", small_toml).returncode == 0
    run = tmp_path / "runs" / "full"

    # Training a member that is complete already loses nothing of the run's record.
    content = json.loads((run / "manifest.json").read_text())["content"]
    assert twinrun("train", "a", "--config", small_toml).returncode == 0
    assert json.loads((run / "manifest.json").read_text())["content"] == content

    # New weights need no new training, and the record keeps up with the submission.
    assert twinrun("blend", "--config", small_toml, "--set", "blend.weights.b=0.5").returncode == 0
    reblended = json.loads((run / "manifest.json").read_text())["content"]
    assert reblended["submission"] == sha256_file(run / "submission.csv") != content["submission"]
    assert reblended["settings"]["blend"]["weights"] == {"a": 2.0, "b": 0.5}
    weighted = twinrun(
        "blend", "--config", small_toml, "--set", "blend.weights.b=0.0", "--output", "a.csv"
    )
    assert weighted.returncode == 0, weighted.stderr
    only_a = read_exact(tmp_path / "a.csv", dtype={"ID": str}).set_index("ID")
    predictions = run / "members" / "a" / "test.csv"
    member = read_exact(predictions, dtype={"id": str}).set_index("id")
    assert (only_a - member.loc[only_a.index]).abs().to_numpy().max() < 1e-6
    valid = twinrun("validate", "a.csv", "--config", small_toml)
    assert valid.returncode == 0, valid.stderr


@pytest.mark.slow  # three processes that train
def test_members_trained_alone_equal_those_of_a_whole_run(
    twinrun: Command, small_toml: Path, tmp_path: Path
) -> None:
    together = twinrun("train", "b", "a", "--config", small_toml, "--run", "together")
    assert together.returncode == 0, together.stderr
    alone = twinrun("train", "b", "--config", small_toml, "--run", "alone", "--quiet")
    assert alone.returncode == 0, alone.stderr
    assert alone.stdout == ""
    for file in ("valid.csv", "test.csv", "weights.safetensors"):
        first, second = (
            tmp_path / "runs" / run / "members/b" / file for run in ("together", "alone")
        )
        assert first.read_bytes() == second.read_bytes(), file
    missing = twinrun("blend", "--config", small_toml, "--run", "alone")
    assert missing.returncode == 2
    assert "not complete in runs/alone: a" in missing.stderr


@pytest.mark.slow  # a process that trains; `nox -s template` does it for a generated project
def test_without_a_data_folder_the_named_profile_is_used_and_said(
    twinrun: Command, small_toml: Path
) -> None:
    with small_toml.open("a") as file:
        file.write(f'\n[profiles.tiny.data]\nfolder = "{FIXTURE.as_posix()}"\n')
        file.write("[profiles.tiny.recipe]\nepochs = { frozen = 1, unfrozen = 0 }\n")
    absent = ("--set", "data.folder='absent'", "--config", small_toml)
    refused = twinrun("run", *absent)
    assert refused.returncode == 2
    assert "no data folder" in refused.stderr
    # --set would win over the profile's folder, so the missing folder stands in the file here.
    small_toml.write_text(small_toml.read_text().replace(FIXTURE.as_posix(), "absent", 1))
    answer = twinrun("run", "--without-data", "tiny", "--config", small_toml)
    assert answer.returncode == 0, answer.stderr
    assert "no data folder" in answer.stdout
    assert "runs/tiny/submission.csv" in answer.stdout


def test_a_named_data_folder_that_is_missing_is_never_replaced(
    invoke: Command, small_toml: Path
) -> None:
    answer = invoke("run", "--without-data", "fixture", "--data", "absent", "--config", small_toml)
    assert answer.returncode == 2
    assert "no data folder" in answer.stderr


@pytest.mark.parametrize(
    "command",
    [
        *("run", "audit", "train", "blend", "validate", "twins", "diff", "verify", "report"),
        *("package", "cache", "check"),
    ],
)
def test_every_command_explains_itself_with_an_example(invoke: Command, command: str) -> None:
    answer = invoke(command, "--help")
    assert answer.returncode == 0
    assert "Example" in answer.stdout
    assert f"twinrun {command}" in answer.stdout


def processor_seconds() -> float:
    """Of all child processes that have ended. Unlike a clock it leaves out what others take."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_needs_no_torch_and_is_quick(twinrun: Command) -> None:
    """Half a second of a processor, and no wait beside it; twice that where others are at work."""
    seconds = []
    for _ in range(4):
        started = processor_seconds()
        assert twinrun("--help").returncode == 0
        seconds.append(processor_seconds() - started)
    assert min(seconds) < 1.0
    listed = twinrun("--help", PYTHONPROFILEIMPORTTIME="1").stderr
    assert "typer" in listed
    assert not any(name in listed for name in (" torch", " fastai", " pandas", " pydantic"))


@pytest.mark.slow  # three processes that train
def test_members_trained_in_two_processes_at_once_equal_those_of_one(
    small_toml: Path, tmp_path: Path, twinrun: Command
) -> None:
    """One run folder, a process per member: nobody waits, nothing is lost of the record."""
    command = [sys.executable, "-m", "twinrun", "train", "--config", str(small_toml)]
    processes = [
        subprocess.Popen([*command, member, "--run", "parallel", "--quiet"], cwd=tmp_path)
        for member in ("b", "a")
    ]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    serial = twinrun("train", "--config", small_toml, "--run", "serial")
    assert serial.returncode == 0, serial.stderr
    runs = [tmp_path / "runs" / run for run in ("parallel", "serial")]
    for member in ("a", "b"):
        for file in ("valid.csv", "test.csv", "weights.safetensors", "ledger.parquet"):
            first, second = (run / "members" / member / file for run in runs)
            assert first.read_bytes() == second.read_bytes(), (member, file)
    contents = [json.loads((run / "manifest.json").read_text())["content"] for run in runs]
    assert contents[0] == contents[1]
    same = twinrun("diff", *runs)
    assert same.returncode == 0, same.stderr
    assert not list(runs[0].rglob(".lock"))
