"""`twinrun run --hours`: what it says, what it leaves, and how the same command completes it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FIXTURE, BeforeSecond, Command
from tests.run_folder.documents import edited
from tests.test_partial import QUICK, small_run
from twinrun.cli import run as command
from twinrun.config.reading import read_settings
from twinrun.data.cache import cache_pixels
from twinrun.data.cache_files import read_table
from twinrun.data.image_decoder import ImageDecoder
from twinrun.data.index import build_index
from twinrun.deadline import deadline
from twinrun.deadline.deadline import Deadline, end_of_preparing
from twinrun.deadline.measure import measure
from twinrun.deadline.plan import Cost, Measured, cost_of
from twinrun.errors import OutOfTime
from twinrun.hooks.loading import load
from twinrun.prepare import Prepared, prepare
from twinrun.run_folder.manifest import read_manifest
from twinrun.run_folder.paths import checkpoints_in
from twinrun.train.fit import fit
from twinrun.train.members import train_member
from twinrun.train.predict import predict
from twinrun.train.signals import TimeLimit, in_time


def rows(stdout: str) -> list[list[str]]:
    """The cells of the plan's rows, member first."""
    return [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in stdout.partition("What fits")[2].splitlines()
        if line.startswith("│")
    ]


def test_a_time_in_which_nothing_fits_is_refused_before_any_training_with_one_that_would_help(
    invoke: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline, "_LEAST", 3600.0)  # on a busy machine a minute is over
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


@pytest.mark.slow
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


def test_a_stop_or_the_end_of_the_time_before_any_training_leaves_what_is_complete(
    invoke: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before_second: BeforeSecond
) -> None:
    stop_second(monkeypatch, before_second)
    assert small_run(invoke, tmp_path, "full", "--hours", "1").returncode == 0
    run, kept = tmp_path / "runs" / "full", tmp_path / "kept"
    recorded, submission = read_manifest(run)["content"], (run / "submission.csv").read_bytes()
    # As a kill left it after the first member.
    for name in ("submission.csv", "blend.json"):
        (run / name).unlink()
    for name, value in (("members", {}), ("submission", None), ("blend", None)):
        edited(run / "manifest.json", "content", name, value=value)
    run.rename(kept)

    def late(place: str, error: type[BaseException], *options: str) -> Any:
        def over(*_: Any, **__: Any) -> None:
            raise error("") if error is KeyboardInterrupt else error("time is over")

        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(kept, run)
        with monkeypatch.context() as patch:
            patch.setattr(place, over)
            return small_run(invoke, tmp_path, "full", "--hours", "1", *options)

    # While data is looked at and decoded, and while steps are measured.
    for place in ("twinrun.prepare.prepare", "twinrun.cli.run.plan_run"):
        stopped = late(place, KeyboardInterrupt)
        assert stopped.returncode == 2
        assert "error: stopped before the end; a submission of 1 member is left, without b" in (
            stopped.stderr
        )
        assert read_manifest(run)["content"] == recorded
        assert (run / "submission.csv").read_bytes() == submission

        over = late(place, OutOfTime)
        assert over.returncode == 0, over.stderr
        assert "time is up: time is over\n" in over.stdout
        assert "submission.csv, PARTIAL, checked against the sample: valid" in over.stdout
        assert "missing    b: rerun the command to go on" in over.stdout
        assert read_manifest(run)["content"] == recorded

        # Of what the members are not of, none is left; nor where nothing is complete.
        other = late(place, KeyboardInterrupt, "--set", "run.seed=9")
        assert other.returncode == 2
        assert "no submission of what is complete" in other.stderr
        assert not (run / "submission.csv").exists()
    shutil.rmtree(kept / "members")
    nothing = late("twinrun.prepare.prepare", OutOfTime)
    assert nothing.returncode == 1
    assert "nothing is complete yet, so that there is no submission" in nothing.stderr


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


def test_images_are_decoded_until_the_time_is_over_and_kept(
    small_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, decode = build_index(read_settings(small_toml)), ImageDecoder.decode
    begun = list[str]()

    def slow(*arguments: Any, **options: Any) -> Any:
        begun.append("")
        if len(begun) == 20:
            signal.raise_signal(signal.SIGALRM)  # as if the time were over
        time.sleep(0.02)
        return decode(*arguments, **options)

    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    with monkeypatch.context() as patch:
        patch.setattr(ImageDecoder, "decode", slow)
        with pytest.raises(OutOfTime, match=r"^no more: ") as over, in_time(3600, "no more"):
            cache_pixels(index, FIXTURE, [32], tmp_path / "cache")
    words = r"no more: (\d+) of 119 images are decoded to 32 px and kept, the others take about "
    told = re.fullmatch(rf"{words}(\d+) s", str(over.value))
    assert told, over.value
    done = int(told[1])
    assert 15 < done < 119
    # Fifty a second at most; the time of the others is reckoned by these.
    assert int(told[2]) >= (119 - done) // 50
    (place,) = (tmp_path / "cache").iterdir()
    assert len(read_table(place)) >= done
    pixels = cache_pixels(index, FIXTURE, [32], tmp_path / "cache")[32]
    assert len(pixels.table) == 119


def test_the_end_of_the_time_reaches_what_decodes_and_a_minute_is_left_for_it() -> None:
    assert end_of_preparing(100.0, 8.5) == 100.0 + 8.5 * 3600 - 10
    assert end_of_preparing(100.0, 0.001) == 160.0


def test_predictions_that_take_too_long_end_at_the_last_checkpoint_and_come_out_the_same(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_run = (prepared.settings, prepared.index, prepared.pixels, prepared.environment)
    now, true = [0.0], predict

    def slow(*arguments: Any) -> Any:
        table = true(*arguments)
        time.sleep(5)
        return table

    def fitted(*arguments: Any, **options: Any) -> Any:
        scores = fit(*arguments, **options)
        now[0] = 99.5
        return scores

    with monkeypatch.context() as patch:
        patch.setattr("twinrun.train.members.predict", slow)
        patch.setattr("twinrun.train.members.fit", fitted)
        with pytest.raises(OutOfTime, match=r"^stopped b in its predictions; its checkpoint is"):
            train_member(
                "b", *of_run, tmp_path / "late", limit=TimeLimit(100.0, 1.0, lambda: now[0])
            )
    folder = tmp_path / "late"
    assert not (folder / "member.json").exists()
    assert checkpoints_in(folder / "checkpoint")
    files = train_member("b", *of_run, folder)["files"]
    assert files == train_member("b", *of_run, tmp_path / "unbroken")["files"]


HOOKS = """
from fastai.callback.core import Callback
from torch import nn

CALLS = []


class Counting(Callback):
    def after_batch(self):
        CALLS.append("step")


def callbacks(member):
    CALLS.append("made")
    return [Counting()]
"""


def test_nothing_that_a_competitors_code_keeps_is_left_of_the_measurement(
    small_toml: Path, tmp_path: Path
) -> None:
    (small_toml.parent / "hooks.py").write_text(HOOKS)
    settings = read_settings(small_toml, changes=QUICK)
    run = prepare(settings, tmp_path / "runs" / "full")
    calls = load(settings.code).CALLS
    measure("b", settings, run.index, run.pixels, run.environment)
    assert calls.count("step") == 2, "it is measured with the code"
    assert load(settings.code).CALLS == []


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
