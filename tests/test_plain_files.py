"""What is no plain file is refused at once: by one module, through which everything is read."""

from __future__ import annotations

import ast
import hashlib
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.in_time import in_time
from twinrun.data.decoding import decode, decode_to, read_header
from twinrun.errors import InputError
from twinrun.files import is_there, read_csv, read_text, sha256_file, write_text
from twinrun.plain_files import open_plain, plain, read_bytes

ENGINE = ROOT / "twinrun"


def pipe(path: Path) -> None:
    os.mkfifo(path)


def tied_socket(path: Path) -> None:
    # Its name may have no more than a hundred bytes.
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as tied:
            tied.bind(path.name)
    finally:
        os.chdir(here)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


KINDS: dict[Callable[[Path], None], str] = {
    pipe: "a pipe",
    tied_socket: "a socket",
    endless: "a device",
    folder: "a folder",
}
READERS: list[Callable[[Path], object]] = [
    open_plain,
    plain,
    read_bytes,
    sha256_file,
    decode,
    read_header,
    lambda path: decode_to(path, 16),
    read_text,
    read_csv,
    is_there,
]


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    with in_time():
        yield


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("read", READERS)
def test_every_reader_refuses_what_is_no_plain_file(
    tmp_path: Path, make: Callable[[Path], None], read: Callable[[Path], object]
) -> None:
    path = tmp_path / "file"
    make(path)
    with pytest.raises((OSError, InputError)) as refused:
        read(path)
    assert not isinstance(refused.value, TimeoutError)
    assert KINDS[make] in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_plain_file_and_a_link_to_one_are_read(tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(b"\xef\xbb\xbfa,b\n1,2\n")
    link.symlink_to(path)
    for each in (path, link):
        assert read_bytes(each) == path.read_bytes()
        assert read_text(each) == "a,b\n1,2\n"
        assert sha256_file(each) == hashlib.sha256(path.read_bytes()).hexdigest()
        assert read_csv(each).shape == (1, 2)
        assert plain(each) == each
        with open_plain(each) as file:
            assert file.read(4) == b"\xef\xbb\xbfa"


def test_one_that_is_exchanged_after_the_look_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, file = tmp_path / "pipe", tmp_path / "file"
    os.mkfifo(path)
    file.touch()
    looked, closed = file.stat(), list[int]()
    close = os.close
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", lambda *_, **__: looked)
        patch.setattr(os, "close", closed.append)
        with pytest.raises(OSError, match="it is a pipe"):
            open_plain(path)
    (number,) = closed
    close(number)


@pytest.mark.parametrize("make", [pipe, tied_socket, endless])
def test_none_is_replaced_by_a_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "file"
    make(path)
    with pytest.raises(InputError, match=f"cannot write {path}: it is a"):
        write_text(path, "new")
    assert not stat.S_ISREG(path.stat().st_mode)
    assert list(tmp_path.iterdir()) == [path]


# Who opens something by itself, and what.
ALLOWED = {
    ("plain_files.py", "os.open"): "the one place",
    ("streams.py", "os.open"): "the system's own null device",
    ("locks.py", "os.open"): "a lock that was looked at",
    ("data/cache_filling.py", "os.open"): "the array, which was looked at",
    ("verify/their_code.py", "os.open"): "what foreign code left, looked at when it is open",
    ("repro/source.py", "archive.open"): "an entry of a zip",
    ("verify/unpack.py", "archive.open"): "an entry of a zip",
    ("train/fit.py", "tracking.open"): "no file",
    ("deadline/measure.py", "Path('/proc/self/statm').read_text"): "what the system says",
    ("train/tracking.py", "tracking.open"): "no file",
    ("report/sections.py", "path.read_text"): "the engine's own templates",
    ("package/pages.py", "(_TEXTS / name).read_text"): "the engine's own texts",
    ("export/exporting.py", "shutil.copyfile"): "what it has written itself",
    ("scaffold/render.py", "metadata.distribution(NAME).read_text"): "an installed package's",
}
# They work with the standard library alone, on the engine's own files; or without the engine.
ALONE = {"export/standalone.py", "wheel/engine_wheel.py", "wheel/lock_hashes.py"}
OPENS = {
    "open",
    "read_bytes",
    "read_text",
    "ZipFile",
    "ParquetFile",
    "read_parquet",
    "read_table",
    "read_csv",
    "load_file",
    "safe_open",
    "memmap",
    "fromfile",
    "copyfile",
}
# What gives a plain file, or needs none.
GIVE_PLAIN = {"plain", "open_plain", "BufferReader", "BytesIO"}
OWN = {"read_bytes", "read_text", "read_csv", "read_table"}


def offences(source: str) -> Iterator[str]:
    """The calls that open a file by themselves."""
    tree = ast.parse(source)
    opened = _opened_names(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        name = called.rpartition(".")[2]
        if name not in OPENS or (name in OWN and called == name) or _writes(node):
            continue
        first = node.args[0] if node.args else None
        if first is None or not (_gives_plain(first) or ast.unparse(first) in opened):
            yield called


def _opened_names(tree: ast.Module) -> set[str]:
    """Variables that hold a plain file, or a path of one."""
    bound: list[tuple[ast.expr, ast.expr | None]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.With):
            bound += [(item.context_expr, item.optional_vars) for item in node.items]
        elif isinstance(node, ast.Assign):
            bound += [(node.value, target) for target in node.targets]
    names: set[str] = set()
    for _ in range(2):  # of a variable that holds another one
        for value, target in bound:
            if isinstance(target, ast.Name) and (
                _gives_plain(value) or ast.unparse(value) in names
            ):
                names.add(target.id)
    return names


def _gives_plain(node: ast.expr) -> bool:
    calls = (each for each in ast.walk(node) if isinstance(each, ast.Call))
    return any(ast.unparse(each.func).rpartition(".")[2] in GIVE_PLAIN for each in calls)


def _writes(node: ast.Call) -> bool:
    texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
    return any(text in {"w", "wb", "xb", "rb+", "w+"} for text in texts)


def test_nobody_else_opens_a_file_to_read_it() -> None:
    found = {
        (name, call)
        for path in ENGINE.rglob("*.py")
        if (name := path.relative_to(ENGINE).as_posix()) not in ALONE
        for call in offences(path.read_text(encoding="utf-8"))
    }
    assert found == set(ALLOWED), "use twinrun.plain_files, or give a library `plain(path)`"


@pytest.mark.parametrize(
    "line",
    [
        "path.read_bytes()",
        "path.read_text(encoding='utf-8')",
        "with path.open('rb') as file: pass",
        "open(path)",
        "os.open(path, os.O_RDONLY)",
        "Image.open(path)",
        "zipfile.ZipFile(path)",
        "parquet.ParquetFile(path)",
        "pd.read_csv(path)",
        "load_file(path)",
        "np.memmap(path)",
    ],
)
def test_the_rule_sees_each_way_to_open_one(line: str) -> None:
    assert list(offences(line))


@pytest.mark.parametrize(
    "line",
    [
        "read_bytes(path)",
        "with path.open('wb') as file: pass",
        "with open_plain(path) as file, Image.open(file) as image: pass",
        "load_file(plain(path))",
        "zipfile.ZipFile(temporary, 'w')",
        "Image.open(BytesIO(content))",
    ],
)
def test_the_rule_lets_pass_what_is_right(line: str) -> None:
    assert not list(offences(line))
