"""One process at a time in a member's folder, and nothing that a killed one leaves in the way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import filelock
import pytest
from packaging.version import Version

from twinrun.errors import InputError
from twinrun.files import whole_file
from twinrun.locks import (
    LOCK,
    lock_next_training,
    lock_record,
    lock_trainings,
    wait_for_lock,
)

HOLD = """
import sys, time
from pathlib import Path
from twinrun.locks import lock_trainings

with lock_trainings([Path(name) for name in sys.argv[1:]]):
    try:
        print("held", flush=True)
        time.sleep(600)
    except KeyboardInterrupt:
        print("interrupted")
"""

Holder = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def holder() -> Iterator[Holder]:
    """Start a process that holds these folders until it is ended."""
    started = []

    def start(*folders: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, *map(str, folders)], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def mark(folder: Path) -> tuple[str, str]:
    """This host's name and when this process started, as lock files have them."""
    with lock_trainings([folder]):
        _, host, started = (folder / LOCK).read_text().splitlines()
    return host, started


def left_behind(folder: Path, *lines: object) -> Path:
    """Write a lock file into a new folder."""
    folder.mkdir()
    (folder / LOCK).write_text("".join(f"{line}\n" for line in lines))
    return folder


def assert_free(*folders: Path) -> None:
    with lock_trainings(folders):
        pass
    assert not [file for folder in folders for file in folder.glob(f"{LOCK}*")]


def test_a_second_process_is_refused_with_the_first_ones_id(holder: Holder, tmp_path: Path) -> None:
    folder = tmp_path / "members" / "M27g"
    process = holder(folder)
    begin = time.monotonic()
    with pytest.raises(InputError) as refused, lock_trainings([folder]):
        pytest.fail("held twice")
    assert time.monotonic() - begin < 5
    assert refused.value.what.startswith(f"{folder} is being trained by process {process.pid} on ")
    assert "pidns" not in refused.value.what
    assert "--run" in refused.value.fix
    assert str(folder / LOCK) in refused.value.fix
    # The refusal took nothing from the first.
    assert (folder / LOCK).read_text().startswith(f"{process.pid}\n")


def test_the_same_process_cannot_hold_a_folder_twice(tmp_path: Path) -> None:
    with lock_trainings([tmp_path]):
        with pytest.raises(InputError, match=f"process {os.getpid()} "), lock_trainings([tmp_path]):
            pytest.fail("held twice")
        with pytest.raises(InputError, match=f"process {os.getpid()} "), lock_trainings([tmp_path]):
            pytest.fail("a refusal has let the folder go")
    assert_free(tmp_path)


def test_a_folder_that_is_named_twice_is_held_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with lock_trainings([Path("a"), tmp_path / "a", Path("b/../a"), Path("a")]):
        assert (tmp_path / "a" / LOCK).is_file()
    assert_free(tmp_path / "a")


def test_a_lock_is_gone_after_the_block(tmp_path: Path) -> None:
    with lock_trainings([tmp_path / "a", tmp_path / "b"]):
        assert (tmp_path / "a" / LOCK).is_file()
        assert (tmp_path / "b" / LOCK).is_file()
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "a", tmp_path / "b"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_a_lock_is_gone_after_an_error(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), lock_trainings([tmp_path]):
        raise error
    assert_free(tmp_path)


def test_a_lock_is_gone_after_ctrl_c(holder: Holder, tmp_path: Path) -> None:
    process = holder(tmp_path)
    process.send_signal(signal.SIGINT)
    assert process.stdout
    assert process.stdout.read() == "interrupted\n"
    process.wait()
    assert not (tmp_path / LOCK).exists()


def test_the_lock_of_a_killed_process_is_recognised_at_once(holder: Holder, tmp_path: Path) -> None:
    for _ in range(3):
        process = holder(tmp_path)
        process.kill()
        process.wait()
        assert (tmp_path / LOCK).is_file()
        begin = time.monotonic()
        assert_free(tmp_path)
        assert time.monotonic() - begin < 5


def test_a_process_id_that_is_used_again_does_not_keep_a_lock(tmp_path: Path) -> None:
    host, started = mark(tmp_path)
    # This process started at another time than the one that left the lock.
    assert_free(left_behind(tmp_path / "a", os.getpid(), host, int(started) - 1))
    # The control: one that it could have left itself.
    control = left_behind(tmp_path / "b", os.getpid(), host, started)
    with pytest.raises(InputError, match=f"process {os.getpid()} "), lock_trainings([control]):
        pytest.fail("the control is held")


def test_a_lock_of_another_host_stays_and_its_file_is_named(tmp_path: Path) -> None:
    folder = left_behind(tmp_path / "M27g", 4711, "elsewhere", 12)
    with pytest.raises(InputError) as refused, lock_trainings([folder]):
        pytest.fail("taken from another host")
    assert refused.value.what == f"{folder} is being trained by process 4711 on elsewhere"
    assert f"remove {folder / LOCK}." in refused.value.fix


def test_a_lock_of_another_container_names_the_host_only(tmp_path: Path) -> None:
    folder = left_behind(tmp_path / "M27g", 4711, "elsewhere?pidns-f000001b", 12)
    with (
        pytest.raises(InputError, match="by process 4711 on elsewhere\n"),
        lock_trainings([folder]),
    ):
        pytest.fail("taken from another container")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(
            b"4711\nho",
            marks=pytest.mark.skipif(
                Version(filelock.__version__) < Version("4.1"),
                reason="filelock before 4.1 takes a host's first letters for a different host",
            ),
        ),
        b"4711\n",
        b"\xff\x00",
    ],
)
def test_a_damaged_lock_is_taken_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LOCK).write_bytes(content)
    assert_free(tmp_path)


def test_a_lock_that_has_long_been_empty_is_taken_over(tmp_path: Path) -> None:
    # Killed between creating the file and writing it, or the machine lost its power.
    (tmp_path / LOCK).touch()
    os.utime(tmp_path / LOCK, (time.time() - 60, time.time() - 60))
    assert_free(tmp_path)


def test_a_lock_that_is_being_written_is_not_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twinrun.locks._PATIENCE", 0.5)
    (tmp_path / LOCK).touch()
    with (
        pytest.raises(InputError, match="does not say by which process") as refused,
        lock_trainings([tmp_path]),
    ):
        pytest.fail("taken from somebody who is about to write")
    assert str(tmp_path / LOCK) in str(refused.value)
    assert (tmp_path / LOCK).read_bytes() == b""


def test_all_or_none(holder: Holder, tmp_path: Path) -> None:
    names = [tmp_path / name for name in "abc"]
    holder(names[1])
    with pytest.raises(InputError, match="b is being trained"), lock_trainings(names):
        pytest.fail("one of them is held")
    assert_free(names[0], names[2])


def test_nothing_is_removed_before_all_are_held(holder: Holder, tmp_path: Path) -> None:
    unfinished = tmp_path / "a" / ".weights.safetensors.4711.part"
    unfinished.parent.mkdir()
    unfinished.touch()
    holder(tmp_path / "b")
    with pytest.raises(InputError), lock_trainings([tmp_path / "a", tmp_path / "b"]):
        pytest.fail("one of them is held")
    assert unfinished.exists()


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    kept = [tmp_path / "history.csv", tmp_path / "checkpoint" / "a.bin", tmp_path / "x.part"]
    unfinished = []
    for file in kept:
        with whole_file(file) as temporary:
            temporary.write_text("whole")
            unfinished.append(temporary)
    for temporary in unfinished:
        temporary.write_text("ha")
    with lock_trainings([tmp_path]):
        assert not [temporary for temporary in unfinished if temporary.exists()]
        assert all(file.read_text() == "whole" for file in kept)


def test_what_another_process_writes_in_a_fold_stays(holder: Holder, tmp_path: Path) -> None:
    member = tmp_path / "M27g"
    holder(member / "fold-1")
    files = [
        member / "fold-1" / ".history.csv.4711.part",
        member / "fold-1" / "checkpoint" / ".epoch-0001.safetensors.4711.part",
    ]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    own = member / ".valid.csv.4712.part"
    own.touch()
    with lock_trainings([member / "fold-2"]), lock_record(member):
        assert all(file.exists() for file in files)
        assert not own.exists()
    with lock_trainings([member]):
        assert all(file.exists() for file in files)


def test_what_a_killed_writer_left_in_a_fold_goes_with_its_next_holder(
    holder: Holder, tmp_path: Path
) -> None:
    fold = tmp_path / "M27g" / "fold-1"
    process = holder(fold)
    unfinished = fold / "checkpoint" / ".epoch-0001.safetensors.4711.part"
    unfinished.parent.mkdir()
    unfinished.touch()
    process.kill()
    process.wait()
    with lock_trainings([fold]):
        assert not unfinished.exists()


def test_a_worker_that_ends_does_not_let_go(tmp_path: Path) -> None:
    script = """
import multiprocessing, sys
from pathlib import Path
from twinrun.locks import lock_trainings

with lock_trainings([Path(sys.argv[1])]):
    worker = multiprocessing.get_context("fork").Process(target=list)
    worker.start()
    worker.join()
    print(worker.exitcode, (Path(sys.argv[1]) / ".lock").is_file())
"""
    told = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True
    )
    assert told.stdout == "0 True\n"


def test_of_many_that_find_a_lock_left_behind_one_gets_it(holder: Holder, tmp_path: Path) -> None:
    process = holder(tmp_path / "a", tmp_path / "b")
    process.kill()
    process.wait()
    many = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, tmp_path / "b", tmp_path / "a"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(4)
    ]
    for process in many:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=3)
    running = [process for process in many if process.poll() is None]
    assert len(running) == 1
    assert (tmp_path / "a" / LOCK).read_text().startswith(f"{running[0].pid}\n")
    running[0].kill()
    assert sorted(process.communicate()[0] for process in many) == ["", "", "", "held\n"]


@pytest.mark.parametrize("place", ["file", "file/below", "folder"])
def test_a_place_that_cannot_be_written_is_said(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder" / LOCK).mkdir(parents=True)
    with (
        pytest.raises(InputError, match=r"cannot lock .*(?s:.)*--out"),
        lock_trainings([tmp_path / place]),
    ):
        pytest.fail("held")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_read_only_folder_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(InputError, match="Permission denied"), lock_trainings([tmp_path]):
        pytest.fail("held")
    tmp_path.chmod(0o755)


def test_the_user_sees_nothing_of_it(tmp_path: Path) -> None:
    left_behind(tmp_path / "a", "wheat")
    script = HOLD.replace("time.sleep(600)", "pass")
    told = subprocess.run(
        [sys.executable, "-W", "always", "-c", script, tmp_path / "a"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (told.stdout, told.stderr) == ("held\n", "")


def test_a_turn_in_a_folder_that_cannot_be_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot lock"), lock_record(tmp_path / "file"):
        pytest.fail("the block must not run")


def test_turns_wait_for_each_other_and_leave_nothing(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with lock_record(tmp_path):
            order.append("second")

    thread = threading.Thread(target=second)
    with lock_record(tmp_path):
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join(timeout=30)
    assert order == ["first", "second"]
    assert not (tmp_path / LOCK).exists()


Waiter = Callable[[Callable[[], AbstractContextManager[object]]], threading.Thread]


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Waiter]:
    """Enter a lock in a thread of its own, after which it must be over within ten seconds."""
    monkeypatch.setattr("twinrun.locks._SILENCE", 0.2)
    threads = []

    def start(lock: Callable[[], AbstractContextManager[object]]) -> threading.Thread:
        def wait() -> None:
            with lock():
                pass

        thread = threading.Thread(target=wait, daemon=True)
        threads.append(thread)
        thread.start()
        return thread

    yield start
    for thread in threads:
        thread.join(timeout=10)
        assert not thread.is_alive()


def told_by(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What has been printed as soon as all of these words are."""
    printed, end = "", time.monotonic() + 10
    while not all(word in printed for word in words):
        assert time.monotonic() < end, printed
        printed += capsys.readouterr().out
        time.sleep(0.02)
    return printed


@pytest.mark.parametrize(
    "lock",
    [lambda folder: wait_for_lock(folder, "being added to"), lock_record],
    ids=["cache", "record"],
)
def test_who_waits_says_for_whom_and_how_to_go_on_without(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    waiting: Waiter,
    lock: Callable[[Path], AbstractContextManager[None]],
) -> None:
    folder = left_behind(tmp_path / "cache", 4711, "elsewhere?pidns-f000001b", 12)
    thread = waiting(lambda: lock(folder))
    told = told_by(capsys, "waiting")
    assert re.search(f"for {folder}, being .* by process 4711 on elsewhere. If that is gone", told)
    assert f"remove {folder / LOCK}" in told
    time.sleep(0.2)
    assert thread.is_alive()
    assert capsys.readouterr().out == ""  # once
    (folder / LOCK).unlink()


def test_who_need_not_wait_long_says_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], waiting: Waiter
) -> None:
    folder = left_behind(tmp_path / "cache", 4711, "elsewhere", 12)
    thread = waiting(lambda: lock_record(folder))
    (folder / LOCK).unlink()
    thread.join(timeout=10)
    assert capsys.readouterr().out == ""


def test_a_lock_that_a_kill_leaves_empty_is_waited_for_aloud_and_taken_over(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    waiting: Waiter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("twinrun.locks._ABANDONED", 0.5)
    # It was killed a moment ago: not yet to be told from one that is about to write its name.
    (tmp_path / LOCK).touch()
    waiting(lambda: wait_for_lock(tmp_path, "being added to"))
    told = told_by(capsys, "waiting")
    assert "being added to by a process that does not say who it is" in told


def test_the_holder_may_be_killed_while_others_wait(
    holder: Holder, tmp_path: Path, capsys: pytest.CaptureFixture[str], waiting: Waiter
) -> None:
    process = holder(tmp_path)
    waiting(lambda: lock_next_training([tmp_path]))
    told_by(capsys, f"being trained by process {process.pid} on ")
    process.kill()
    process.wait()


def test_the_next_free_training_is_taken(holder: Holder, tmp_path: Path) -> None:
    folders = [tmp_path / f"fold-{number}" for number in (1, 2, 3)]
    holder(folders[0])
    unfinished = folders[1] / ".weights.safetensors.4711.part"
    unfinished.parent.mkdir()
    unfinished.touch()
    with lock_next_training(folders) as first:
        assert first == folders[1]
        assert not unfinished.exists()
        assert not folders[2].exists()
        with lock_next_training(folders[1:]) as second:
            assert second == folders[2]
    assert_free(*folders[1:])


def test_whichever_training_is_free_first_is_taken(
    holder: Holder, tmp_path: Path, capsys: pytest.CaptureFixture[str], waiting: Waiter
) -> None:
    folders = [tmp_path / "fold-1", tmp_path / "fold-2"]
    processes = [holder(folder) for folder in folders]
    taken: list[Path] = []

    @contextmanager
    def take() -> Iterator[None]:
        with lock_next_training(folders) as folder:
            taken.append(folder)
            yield

    thread = waiting(take)
    told_by(capsys, *(f"{folder}, being trained by" for folder in folders))
    processes[1].send_signal(signal.SIGINT)
    thread.join(timeout=10)
    assert taken == [folders[1]]


def test_a_process_does_not_wait_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twinrun.locks._OWN", 0.2)
    with lock_record(tmp_path):
        for lock in (lock_record(tmp_path), lock_next_training([tmp_path])):
            with pytest.raises(InputError, match=f"by process {os.getpid()} on"), lock:
                pytest.fail("held twice")
    assert_free(tmp_path)


def test_the_lock_of_a_fold_is_named_as_that_of_the_fold(tmp_path: Path) -> None:
    (tmp_path / "M27g").mkdir()
    fold = left_behind(tmp_path / "M27g" / "fold-1", 4711, "elsewhere", 12)
    with (
        pytest.raises(InputError) as refused,
        lock_trainings([tmp_path / "M27g" / "fold-2", tmp_path / "M27g" / "fold-1"]),
    ):
        pytest.fail("taken from another host")
    assert refused.value.what == f"{fold} is being trained by process 4711 on elsewhere"
    assert f"remove {fold / LOCK}." in refused.value.fix
    assert_free(tmp_path / "M27g" / "fold-2")
