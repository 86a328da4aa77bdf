"""A stranger's zip: refused before a byte is written, or unpacked exactly as it is listed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinrun.errors import InputError, NegativeVerdict, TwinrunError
from twinrun.package.paths import CONTENTS
from twinrun.verify.unpack import open_package, read_package_contents, unpack


def listing(files: dict[str, bytes], **changes: Any) -> bytes:
    content = {
        "format": 1,
        "host": "zindi",
        "competition": "small",
        "run": "full",
        "commit": None,
        "forced": False,
        "why": [],
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in files.items()
        },
    }
    return json.dumps(content | changes).encode()


def packed(path: Path, files: dict[str, bytes], contents: bytes | None = None) -> Path:
    """A zip of files with a listing of them."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(CONTENTS, listing(files) if contents is None else contents)
    return path


GOOD = {"code/a.py": b"pass\n", "run/b.csv": b"id\n1\n", "run/empty.csv": b""}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return packed(tmp_path / "package.zip", GOOD)


def unpack_into(package: Path, folder: Path) -> Path:
    folder.mkdir()
    with open_package(package) as archive:
        unpack(archive, read_package_contents(archive, package), package, folder)
    return folder


def refused(package: Path, kind: type[TwinrunError] = InputError) -> str:
    """What is said of a package, of which nothing is written that is not gone."""
    folder = package.parent / "unpacked"
    before = {path for path in package.parent.rglob("*") if folder not in path.parents} | {folder}
    with pytest.raises(kind) as caught:
        unpack_into(package, folder)
    assert type(caught.value) is kind
    assert {p for p in package.parent.rglob("*") if folder not in p.parents} == before
    return str(caught.value)


def test_files_come_out_as_they_went_in(package: Path, tmp_path: Path) -> None:
    folder = unpack_into(package, tmp_path / "unpacked")
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == GOOD
    assert not any(path.stat().st_mode & 0o111 for path in found.values())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../evil", "leads out of the folder"),
        ("run/../../evil", "leads out of the folder"),
        ("..", "leads out of the folder"),
        ("..\\evil", "leads out of the folder"),
        ("/tmp/evil", "an absolute path"),
        ("\\\\host\\evil", "an absolute path"),
        ("C:/evil", "an absolute path"),
        ("C:evil", "an absolute path"),
        ("run//evil", "not a name that every system takes"),
        ("./evil", "not a name that every system takes"),
        ("run/a\nb", "not a name that every system takes"),
        ("run/\x1b[31mred", "not a name that every system takes"),
        ("run/a:stream", "not a name that every system takes"),
        ("run/" + "x" * 300, "too long a name"),
        ("run/B.CSV", "the same place as 'run/b.csv'"),
        ("run/b.csv/evil", "below what is a file"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str, reason: str) -> None:
    text = refused(packed(tmp_path / "package.zip", {**GOOD, name: b"x"}))
    assert reason in text
    assert "\x1b" not in text


def test_a_name_cut_by_a_null_byte_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "package.zip", {**GOOD, "run/c.csv!../evil": b"x"})
    path.write_bytes(path.read_bytes().replace(b"run/c.csv!..", b"run/c.csv\0.."))
    assert "'run/c.csv': not a name that every system takes" in refused(path)


@given(st.text(min_size=1, max_size=30))
def test_no_name_is_written_outside(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    try:
        packed(folder / "package.zip", {name: b"x"})
    except (ValueError, UnicodeError, IndexError):
        return  # not to be had in a zip
    with suppress(TwinrunError):
        unpack_into(folder / "package.zip", folder / "unpacked")
    assert {path.name for path in folder.iterdir()} <= {"package.zip", "unpacked"}


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "package.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("run/b.csv", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("run/b.csv", b"2")
    assert "the same place as 'run/b.csv'" in refused(path)


@pytest.mark.parametrize(
    ("kind", "reason"), [(stat.S_IFLNK, "a link"), (stat.S_IFIFO, "no plain file")]
)
def test_links_and_their_like_are_refused(tmp_path: Path, kind: int, reason: str) -> None:
    path = tmp_path / "package.zip"
    entry = zipfile.ZipInfo("run/link")
    entry.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, "/etc/passwd")
        archive.writestr(CONTENTS, listing({"run/link": b"/etc/passwd"}))
    assert f"'run/link': {reason}" in refused(path)


def test_encrypted_entries_are_refused(package: Path) -> None:
    data = bytearray(package.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the first entry's flags
    package.write_bytes(data)
    assert "encrypted" in refused(package)


def test_another_method_of_packing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "package.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("run/b.csv", b"x")
    assert "packed by a method that packages do not use" in refused(path)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = refused(packed(tmp_path / "package.zip", {"../a": b"", "/b": b"", "run/c": b""}))
    assert "'../a'" in text
    assert "'/b'" in text
    assert "'run/c'" not in text


def test_a_bomb_is_refused_and_its_size_said(tmp_path: Path) -> None:
    path = tmp_path / "package.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("run/b.csv", bytes(200 << 20))
    assert "it would become 210 MB, out of a file of 0.2 MB" in refused(path)


def test_a_bomb_that_declares_little_is_cut_off(tmp_path: Path) -> None:
    files = {"run/b.csv": bytes(300_000)}
    path = tmp_path / "package.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("run/b.csv", files["run/b.csv"])
        archive.writestr(CONTENTS, listing(files))
    honest, small = struct.pack("<I", 300_000), struct.pack("<I", 1000)
    path.write_bytes(path.read_bytes().replace(honest, small))
    assert "run/b.csv: changed" in refused(path, NegativeVerdict)
    assert (tmp_path / "unpacked" / "run" / "b.csv").stat().st_size <= 1000


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_a_zip_that_was_cut_short_is_refused(package: Path, part: float) -> None:
    data = package.read_bytes()
    package.write_bytes(data[: int(len(data) * part)])
    assert "is not a whole zip file" in refused(package)


@given(st.integers(0), st.integers(1, 255))
def test_a_flipped_byte_is_never_taken_silently(
    tmp_path_factory: pytest.TempPathFactory, place: int, flip: int
) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    path = packed(folder / "package.zip", GOOD)
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= flip
    path.write_bytes(data)
    try:
        found = unpack_into(path, folder / "unpacked")
    except TwinrunError:
        return
    # Times, modes and the listing's words to people do not count; what is unpacked does.
    assert {p.relative_to(found).as_posix(): p.read_bytes() for p in found.rglob("*.*")} == GOOD


@pytest.mark.parametrize("name", ["nothing.zip", "folder"])
def test_what_is_no_file_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(TwinrunError), open_package(tmp_path / name):
        pass


def test_changed_missing_and_new_files_are_all_named(tmp_path: Path) -> None:
    files = {**GOOD, "run/b.csv": b"id\n2\n", "code/extra.py": b"evil"}
    del files["run/empty.csv"]
    text = refused(packed(tmp_path / "package.zip", files, listing(GOOD)), NegativeVerdict)
    assert "run/b.csv: changed since the package was made" in text
    assert "run/empty.csv: missing" in text
    assert "code/extra.py: not listed in package.json" in text
    assert "code/a.py" not in text


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"", "is damaged"),
        (b"[]", "is damaged"),
        (b'{"files": {}}', "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (listing(GOOD, format=2), "a package of format 2; this version knows format 1"),
        (listing(GOOD, format="<b>"), "a package of format '<b>'"),
        (listing(GOOD, format=True), "a package of format True"),
        (listing(GOOD).replace(b'"bytes": 5', b'"bytes": -1'), "files.code/a.py.bytes"),
        (listing(GOOD, forced="no"), "forced"),
    ],
)
def test_a_listing_that_cannot_be_read_is_refused(
    tmp_path: Path, contents: bytes, reason: str
) -> None:
    assert reason in refused(packed(tmp_path / "package.zip", GOOD, contents))


def test_a_zip_without_a_listing_is_no_package(tmp_path: Path) -> None:
    path = tmp_path / "package.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "x")
    assert "is not a package: it has no package.json" in refused(path)


def test_a_full_disk_is_told(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Disk", (), {"free": 3}))
    assert "takes 0.0 MB" in refused(package)
    monkeypatch.undo()
    opening: Callable[..., Any] = Path.open

    def full(path: Path, mode: str = "r", **options: Any) -> Any:
        if mode == "xb":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opening(path, mode, **options)

    monkeypatch.setattr(Path, "open", full)
    (tmp_path / "unpacked").rmdir()
    assert "No space left on device" in refused(package)
