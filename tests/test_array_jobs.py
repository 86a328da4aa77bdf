"""Trainings of one run in processes that share nothing but a folder, as an array job has them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.conftest import FIXTURE, ROOT, SMALL
from tests.kills.sameness import differing_runs, left_over, manifest
from tests.kills.test_folds import differing_folds
from tests.run_folder.documents import read_plain
from twinrun import prepare, submit, train_run, work
from twinrun.blend import held_out, out_of_fold
from twinrun.cli.app import app
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.config.trainings import Training
from twinrun.errors import InputError
from twinrun.files import whole_file
from twinrun.locks import LOCK
from twinrun.run_folder import documents

# The serial run is shared by the tests of this file.
pytestmark = pytest.mark.xdist_group("array jobs")

CHANGES = ("members.a.validation.folds=2", "recipe.epochs.unfrozen=0")


# Options of commands for three folds that take a while.
MORE = ("--set", "members.a.validation.folds=3", "--set", "recipe.epochs.frozen=3")
HOLD = """
import sys, time
from pathlib import Path
from twinrun.locks import lock_trainings

with lock_trainings([Path(sys.argv[1])]):
    print("held", flush=True)
    time.sleep(600)
"""


def settings_in(folder: Path) -> Settings:
    toml = folder / "small.toml"
    toml.write_text(SMALL.format(folder=FIXTURE.as_posix()), encoding="utf-8")
    return read_settings(toml, changes=CHANGES)


def command(folder: Path, name: str, *arguments: str) -> subprocess.Popen[str]:
    changes = [part for change in CHANGES for part in ("--set", change)]
    return subprocess.Popen(
        [sys.executable, "-m", "twinrun", name, "--config", "small.toml", *changes, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> str:
    """What it printed; it must have ended well."""
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return output


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> prepare.Prepared:
    """A run that one process has trained, one training after the other."""
    folder = tmp_path_factory.mktemp("serial")
    prepared = prepare.prepare(settings_in(folder), folder / "runs" / "full")
    train_run.train(prepared, [], time.perf_counter())
    return prepared


@pytest.fixture
def run(serial: prepare.Prepared, tmp_path: Path) -> prepare.Prepared:
    """A copy of it in which both folds of member a are complete, and nobody put them together."""
    folder = tmp_path / "full"
    shutil.copytree(serial.folder, folder)
    for file in ("valid.csv", "test.csv", "member.json"):
        (folder / "members" / "a" / file).unlink()
    return of(serial, folder)


def of(prepared: prepare.Prepared, folder: Path) -> prepare.Prepared:
    fields = {name: getattr(prepared, name) for name in prepare.Prepared.__dataclass_fields__}
    return prepare.Prepared(**{**fields, "folder": folder})


def record(run: prepare.Prepared, name: str) -> dict[str, Any]:
    return read_plain(run.member_folder(name) / "member.json")


def begun(run: prepare.Prepared, *names: str) -> work.Work:
    """As a process has it that has just come to the end of these trainings."""
    return work.Work(run, run.settings.select_trainings(names), {})


def members_of_manifest(run: prepare.Prepared) -> list[str]:
    content = json.loads((run.folder / "manifest.json").read_bytes())["content"]
    return list(content["members"])


@pytest.mark.cluster
def test_processes_beside_each_other_train_a_run_as_one_does(
    serial: prepare.Prepared, tmp_path: Path
) -> None:
    settings_in(tmp_path)
    names = ("a/fold-1", "a/fold-2", "b")
    processes = [command(tmp_path, "train", name) for name in names]
    printed = [ended(process) for process in processes]
    assert "a fold 1/2" in printed[0]
    assert "a fold 2/2" in printed[1]
    assert "a fold 2/2" not in printed[0]
    # Whoever ended last has put the member together; both, if they ended at the same moment.
    assert any("out of fold" in text for text in printed)
    shared = tmp_path / "runs" / "full"
    assert differing_folds(serial.folder, shared) == []
    assert differing_runs(serial.folder, shared, ["b"]) == []
    assert left_over(shared) == []
    assert manifest(serial.folder, ["a", "b"]) == manifest(shared, ["a", "b"])

    before = {path: path.stat().st_mtime_ns for path in (shared / "members").rglob("*.*")}
    blended = ended(command(tmp_path, "run"))
    assert blended.count("is complete already") == 2
    assert "checked against the sample: valid" in blended
    assert {path: path.stat().st_mtime_ns for path in (shared / "members").rglob("*.*")} == before


@pytest.mark.slow
def test_a_fold_with_another_seed_is_seen_to_differ(
    serial: prepare.Prepared, tmp_path: Path
) -> None:
    shared = tmp_path / "full"
    shutil.copytree(serial.folder, shared)
    content = (shared / "members" / "a" / "fold-2" / "test.csv").read_bytes()
    (shared / "members" / "a" / "fold-2" / "test.csv").write_bytes(content[:-2] + b"9\n")
    assert differing_folds(serial.folder, shared) == ["fold-2/test.csv"]


def test_the_one_that_ends_last_puts_the_member_together(run: prepare.Prepared) -> None:
    away = run.folder / "fold-2"
    run.member_folder("a/fold-2").rename(away)
    first, second = begun(run, "a/fold-1"), begun(run, "a/fold-2")
    first.keep(first.trainings[0], record(run, "a/fold-1"))
    assert not (run.member_folder("a") / "member.json").exists()
    assert list(first.records) == ["a/fold-1"]
    away.rename(run.member_folder("a/fold-2"))
    second.keep(second.trainings[0], record(run, "a/fold-2"))
    assert second.records["a"] == record(run, "a")


def test_two_that_end_at_the_same_moment_put_it_together_once(
    serial: prepare.Prepared, run: prepare.Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each comes to the end of its fold before either looks at the other's.
    barrier = threading.Barrier(2)
    together: list[Path] = []

    def put_together(*arguments: Any) -> dict[str, Any]:
        together.append(arguments[0])
        return out_of_fold.write_out_of_fold(*arguments)

    monkeypatch.setattr(work, "write_out_of_fold", put_together)
    finished: list[work.Work] = []

    def end(name: str) -> None:
        own = begun(run, name)
        barrier.wait(timeout=30)
        own.keep(own.trainings[0], record(run, name))
        finished.append(own)

    threads = [threading.Thread(target=end, args=(f"a/fold-{fold}",)) for fold in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert [each.records["a"] for each in finished] == [record(run, "a")] * 2
    assert together == [run.member_folder("a")]
    assert differing_folds(serial.folder, run.folder) == []


def test_joining_a_member_leaves_what_another_process_writes_in_its_fold(
    run: prepare.Prepared,
) -> None:
    own = begun(run, "a/fold-2")
    with whole_file(run.member_folder("a/fold-1") / "checkpoint" / "state") as temporary:
        temporary.write_text("half")
        own.keep(own.trainings[0], record(run, "a/fold-2"))
        temporary.write_text("whole")
    assert (run.member_folder("a/fold-1") / "checkpoint" / "state").read_text() == "whole"


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_the_manifest_holds_all_members_whatever_the_order_in_which_processes_end(
    serial: prepare.Prepared, tmp_path: Path, order: Sequence[str]
) -> None:
    run = of(serial, tmp_path / "full")
    for name in order:
        # The other one's process began before this one's member was there.
        shutil.copytree(serial.member_folder(name), run.member_folder(name))
        prepare.keep_record(run, time.perf_counter())
    assert members_of_manifest(run) == ["a", "b"]
    assert manifest(run.folder, ["a", "b"]) == manifest(serial.folder, ["a", "b"])


def test_the_manifest_of_processes_that_end_at_the_same_moment_holds_all_members(
    serial: prepare.Prepared, tmp_path: Path
) -> None:
    run, barrier = of(serial, tmp_path / "full"), threading.Barrier(2)

    def end(name: str) -> None:
        shutil.copytree(serial.member_folder(name), run.member_folder(name))
        barrier.wait(timeout=30)
        prepare.keep_record(run, time.perf_counter())

    threads = [threading.Thread(target=end, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert members_of_manifest(run) == ["a", "b"]


def test_the_record_of_a_run_is_written_by_one_process_at_a_time(
    serial: prepare.Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A turn removes unfinished files of the run's folder: none of a living process may be there.
    run = of(serial, tmp_path / "full")
    for name in ("a", "b"):
        shutil.copytree(serial.member_folder(name), run.member_folder(name))
    unlocked: list[str] = []

    def watched(path: Path, content: Any) -> None:
        if path.parent == run.folder and not (run.folder / ".lock").exists():
            unlocked.append(path.name)

    monkeypatch.setattr(documents, "write_json", watched)
    train_run.train(run, [], time.perf_counter())
    assert unlocked == []


def test_a_run_reads_the_held_out_predictions_of_each_training_once(
    serial: prepare.Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_in(tmp_path)
    shutil.copytree(serial.folder.parent, tmp_path / "runs")
    read: list[str] = []

    def watched(folder: Path, classes: Sequence[str]) -> pd.DataFrame:
        read.append(folder.relative_to(tmp_path / "runs" / "full" / "members").as_posix())
        return original(folder, classes)

    original = held_out.read_held_out
    for module in (held_out, submit):
        monkeypatch.setattr(module, "read_held_out", watched)
    changes = [part for change in CHANGES for part in ("--set", change)]
    options = ("--config", str(tmp_path / "small.toml"), "--out", str(tmp_path / "runs"))
    answer = CliRunner().invoke(app, ["run", *options, *changes])
    assert answer.exit_code == 0, answer.output
    assert sorted(read) == ["a", "a/fold-1", "a/fold-2", "b"]
    assert (tmp_path / "runs" / "full" / "report.html").is_file()


def test_a_training_returns_members_and_not_their_folds(run: prepare.Prepared) -> None:
    assert list(train_run.train(run, ["a"], time.perf_counter())) == ["a"]
    assert list(train_run.train(run, ["b", "a"], time.perf_counter())) == ["a", "b"]
    assert list(train_run.train(run, ["a/fold-1"], time.perf_counter())) == ["a"]


def test_names_that_are_repeated_are_trained_once_and_in_the_settings_order(
    tmp_path: Path,
) -> None:
    settings = settings_in(tmp_path)

    def asked(*names: str) -> list[str]:
        return [each.name for each in settings.select_trainings(names)]

    assert asked() == ["a/fold-1", "a/fold-2", "b"]
    assert asked("a/fold-2", "a/fold-2") == ["a/fold-2"]
    assert asked("b", "a/fold-2", "a") == ["a/fold-1", "a/fold-2", "b"]


@pytest.mark.parametrize(
    ("names", "what", "fix"),
    [
        (["a/fold-3"], ["'a/fold-3'"], "a is trained as a/fold-1 to a/fold-2"),
        (["a/fold-01"], ["'a/fold-01'"], "a is trained as a/fold-1 to a/fold-2"),
        (["a/"], ["'a/'"], "a is trained as a/fold-1 to a/fold-2"),
        (["b/fold-1"], ["'b/fold-1'"], "b is trained as b, without folds"),
        (
            ["a", "b/fold-1", "a/fold-9"],
            ["'b/fold-1'", "'a/fold-9'"],
            "b is trained as b, without folds",
        ),
        (["c/fold-1", "b"], ["no member 'c'"], "Known members: a, b"),
    ],
)
def test_trainings_that_are_not_there_are_named_with_those_that_are(
    tmp_path: Path, names: list[str], what: list[str], fix: str
) -> None:
    with pytest.raises(InputError) as refused:
        settings_in(tmp_path).select_trainings(names)
    assert all(text in refused.value.what for text in what)
    assert fix in refused.value.fix


def hold(folder: Path) -> subprocess.Popen[bytes]:
    """A process that holds the folder of a training until it is ended."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"held\n"
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()


def again(run: prepare.Prepared, serial: prepare.Prepared, name: str) -> dict[str, Any]:
    """Train one in no time: it has been before."""
    shutil.copytree(serial.member_folder(name), run.member_folder(name), dirs_exist_ok=True)
    return record(run, name)


@pytest.fixture
def untrained(serial: prepare.Prepared, run: prepare.Prepared) -> prepare.Prepared:
    """The run with nothing left of member a."""
    shutil.rmtree(run.member_folder("a"))
    return run


@pytest.mark.parametrize("completed", [True, False])
def test_the_next_free_fold_is_trained_and_what_others_leave_is_waited_for(
    serial: prepare.Prepared,
    untrained: prepare.Prepared,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    completed: bool,
) -> None:
    monkeypatch.setattr("twinrun.locks._SILENCE", 0.1)
    first = hold(untrained.member_folder("a/fold-1"))
    trained: list[str] = []

    def train(training: Training) -> dict[str, Any]:
        trained.append(training.name)
        assert (untrained.member_folder(training.name) / LOCK).is_file()
        return again(untrained, serial, training.name)

    def leave() -> None:
        if completed:
            again(untrained, serial, "a/fold-1")
        end(first)

    timer = threading.Timer(1.0, leave)
    timer.start()
    try:
        begun(untrained, "a").train_left(train)
    finally:
        timer.join()
        end(first)
    assert trained == (["a/fold-2"] if completed else ["a/fold-2", "a/fold-1"])
    assert differing_folds(serial.folder, untrained.folder) == []
    assert left_over(untrained.folder) == []
    printed = capsys.readouterr().out
    assert f"a/fold-1, being trained by process {first.pid} on" in " ".join(printed.split())
    assert ("a fold 1/2 (1/1) is complete already" in printed) is completed
    assert "out of fold" in printed


def test_who_would_make_something_else_of_what_others_train_is_refused_before_anything_is_written(
    serial: prepare.Prepared, untrained: prepare.Prepared
) -> None:
    changes = [*CHANGES, "run.seed=4"]
    other = replace(
        untrained,
        settings=read_settings(serial.settings.config, changes=changes),
    )
    before = {path: path.read_bytes() for path in untrained.folder.rglob("*.*")}
    holder = hold(untrained.member_folder("a/fold-1"))
    try:
        with pytest.raises(InputError, match="a/fold-1 is being trained from something else") as no:
            train_run.train(other, ["a/fold-2", "a/fold-1"], time.perf_counter())
    finally:
        end(holder)
    assert no.value.details == ("settings.seed: 0 then, 4 now",)
    lock = untrained.member_folder("a/fold-1") / LOCK
    after = {path: path.read_bytes() for path in untrained.folder.rglob("*.*") if path != lock}
    assert after == before


def test_what_a_kill_left_beside_a_complete_fold_goes(run: prepare.Prepared) -> None:
    fold = run.member_folder("a/fold-1")
    (fold / LOCK).write_text("4711\n", encoding="utf-8")
    (fold / ".weights.safetensors.4711.part").touch()
    (fold / "checkpoint").mkdir()
    train_run.train(run, ["a"], time.perf_counter())
    assert left_over(run.folder) == []


@pytest.mark.cluster
def test_three_processes_that_are_asked_for_a_member_take_a_fold_each(
    serial: prepare.Prepared, tmp_path: Path
) -> None:
    settings_in(tmp_path)
    processes = [command(tmp_path, "train", "a", *MORE) for _ in range(3)]
    printed = [ended(process) for process in processes]
    shared = tmp_path / "runs" / "full"
    alone = command(tmp_path, "train", "a", "--run", "alone", *MORE)
    ended(alone)
    assert differing_folds(tmp_path / "runs" / "alone", shared) == []
    assert left_over(shared) == []
    trained = [text.count("timm/test_resnet, valid loss") for text in printed]
    assert sum(trained) == 3
    assert max(trained) == 1 or min(trained) == 0  # unless one had come to its end before


def array_script(folder: Path) -> Path:
    """The array job's script of docs/slurm.md, for the member a of these settings."""
    text = (ROOT / "docs" / "slurm.md").read_text(encoding="utf-8")
    script = text.partition("```bash\n")[2].partition("```")[0]
    for written, here in (
        ("{M27g,M26c}/fold-{1..5}", "a/fold-{1..2}"),
        ('twinrun train "$training"', 'python -m twinrun train "$training" $OPTIONS'),
    ):
        assert written in script
        script = script.replace(written, here)
    path = folder / "train.sbatch"
    path.write_text(script, encoding="utf-8")
    return path


def task(folder: Path, number: int, *changes: str, **variables: str) -> subprocess.Popen[str]:
    """A task of the array job as Slurm starts it; its `scontrol` only says what it is told."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "scontrol").write_text('#!/bin/sh\necho "scontrol $*"\n')
    (tools / "scontrol").chmod(0o755)
    options = [part for change in (*CHANGES, *changes) for part in ("--set", change)]
    return subprocess.Popen(
        ["bash", str(array_script(folder))],
        cwd=folder,
        env={
            **os.environ,
            "PATH": os.pathsep.join(
                [str(tools), str(Path(sys.executable).parent), os.environ["PATH"]]
            ),
            "SLURM_JOB_ID": "4711",
            "SLURM_ARRAY_TASK_ID": str(number),
            "OPTIONS": " ".join(["--config", "small.toml", *options]),
            **variables,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.cluster
def test_a_task_at_its_time_limit_writes_a_checkpoint_and_is_queued_again(tmp_path: Path) -> None:
    settings_in(tmp_path)
    fold = tmp_path / "runs" / "full" / "members" / "a" / "fold-2"
    # What a node that failed has left.
    fold.mkdir(parents=True)
    (fold / ".lock").write_text("12\nelsewhere\n34\n")
    many = "recipe.epochs.frozen=500"
    process = task(tmp_path, 1, many, SLURM_RESTART_COUNT="1")
    try:
        deadline = time.monotonic() + 120
        while not (fold / "history.csv").is_file() and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, printed
    assert "stopped a fold 2/2" in printed
    assert "its checkpoint is written" in printed
    assert printed.endswith("scontrol requeue 4711\n")
    assert list((fold / "checkpoint").glob("*.safetensors"))
    assert not (fold / ".lock").exists()
    assert not (fold / "member.json").exists()


@pytest.mark.cluster
def test_a_task_beyond_the_list_fails_and_one_whose_fold_is_held_elsewhere_waits(
    tmp_path: Path,
) -> None:
    settings_in(tmp_path)
    fold = tmp_path / "runs" / "full" / "members" / "a" / "fold-1"
    fold.mkdir(parents=True)
    (fold / ".lock").write_text("12\nelsewhere\n34\n")
    held = task(tmp_path, 0)
    beyond = task(tmp_path, 2)
    printed, _ = beyond.communicate(timeout=60)
    assert beyond.returncode != 0
    assert "no training of this number" in printed
    assert held.stdout
    printed = ""
    while "waiting" not in printed:
        printed = held.stdout.readline()
        assert printed, "it has ended"
    assert "a/fold-1, being trained by process 12 on elsewhere" in printed
    assert f"remove {Path('runs/full/members/a/fold-1/.lock')}" in printed
    (fold / ".lock").unlink()
    printed, _ = held.communicate(timeout=120)
    assert held.returncode == 0, printed
    assert (fold / "member.json").is_file()
    assert "scontrol" not in printed
