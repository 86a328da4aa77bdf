"""Whole files by name, in any storage; whatever is wrong with it is said, and how to fix it."""

from __future__ import annotations

import errno
import importlib
import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cluster.conftest import EVERY, FOLDER, S3
from twinrun.cluster import backends
from twinrun.cluster.storage import Storage, fetch_files, publish_files
from twinrun.errors import InputError
from twinrun.files import write_text
from twinrun.locks import lock_record

PUBLISH = """
import sys
from pathlib import Path
from twinrun.cluster.storage import Storage

storage = Storage(sys.argv[1])
while True:
    for source in sys.argv[2:]:
        storage.publish(Path(source), "run/same.bin")
        print("published", flush=True)
"""


@pytest.fixture
def file_of(tmp_path: Path) -> Callable[..., Path]:
    """Write a file on this machine."""

    def write(content: bytes = b"some bytes", name: str = "file") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob(".*"))


def refusal_of(storage: Storage | str, at: str = "check") -> InputError:
    """What is said when a storage is made and asked."""
    with pytest.raises(InputError) as caught:
        getattr(storage if isinstance(storage, Storage) else Storage(storage), at)()
    assert caught.value.fix
    return caught.value


# What every storage does.


@EVERY
def test_a_file_comes_back_as_it_was(
    storage: Storage, file_of: Callable[..., Path], tmp_path: Path
) -> None:
    content = bytes(range(256)) * 5000
    storage.publish(file_of(content), "run/members/a/valid.csv")
    storage.fetch("run/members/a/valid.csv", tmp_path / "there" / "back")
    assert (tmp_path / "there" / "back").read_bytes() == content
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["back"]


@EVERY
def test_an_empty_file_comes_back(
    storage: Storage, file_of: Callable[..., Path], tmp_path: Path
) -> None:
    storage.publish(file_of(b""), "run/empty")
    storage.fetch("run/empty", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b""


@EVERY
def test_a_file_is_replaced_in_storage_and_on_this_machine(
    storage: Storage, file_of: Callable[..., Path], tmp_path: Path
) -> None:
    storage.publish(file_of(b"a longer content"), "a")
    storage.publish(file_of(b"new"), "a")
    back = file_of(b"something else that was here before", "back")
    storage.fetch("a", back)
    assert back.read_bytes() == b"new"


@EVERY
def test_names_are_those_below_a_folder_sorted(
    storage: Storage, file_of: Callable[..., Path]
) -> None:
    assert storage.names() == storage.names("run") == []
    for name in ("run/b", "run/a/x", "run2/c", "run/a b/ä"):
        storage.publish(file_of(), name)
    assert storage.names("run") == ["run/a b/ä", "run/a/x", "run/b"]
    assert storage.names("run/a") == ["run/a/x"]
    assert storage.names("run/b") == storage.names("ru") == []
    assert storage.names() == ["run/a b/ä", "run/a/x", "run/b", "run2/c"]


@EVERY
def test_what_others_publish_is_seen_at_once(
    storage: Storage, file_of: Callable[..., Path], tmp_path: Path
) -> None:
    other = Storage(storage.address)
    assert storage.names("run") == []
    other.publish(file_of(), "run/a")
    assert storage.names("run") == ["run/a"]
    other.remove("run/a")
    assert storage.names("run") == []
    with pytest.raises(FileNotFoundError):
        storage.fetch("run/a", tmp_path / "back")


@EVERY
def test_a_missing_file_is_told_apart(storage: Storage, tmp_path: Path) -> None:
    back = tmp_path / "back"
    back.write_text("as it was")
    with pytest.raises(FileNotFoundError, match=r"run/a .*in "):
        storage.fetch("run/a", back)
    assert back.read_text() == "as it was"
    assert hidden(tmp_path) == []


@EVERY
def test_removing_twice_is_removing(storage: Storage, file_of: Callable[..., Path]) -> None:
    storage.publish(file_of(), "run/a")
    storage.publish(file_of(), "run/b")
    storage.remove("run/a")
    storage.remove("run/a")
    storage.remove("nowhere/a")
    assert storage.names() == ["run/b"]


@EVERY
def test_a_missing_source_is_no_fault_of_the_storage(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        storage.publish(tmp_path / "nothing", "a")
    assert storage.names() == []


@EVERY
def test_a_check_leaves_nothing(storage: Storage, tmp_path: Path) -> None:
    storage.check()
    assert storage.names() == []
    if storage.local:
        assert list(storage.local.iterdir()) == []


@EVERY
def test_a_storage_that_loses_files_is_found_out(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(storage._place)
    monkeypatch.setattr(kind, "list_names", lambda *_: [])
    assert "not found again" in str(refusal_of(storage))


@EVERY
def test_a_storage_that_changes_files_is_found_out(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(storage._place)
    monkeypatch.setattr(kind, "get", lambda _, name, local: local.write_text("other"))
    assert "not found again" in str(refusal_of(storage))


@EVERY
def test_files_of_a_folder_are_published_in_order(
    storage: Storage, file_of: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    put = type(storage._place).put

    def noted(self: Any, local: Path, name: str, **how: bool) -> None:
        order.append(name)
        put(self, local, name, **how)

    monkeypatch.setattr(type(storage._place), "put", noted)
    for name in "ba":
        file_of(name.encode(), name)
    publish_files(storage, tmp_path, ["b", "a"], "run/member")
    assert order == ["run/member/b", "run/member/a"]
    fetch_files(storage, ["a", "b"], tmp_path / "back", "run/member")
    assert [(tmp_path / "back" / name).read_text() for name in "ab"] == ["a", "b"]


@EVERY
def test_a_pickled_storage_holds_its_address_only(
    storage: Storage, file_of: Callable[..., Path]
) -> None:
    storage.publish(file_of(), "a")
    sent = pickle.dumps(storage)
    assert len(sent) < 500
    assert pickle.loads(sent).names() == ["a"]


def _names_after_fork(storage: Storage, answers: Any) -> None:
    answers.put(storage.names())


@pytest.mark.parametrize("kind", [FOLDER, S3])
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_storage_can_be_used_after_a_fork(storage: Storage, file_of: Callable[..., Path]) -> None:
    storage.publish(file_of(), "a")
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    child = fork.Process(target=_names_after_fork, args=(storage, answers))
    child.start()
    assert answers.get(timeout=30) == ["a"]
    child.join()
    assert storage.names() == ["a"]


@EVERY
def test_threads_may_share_a_storage(
    storage: Storage, file_of: Callable[..., Path], tmp_path: Path
) -> None:
    def there_and_back(number: int) -> bytes:
        storage.publish(file_of(b"%d" % number, f"file{number}"), f"run/{number}")
        storage.fetch(f"run/{number}", tmp_path / f"back{number}")
        return (tmp_path / f"back{number}").read_bytes()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(there_and_back, range(12))) == [b"%d" % n for n in range(12)]


PARTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"], exclude_characters="/\\"),
    min_size=1,
    max_size=12,
).filter(lambda part: not part.startswith("."))
NAMES = st.lists(PARTS, min_size=1, max_size=3).map("/".join)


@EVERY
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=NAMES, content=st.binary(max_size=100))
def test_any_name_holds_any_content(
    storage: Storage, tmp_path: Path, name: str, content: bytes
) -> None:
    # A later name may want a file where an earlier one has a folder.
    folder = uuid.uuid4().hex
    name = f"{folder}/{name}"
    (tmp_path / "sent").write_bytes(content)
    storage.publish(tmp_path / "sent", name)
    assert storage.names(folder) == [name]
    storage.fetch(name, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    storage.remove(name)
    assert storage.names(folder) == []


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a/.lock", ".a.part", "a\\b"]
)
@pytest.mark.parametrize("kind", [FOLDER])
def test_what_is_no_name_is_refused(storage: Storage, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        storage.publish(tmp_path / "x", name)
    with pytest.raises(ValueError, match="not a name"):
        storage.fetch(name, tmp_path / "x")
    with pytest.raises(ValueError, match="not a name"):
        storage.remove(name)


# A folder.


def test_a_folder_is_known_by_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = Storage("runs")
    monkeypatch.chdir("/")
    assert storage.local == pickle.loads(pickle.dumps(storage)).local == tmp_path / "runs"
    assert Storage(f"file://{tmp_path}/runs").local == tmp_path / "runs"
    assert storage.address == str(tmp_path / "runs")
    assert Storage("s3://bucket/x").local is None


def test_a_file_that_is_the_shared_one_stays(tmp_path: Path) -> None:
    own = tmp_path / "run" / "a"
    own.parent.mkdir()
    own.write_text("content")
    before = own.stat()
    storage = Storage(str(tmp_path))
    storage.publish(own, "run/a")
    storage.fetch("run/a", own)
    assert own.read_text() == "content"
    assert own.stat().st_ino == before.st_ino


@pytest.mark.parametrize("kind", [FOLDER, S3])
def test_readers_see_whole_files_only_while_two_processes_publish(
    storage: Storage, file_of: Callable[..., Path], tmp_path: Path
) -> None:
    contents = {bytes([byte]) * (1 << 20) for byte in b"ab"}
    sources = [str(file_of(content, f"source{n}")) for n, content in enumerate(sorted(contents))]
    publishers = [
        subprocess.Popen(
            [sys.executable, "-c", PUBLISH, storage.address, *order],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for order in (sources, sources[::-1])
    ]
    seen: set[bytes] = set()
    try:
        for publisher in publishers:
            assert publisher.stdout
            assert publisher.stdout.readline() == b"published\n"
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            storage.fetch("run/same.bin", tmp_path / "back")
            seen.add((tmp_path / "back").read_bytes())
        assert [publisher.poll() for publisher in publishers] == [None, None]
    finally:
        for publisher in publishers:
            publisher.kill()
            publisher.communicate()
    assert seen <= contents
    assert storage.names() == ["run/same.bin"]


def test_what_a_killed_writer_leaves_is_hidden_and_removed(
    tmp_path: Path, file_of: Callable[..., Path]
) -> None:
    storage = Storage(str(tmp_path / "shared"))
    big = file_of(b"", "big")
    os.truncate(big, 200 << 20)
    folder = tmp_path / "shared" / "run"
    publisher = subprocess.Popen(
        [sys.executable, "-c", PUBLISH, storage.address, str(big)], stdout=subprocess.PIPE
    )
    deadline = time.monotonic() + 30
    while not list(folder.glob(".*.part")) and time.monotonic() < deadline:
        time.sleep(0.001)
    publisher.send_signal(signal.SIGKILL)
    publisher.communicate()
    assert len(hidden(folder)) == 1
    assert storage.names() == [] or storage.names() == ["run/same.bin"]

    storage.publish(file_of(b"new"), "run/same.bin")
    # It may be that of a writer who is still there.
    assert len(hidden(folder)) == 1
    left = folder / hidden(folder)[0]
    past = time.time() - 2 * backends._ABANDONED
    os.utime(left, (past, past))
    other = folder / f".another.{uuid.uuid4().hex}.part"
    other.touch()
    os.utime(other, (past, past))
    storage.publish(file_of(b"new"), "run/same.bin")
    assert hidden(folder) == [other.name]
    with lock_record(folder):
        pass
    assert hidden(folder) == []


@pytest.mark.parametrize("times", [1, backends._ATTEMPTS])
def test_a_clean_up_beside_a_writer_does_it_no_harm(
    tmp_path: Path, file_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """The driver puts a member's folds together while a node publishes another fold of it."""
    storage, folder = Storage(str(tmp_path / "shared")), tmp_path / "shared" / "run"
    cleanings: list[int] = []

    def cleaned(_: int) -> None:
        if len(cleanings) < times:
            assert hidden(folder)
            cleanings.append(1)
            with lock_record(folder):
                pass

    monkeypatch.setattr(os, "fsync", cleaned)
    if times == 1:
        storage.publish(file_of(b"content"), "run/a")
        assert (folder / "a").read_bytes() == b"content"
    else:
        with pytest.raises(InputError, match="cannot be written to"):
            storage.publish(file_of(b"content"), "run/a")
    assert hidden(folder) == []


def test_a_path_that_is_a_file_is_refused(tmp_path: Path, file_of: Callable[..., Path]) -> None:
    storage = Storage(str(file_of()))
    for at in ("check", "names"):
        error = refusal_of(storage, at)
        assert str(storage.local) in error.what
        assert "a file" in error.fix
    with pytest.raises(InputError, match="cannot be read"):
        storage.fetch("a", tmp_path / "back")


def test_a_file_where_a_folder_should_be_holds_no_files(
    tmp_path: Path, file_of: Callable[..., Path]
) -> None:
    storage = Storage(str(tmp_path / "shared"))
    storage.publish(file_of(), "run")
    assert storage.names("run/members") == []
    with pytest.raises(FileNotFoundError):
        storage.fetch("run/members/a", tmp_path / "back")
    storage.remove("run/members/a")
    with pytest.raises(InputError, match="cannot be written to"):
        storage.publish(file_of(), "run/members/a")


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "Free some space"),
        (errno.EACCES, "Choose a folder"),
        (errno.EROFS, "Choose a folder"),
        (errno.EIO, "rerun the command"),
    ],
)
def test_a_folder_that_cannot_be_written_is_said(
    tmp_path: Path,
    file_of: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    fix: str,
) -> None:
    storage = Storage(str(tmp_path / "shared"))
    storage.publish(file_of(b"old"), "a")

    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(InputError) as caught:
        storage.publish(file_of(b"new"), "a")
    assert storage.address in caught.value.what
    assert os.strerror(number) in caught.value.what
    assert fix in caught.value.fix
    monkeypatch.undo()
    assert hidden(tmp_path) == []
    storage.fetch("a", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"old"


@EVERY
def test_a_full_disk_of_this_machine_is_not_the_storage_s(
    storage: Storage,
    file_of: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage.publish(file_of(), "a")

    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(type(storage._place), "get", fails)
    with pytest.raises(InputError) as caught:
        storage.fetch("a", tmp_path / "back")
    assert caught.value.what == f"cannot write {tmp_path / 'back'}: No space left on device"
    assert "Free some space" in caught.value.fix
    assert not (tmp_path / "back").exists()
    assert hidden(tmp_path) == []


@EVERY
def test_a_place_on_this_machine_that_cannot_be_written_is_said(
    storage: Storage, file_of: Callable[..., Path], tmp_path: Path
) -> None:
    storage.publish(file_of(), "a")
    with pytest.raises(InputError, match="cannot write"):
        storage.fetch("a", file_of(b"a file", "taken") / "back")


# Addresses that lead nowhere.


@pytest.mark.parametrize(
    ("address", "what", "fix"),
    [
        ("", "empty", "s3://"),
        ("  ", "empty", "s3://"),
        ("s4://bucket", "s4:// is no storage", "s3://"),
        ("sftp://host/x", "sftp:// is no storage", "folder that all nodes see"),
        ("simplecache::s3://bucket", "is no storage", "s3://"),
        ("https://example.org/x", "https:// is no storage", "s3://"),
        ("s3://", "names no bucket", "s3://BUCKET"),
        ("s3:///", "names no bucket", "s3://BUCKET"),
        ("file://runs", "absolute path", "file:///runs"),
        ("~no-such-user/runs", "nobody", "s3://"),
        ("C:\\runs", "Windows", "s3://"),
        ("C:/runs", "Windows", "s3://"),
        ("\\\\server\\share", "Windows", "s3://"),
    ],
)
def test_an_address_of_no_storage_is_refused(address: str, what: str, fix: str) -> None:
    error = refusal_of(address)
    assert what in error.what
    assert fix in error.fix


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    error = refusal_of("s3://me:secret@bucket/x")
    assert "password" in error.what
    assert "secret" not in str(error)
    assert "environment" in error.fix


@pytest.mark.parametrize(
    ("address", "package", "fix"),
    [
        ("s3://bucket/x", "s3fs", "requirements-dev.lock"),
        ("gs://bucket/x", "gcsfs", "pip install gcsfs"),
        ("gcs://bucket/x", "gcsfs", "pip install gcsfs"),
        ("az://container/x", "adlfs", "pip install adlfs"),
        ("s3://bucket/x", "fsspec", "requirements-dev.lock"),
        ("gs://bucket/x", "fsspec", "pip install gcsfs"),
    ],
)
def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, address: str, package: str, fix: str
) -> None:
    # What was imported before is kept there.
    registry = importlib.import_module("fsspec.registry")
    for name in list(registry._registry):
        monkeypatch.delitem(registry._registry, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError) as caught:
        Storage(address)
    assert package in caught.value.what
    assert fix in caught.value.fix


def test_a_package_that_another_node_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = pickle.dumps(Storage("s3://bucket/x"))
    registry = importlib.import_module("fsspec.registry")
    for name in list(registry._registry):
        monkeypatch.delitem(registry._registry, name)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(InputError, match="s3fs") as caught:
        pickle.loads(sent).names()
    assert "requirements-dev.lock" in caught.value.fix


def test_a_folder_needs_no_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    Storage(str(tmp_path)).check()


@pytest.fixture
def deaf_server(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Make S3 a port of this machine that is taken by somebody who does not answer."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        yield taken


@pytest.mark.cluster
@pytest.mark.parametrize(("listening", "what"), [(False, "Could not connect"), (True, "no answer")])
def test_a_server_that_does_not_answer_is_said_in_seconds(
    s3: str,
    deaf_server: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    listening: bool,
    what: str,
) -> None:
    if listening:
        monkeypatch.setattr(backends, "_HASTY_LIMIT", 1.0)
        deaf_server.listen()
    start = time.monotonic()
    error = refusal_of(s3)
    assert time.monotonic() - start < 20
    assert s3 in error.what
    assert what in error.what
    assert "AWS_ENDPOINT_URL" in error.fix


@pytest.mark.cluster
def test_a_server_that_stops_answering_is_not_waited_for_without_end(
    s3: str,
    deaf_server: socket.socket,
    file_of: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backends, "_LIMIT", 1.0)
    deaf_server.listen()
    with pytest.raises(InputError, match="no answer"):
        Storage(s3).publish(file_of(), "a")


@pytest.mark.cluster
def test_a_missing_bucket_is_told_from_a_missing_file(
    s3: str, tmp_path: Path, file_of: Callable[..., Path]
) -> None:
    storage = Storage("s3://no-such-bucket/x")
    for at in ("check", "names"):
        error = refusal_of(storage, at)
        assert "s3://no-such-bucket/x" in error.what
        assert "bucket does not exist" in error.what
        assert "Create the bucket" in error.fix
    with pytest.raises(InputError, match="bucket"):
        storage.fetch("a", tmp_path / "back")
    with pytest.raises(InputError, match="bucket"):
        storage.remove("a")
    with pytest.raises(InputError, match="bucket"):
        storage.publish(file_of(), "a")


@pytest.mark.cluster
def test_an_impossible_bucket_is_refused(s3: str) -> None:
    assert "bucket" in refusal_of("s3://No_Bucket/x").what


@pytest.mark.cluster
def test_missing_credentials_are_said(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = refusal_of(s3)
    assert "credentials" in error.what
    assert "AWS_ACCESS_KEY_ID" in error.fix


@pytest.mark.cluster
def test_wrong_credentials_are_said(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import moto.settings

    monkeypatch.setattr(moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0.0)
    error = refusal_of(s3)
    assert "Access Key Id" in error.what
    assert "right to list, read, write and delete" in error.fix


# An object store.


@pytest.mark.cluster
def test_a_store_shows_no_half_file_while_it_is_sent(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file so large that it goes in parts, and whose sending fails before the last one."""
    import s3fs

    storage = Storage(s3)
    big = tmp_path / "big"
    big.write_bytes(os.urandom(1 << 20) * 101)
    parts: list[list[str]] = []
    answers: list[Any] = []
    call = s3fs.S3FileSystem._call_s3

    async def watched(self: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        if method == "upload_part":
            parts.append([*(await self._find(s3.removeprefix("s3://")))])
            if kwargs["PartNumber"] == failing:
                raise OSError(errno.EIO, "cut off")
        if method == "get_object":
            answers.append(kwargs.get("Range"))
        return await call(self, method, *args, **kwargs)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", watched)
    failing = 3
    with pytest.raises(InputError, match="cut off"):
        storage.publish(big, "run/big")
    assert parts == [[], [], []]
    assert storage.names() == []
    failing = 0
    storage.publish(big, "run/big")
    assert parts[3:] == [[], [], []]
    assert storage.names() == ["run/big"]
    storage.fetch("run/big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == big.read_bytes()
    # Of several answers one might be of the old file, and the next of a new one.
    assert answers == [None]


@pytest.mark.cluster
def test_a_process_of_its_own_reaches_the_store(s3: str, file_of: Callable[..., Path]) -> None:
    publisher = subprocess.Popen(
        [sys.executable, "-c", PUBLISH, s3, str(file_of())], stdout=subprocess.PIPE
    )
    assert publisher.stdout
    assert publisher.stdout.readline() == b"published\n"
    publisher.kill()
    publisher.communicate()
    assert Storage(s3).names() == ["run/same.bin"]


@pytest.mark.parametrize("linked", [True, False])
def test_a_final_file_is_not_held_twice_and_stays_when_its_source_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, linked: bool
) -> None:
    if not linked:

        def another_file_system(*_: object) -> None:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

        monkeypatch.setattr(os, "link", another_file_system)
    storage, source = Storage(str(tmp_path / "shared")), tmp_path / "source"
    published = tmp_path / "shared" / "run" / "a"
    for content in ("first", "second"):
        write_text(source, content)
        # Twice: two processes may train the same for a moment.
        for _ in range(2):
            storage.publish(source, "run/a", final=True)
            assert published.read_text() == content
        assert published.samefile(source) is linked
    write_text(source, "third")
    assert published.read_text() == "second"
    source.unlink()
    assert published.read_text() == "second"
    assert [path.name for path in published.parent.iterdir()] == ["a"]
