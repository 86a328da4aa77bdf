"""`twinrun run --hours`: what it says, what it leaves, and how the same command completes it."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BeforeSecond, Command
from tests.test_partial import QUICK, small_run
from twinrun.cli import run as command
from twinrun.config.reading import read_settings
from twinrun.deadline.deadline import Deadline
from twinrun.deadline.measure import measure
from twinrun.deadline.plan import Cost, Measured, cost_of
from twinrun.prepare import Prepared, prepare
from twinrun.run_folder.manifest import read_manifest
from twinrun.run_folder.paths import checkpoints_in
from twinrun.train.members import train_member


def rows(stdout: str) -> list[list[str]]:
    """The cells of the plan's rows, member first."""
    return [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in stdout.partition("What fits")[2].splitlines()
        if line.startswith("│")
    ]


def test_a_time_in_which_nothing_fits_is_refused_before_any_training_with_one_that_would_help(
    invoke: Command, tmp_path: Path
) -> None:
    answer = small_run(invoke, tmp_path, "full", "--hours", "0.001")
    assert answer.returncode == 2
    assert answer.stderr.startswith(
        "error: --hours 0.001: no training fits, and nothing is complete: there would be no "
    )
    smallest = re.search(r"The smallest that would help: --hours (0\.\d+)\.\n", answer.stderr)
    assert smallest, answer.stderr
    assert 10 / 3600 < float(smallest[1]) < 0.2
    # In the order of their weight, 2 and 1: four steps of an epoch each.
    found = rows(answer.stdout)
    assert [(row[0], row[1], row[2], row[-1]) for row in found] == [
        ("a", "2", "4", "no"),
        ("b", "1", "4", "no"),
    ]
    assert all(float(row[3]) > 0 for row in found)
    # Images that are decoded stay; of the run there is nothing.
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["cache"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--hours", "0"), "--hours 0: not a number above 0"),
        (("--hours", "-1"), "--hours -1: not a number above 0"),
        (("--hours", "nan"), "--hours nan: not a number above 0"),
        (("--hours", "inf"), "--hours inf: not a number above 0"),
        (("--hours", "1", "--ray", "auto"), "not for --ray"),
        (("--hours", "1", "--seeds", "1,2", "--ray"), "not for --ray, --seeds"),
    ],
)
def test_hours_that_cannot_be_are_refused(
    invoke: Command, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    answer = small_run(invoke, tmp_path, "full", *options)
    assert answer.returncode == 2
    assert words in answer.stderr
    assert not (tmp_path / "runs").exists()


def stop_second(monkeypatch: pytest.MonkeyPatch, before_second: BeforeSecond) -> None:
    """Let a run's time be over at the first step of its second training."""
    now = [0.0]

    def plan_run(run: Prepared, hours: float, begun: float) -> Deadline:
        costs = {
            each.name: Cost(each, 4, 1.0, 1.0, SMALL) for each in run.settings.select_trainings([])
        }
        return Deadline(hours * 3600, run.settings, costs, lambda: now[0])

    monkeypatch.setattr(command, "plan_run", plan_run)
    before_second(lambda: now.__setitem__(0, 1e9))


def test_a_training_that_is_slower_than_planned_is_stopped_and_what_is_complete_is_blended(
    invoke: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before_second: BeforeSecond
) -> None:
    stop_second(monkeypatch, before_second)
    answer = small_run(invoke, tmp_path, "full", "--hours", "1")
    assert answer.returncode == 0, answer.stderr
    assert (
        "time is up: stopped b in epoch 1 of 1, after step 1 of 4; its checkpoint" in answer.stdout
    )
    assert "submission.csv, PARTIAL, checked against the sample: valid" in answer.stdout
    assert "missing    b: rerun the command to go on" in answer.stdout
    run = tmp_path / "runs" / "full"
    content = read_manifest(run)["content"]
    assert (list(content["members"]), content["blend"]["partial"]) == (["a"], ["b"])
    assert len(checkpoints_in(run / "members" / "b" / "checkpoint")) == 1
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "PARTIAL, without b" in page


@pytest.mark.slow  # a training, and a report
def test_where_no_member_is_complete_in_time_its_folds_are_handed_in(
    invoke: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before_second: BeforeSecond
) -> None:
    stop_second(monkeypatch, before_second)
    folds = ("--set", "members.a.validation.folds=2")
    answer = small_run(invoke, tmp_path, "full", *folds, "--hours", "1")
    assert answer.returncode == 0, answer.stderr
    assert "time is up: stopped a fold 2/2" in answer.stdout
    assert "submission.csv, PARTIAL, checked against the sample: valid" in answer.stdout
    assert "missing    a, b: rerun the command to go on" in answer.stdout
    run = tmp_path / "runs" / "full"
    assert f"report     {run}/report.html" in answer.stdout
    content = read_manifest(run)["content"]
    assert content["blend"]["weights"] == {"a/fold-1": 2.0}
    assert content["blend"]["partial"] == ["a", "b"]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "PARTIAL, of folds alone" in page
    refused = invoke("verify", run)
    assert refused.returncode == 2
    assert "has no complete member" in refused.stderr
    assert "what is not complete cannot be verified" in refused.stderr


SMALL = Measured(
    setup=0.1, frozen=0.1, unfrozen=0.0, steps=4, image=0.0, valid=24, test=24, passes=1, weights=1
)


@pytest.fixture
def prepared(small_toml: Path, tmp_path: Path) -> Prepared:
    # Both phases, and test-time augmentation.
    changes = [QUICK[0], 'recipe.test_time.method="flips"', "recipe.epochs.unfrozen=1"]
    return prepare(read_settings(small_toml, changes=changes), tmp_path / "runs" / "full")


def test_two_steps_are_measured_and_no_bit_of_the_member_depends_on_it(
    prepared: Prepared, tmp_path: Path
) -> None:
    of_run = (prepared.settings, prepared.index, prepared.pixels, prepared.environment)

    def trained(folder: str) -> dict[str, str]:
        files: dict[str, str] = train_member("b", *of_run, tmp_path / folder)["files"]
        return files

    before = trained("before")
    found = measure("b", *of_run)
    assert (found.steps, found.valid, found.test, found.passes) == (4, 24, 24, 2)
    assert 0 < found.frozen < 5
    assert 0 < found.unfrozen < 5
    assert 0 < found.image < 1
    weights = (tmp_path / "before" / "weights.safetensors").stat().st_size
    assert weights - 100_000 < found.weights < weights
    assert found.memory > 50_000_000
    assert not prepared.folder.exists()
    assert trained("after") == before


@pytest.mark.slow  # two members trained twice, each run with its report
def test_what_did_not_fit_is_completed_later_to_the_bits_of_a_run_without_hours(
    invoke: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = {"a": 1e6, "b": 1.0}

    def too_slow(training: Any, *arguments: Any) -> Cost:
        return replace(cost_of(training, *arguments), seconds=costs[training.name])

    with monkeypatch.context() as patch:
        patch.setattr("twinrun.deadline.plan.cost_of", too_slow)
        first = small_run(invoke, tmp_path, "full", "--hours", "0.05")
    assert first.returncode == 0, first.stderr
    # The heavier member does not fit; the other one does, and none waits for the end of the time.
    assert [(row[0], row[-1]) for row in rows(first.stdout)][:2] == [("a", "no"), ("b", "yes")]
    assert "missing    a: rerun the command to go on" in first.stdout
    run = tmp_path / "runs" / "full"
    assert not (run / "members" / "a").exists()
    assert read_manifest(run)["content"]["blend"]["weights"] == {"b": 1.0}

    done = small_run(invoke, tmp_path, "full", "--hours", "1")
    assert done.returncode == 0, done.stderr
    assert [(row[0], row[-1]) for row in rows(done.stdout)][:2] == [
        ("a", "yes"),
        ("b", "complete"),
    ]
    assert "PARTIAL" not in done.stdout
    again = small_run(invoke, tmp_path, "full", "--hours", "0.0001")
    assert again.returncode == 0, again.stderr
    assert "What fits" not in again.stdout
    assert small_run(invoke, tmp_path, "unbroken").returncode == 0
    one, two = (read_manifest(tmp_path / "runs" / name) for name in ("full", "unbroken"))
    assert one["content"] == two["content"]


@pytest.mark.slow  # a process that trains until its time is over, and one that goes on
def test_a_process_ends_within_its_time_and_another_one_completes_it(
    twinrun: Command, small_toml: Path, tmp_path: Path
) -> None:
    """The clock on the wall, a training that is much too long, and one that fits."""
    changes = [f"--set={QUICK[0]}", "--set=recipe.epochs.unfrozen=0"]
    long = "--set=members.a.epochs.frozen=100000"
    started = time.monotonic()
    words = ("run", "--config", small_toml, *changes, long, "--hours", "0.015")
    answer = twinrun(*words)
    assert time.monotonic() - started < 0.015 * 3600 + 5
    assert answer.returncode == 0, answer.stderr
    assert "PARTIAL" in answer.stdout
    assert "missing    a" in answer.stdout
    assert max(map(len, answer.stdout.splitlines())) <= 240
