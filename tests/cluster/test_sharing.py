"""What a node gets is bit for bit what the driver has; a changed bit is reported."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cluster.conftest import EVERY, FOLDER, MEMORY, STORES
from tests.conftest import FIXTURE, SMALL
from twinrun.cluster import chunks, fetch
from twinrun.cluster.chunks import cut_chunks, pack_rows
from twinrun.cluster.share import index_here, share_images, share_index
from twinrun.cluster.storage import SHARED, Storage
from twinrun.config.reading import read_settings
from twinrun.data.cache import cache_pixels, with_pixels
from twinrun.data.cache_files import ARRAY, TABLE, find_damaged_rows
from twinrun.data.index import build_index, data_digest
from twinrun.data.pixels import Pixels
from twinrun.errors import InputError

SIZES = [8, 12]
# Bytes: a few images.
PIECE = 20 * 12 * 12 * 3
FETCH = """
import os, pickle, sys, time
from pathlib import Path
from twinrun.cluster import chunks
from twinrun.cluster.backends import ObjectStoreBackend

chunks._CHUNK = int(sys.argv[3])
get = ObjectStoreBackend.get

def slow(self, name, local):
    get(self, name, local)
    if name.endswith(".u8"):
        # At once: print writes the end of a line by itself, and other threads get in between.
        os.write(1, b"fetched\\n")
        time.sleep(0.2)

ObjectStoreBackend.get = slow
pickle.loads(Path(sys.argv[1]).read_bytes()).here(Path(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, dict[int, Pixels]]:
    """The index of the fixture and its pixels in two small sizes."""
    here = tmp_path_factory.mktemp("made")
    toml = here / "small.toml"
    toml.write_text(SMALL.format(folder=FIXTURE.as_posix()), encoding="utf-8")
    index = build_index(read_settings(toml))
    pixels = cache_pixels(index, FIXTURE, SIZES, here / "cache")
    # The same picture twice is shared once.
    index = with_pixels(pd.concat([index, index.tail(3)], ignore_index=True), pixels)
    return index, pixels


@pytest.fixture
def index(made: tuple[pd.DataFrame, dict[int, Pixels]]) -> pd.DataFrame:
    # Fewer images than the cache holds.
    return made[0].iloc[5:].reset_index(drop=True)


@pytest.fixture
def pixels(made: tuple[pd.DataFrame, dict[int, Pixels]], tmp_path: Path) -> dict[int, Pixels]:
    """The driver's, a copy of their own for each test."""
    copies = {}
    for size, each in made[1].items():
        folder = shutil.copytree(each.path.parent, tmp_path / "cache" / each.path.parent.name)
        copies[size] = Pixels(size, folder / ARRAY, each.table)
    return copies


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_CHUNK", PIECE)


Traffic = list[tuple[str, str]]


@pytest.fixture
def traffic(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Traffic:
    """(put or get, name) of what goes to and from the storage."""
    seen: Traffic = []
    kind = type(storage._place)
    put, get = kind.put, kind.get

    def putting(self: Any, local: Path, name: str, **how: bool) -> None:
        put(self, local, name, **how)
        seen.append(("put", name))

    def getting(self: Any, name: str, local: Path) -> None:
        get(self, name, local)
        seen.append(("get", name))

    monkeypatch.setattr(kind, "put", putting)
    monkeypatch.setattr(kind, "get", getting)
    return seen


def content(pixels: dict[int, Pixels], index: pd.DataFrame) -> dict[int, list[bytes]]:
    """The images of an index, in its order."""
    found = {}
    for size, each in pixels.items():
        rows = each.rows(index["sha256"].tolist())
        found[size] = [rows.image(row).tobytes() for row in range(len(rows))]
    return found


def names_of(traffic: Traffic, way: str) -> list[str]:
    return [name for each, name in traffic if each == way and name.endswith(".u8")]


def chunks_in(storage: Storage, size: int = SIZES[0]) -> list[str]:
    return [
        name
        for name in storage.names(f"{SHARED}/pixels")
        if name.endswith(".u8") and f"/{size}px-" in name
    ]


def changed(storage: Storage, name: str, tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    """Put another content under a name."""
    path = tmp_path / "changed"
    storage.fetch(name, path)
    path.write_bytes(change(path.read_bytes()))
    storage.publish(path, name)


def flipped(content: bytes) -> bytes:
    """With one bit changed, in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def node_array(node: Path, size: int = SIZES[0]) -> Path:
    (array,) = node.glob(f"{size}px-*/{ARRAY}")
    return array


# Images.


@EVERY
def test_a_node_gets_the_same_bits(
    storage: Storage, index: pd.DataFrame, pixels: dict[int, Pixels], tmp_path: Path
) -> None:
    shared = pickle.loads(pickle.dumps(share_images(storage, index, pixels)))
    node = tmp_path / "node"
    if storage.local is None:
        # Its own copy, not the driver's.
        drivers = content(pixels, index)
        shutil.move(tmp_path / "cache", tmp_path / "away")
        there = shared.here(node)
        assert content(there, index) == drivers
    else:
        there = shared.here(node)
        assert content(there, index) == content(pixels, index)
        assert not list(node.rglob(ARRAY))
    assert list(there) == SIZES
    for size in SIZES:
        files = sorted(index["sha256"].unique())
        assert there[size].size == size
        assert there[size].table.index.tolist() == files
        same = pixels[size].table.loc[files].drop(columns="offset")
        assert there[size].table.drop(columns="offset").equals(same)
    assert len(pickle.dumps(shared)) < 2000


@pytest.mark.parametrize("kind", [FOLDER, MEMORY])
def test_other_bits_are_seen(
    storage: Storage, index: pd.DataFrame, pixels: dict[int, Pixels], tmp_path: Path
) -> None:
    there = share_images(storage, index, pixels).here(tmp_path / "node")
    before = content(pixels, index)
    array = there[SIZES[0]].path
    array.write_bytes(flipped(array.read_bytes()))
    again = {size: Pixels(size, each.path, each.table) for size, each in there.items()}
    assert content(again, index) != before


@STORES
def test_chunks_are_small_and_the_table_comes_last(
    storage: Storage, index: pd.DataFrame, pixels: dict[int, Pixels], traffic: Traffic
) -> None:
    share_images(storage, index, pixels)
    for size in SIZES:
        names = [name for _, name in traffic if f"/{size}px-" in name]
        assert names[-1].endswith(f"/{TABLE}")
        assert len(names) > 4
        spans = sorted(Path(name).stem.split("-") for name in names[:-1])
        ends = [0, *(int(stop) for _, stop in spans)]
        assert [int(start) for start, _ in spans] == ends[:-1]
        rows = pixels[size].rows(sorted(index["sha256"].unique()))
        assert ends[-1] == rows.nbytes


@pytest.mark.parametrize("kind", [FOLDER])
def test_a_shared_folder_gets_no_copy(
    storage: Storage, index: pd.DataFrame, pixels: dict[int, Pixels], tmp_path: Path
) -> None:
    shared = share_images(storage, index, pixels)
    assert [Path(name).name for name in storage.names()] == [TABLE, TABLE]
    there = shared.here(tmp_path / "node")
    assert [each.path for each in there.values()] == [each.path for each in pixels.values()]


@STORES
def test_nothing_is_sent_or_fetched_twice(
    storage: Storage,
    index: pd.DataFrame,
    pixels: dict[int, Pixels],
    tmp_path: Path,
    traffic: Traffic,
    capsys: pytest.CaptureFixture[str],
) -> None:
    count = len(set(index["sha256"]))
    share_images(storage, index, pixels)
    said = " ".join(capsys.readouterr().out.split())
    assert f"sharing {count} images at 8 px, 0.0 MB, with {storage.address}" in said
    sent = names_of(traffic, "put")
    shared = share_images(storage, index, pixels)
    assert names_of(traffic, "put") == sent
    assert f"shared {count} images at 8 px" in " ".join(capsys.readouterr().out.split())
    shared.here(tmp_path / "node")
    assert sorted(names_of(traffic, "get")) == sorted(sent)
    shared.here(tmp_path / "node")
    assert len(names_of(traffic, "get")) == len(sent)
    # Another order of the same images, or some of them twice, is no other sharing.
    share_images(storage, index.iloc[::-1], pixels)
    assert names_of(traffic, "put") == sent


@pytest.mark.parametrize("kind", [MEMORY])
def test_other_images_are_shared_beside(
    storage: Storage, index: pd.DataFrame, pixels: dict[int, Pixels], tmp_path: Path
) -> None:
    first = share_images(storage, index, pixels)
    second = share_images(storage, index.iloc[7:], pixels)
    assert first != second
    assert content(first.here(tmp_path / "node"), index) == content(pixels, index)
    assert content(second.here(tmp_path / "node"), index.iloc[7:]) == content(
        pixels, index.iloc[7:]
    )


@pytest.mark.parametrize("kind", [MEMORY])
def test_sending_goes_on_where_it_was_cut_off(
    storage: Storage,
    index: pd.DataFrame,
    pixels: dict[int, Pixels],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    traffic: Traffic,
) -> None:
    kind = type(storage._place)
    put = kind.put

    def failing(self: Any, local: Path, name: str, **how: bool) -> None:
        if len(names_of(traffic, "put")) >= 2:
            raise ConnectionError("cut off")
        put(self, local, name, **how)

    monkeypatch.setattr(kind, "put", failing)
    with pytest.raises(InputError, match="cut off"):
        share_images(storage, index, pixels)
    begun = names_of(traffic, "put")
    assert begun
    assert not [name for name in storage.names() if name.endswith(TABLE)]
    assert list((tmp_path / "cache").rglob(".*")) == []
    monkeypatch.setattr(kind, "put", put)
    shared = share_images(storage, index, pixels)
    sent = names_of(traffic, "put")
    assert len(sent) == len(set(sent)) > len(begun)
    assert content(shared.here(tmp_path / "node"), index) == content(pixels, index)


@pytest.mark.cluster
@pytest.mark.parametrize("kind", ["s3"])
def test_fetching_goes_on_after_a_kill(
    storage: Storage,
    index: pd.DataFrame,
    pixels: dict[int, Pixels],
    tmp_path: Path,
    traffic: Traffic,
) -> None:
    shared, node = share_images(storage, index, {12: pixels[12]}), tmp_path / "node"
    whole = len(names_of(traffic, "put"))
    (tmp_path / "shared.pickle").write_bytes(pickle.dumps(shared))
    process = subprocess.Popen(
        [sys.executable, "-c", FETCH, str(tmp_path / "shared.pickle"), str(node), str(PIECE)],
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    # The first four are fetched at once; when a fifth comes, one of them is in its place.
    told = [process.stdout.readline() for _ in range(5)]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert told == [b"fetched\n"] * 5
    assert list(node.rglob(".*.part"))

    assert content(shared.here(node), index) == content({12: pixels[12]}, index)
    assert 0 < len(names_of(traffic, "get")) < whole
    assert list(node.rglob(".*")) == []


@pytest.mark.parametrize("kind", [FOLDER, MEMORY])
def test_the_images_of_a_node_are_read_for_their_digests_once_until_they_are_written_to(
    storage: Storage,
    index: pd.DataFrame,
    pixels: dict[int, Pixels],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared, node = share_images(storage, index, {8: pixels[8]}), tmp_path / "node"
    checks: list[int] = []

    def counted(folder: Path, used: pd.DataFrame) -> pd.Index:
        checks.append(len(used))
        return find_damaged_rows(folder, used)

    monkeypatch.setattr(fetch, "find_damaged_rows", counted)
    array = shared.here(node)[8].path
    count = len(set(index["sha256"]))
    assert checks[-1] == count
    checks.clear()
    shared.here(node)
    assert checks == []
    with array.open("rb+") as file:
        first = file.read(1)
        file.seek(0)
        file.write(first)
    shared.here(node)
    # The same byte was written: the node looks, and all is well.
    assert checks == [count]
    (mark,) = node.rglob("checked.json")
    mark.write_text("not JSON")
    shared.here(node)
    assert checks == [count, count]


@STORES
def test_an_image_damaged_on_a_node_is_fetched_again_and_no_other(
    storage: Storage,
    index: pd.DataFrame,
    pixels: dict[int, Pixels],
    tmp_path: Path,
    traffic: Traffic,
) -> None:
    shared, node = share_images(storage, index, pixels), tmp_path / "node"
    reading = shared.here(node)
    array = node_array(node)
    inode = array.stat().st_ino
    with array.open("rb+") as file:
        file.seek(array.stat().st_size - 10)
        last = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([last[0] ^ 4]))
    traffic.clear()
    assert content(shared.here(node), index) == content(pixels, index)
    assert names_of(traffic, "get") == [chunks_in(storage)[-1]]
    # In its place: others that read the array at that time see it fixed.
    assert array.stat().st_ino == inode
    assert content(reading, index) == content(pixels, index)


@pytest.mark.parametrize("kind", [MEMORY])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "other"])
def test_a_table_damaged_on_a_node_is_fetched_again(
    storage: Storage,
    index: pd.DataFrame,
    pixels: dict[int, Pixels],
    tmp_path: Path,
    traffic: Traffic,
    damage: str,
) -> None:
    shared, node = share_images(storage, index, pixels), tmp_path / "node"
    shared.here(node)
    table = node_array(node).with_name(TABLE)
    if damage == "remove":
        table.unlink()
    elif damage == "other":
        shutil.copy(node_array(node, SIZES[1]).with_name(TABLE), table)
    else:
        whole = table.read_bytes()
        table.write_bytes(flipped(whole) if damage == "flip" else whole[:-50])
    traffic.clear()
    assert content(shared.here(node), index) == content(pixels, index)
    assert names_of(traffic, "get") == []
    assert [name for way, name in traffic if way == "get"] == [
        name for name in storage.names() if name.endswith(TABLE) and "/8px-" in name
    ]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (MEMORY, flipped),
        pytest.param("s3", flipped, marks=pytest.mark.cluster),
        (MEMORY, lambda whole: whole[:-1]),
        (MEMORY, lambda whole: whole + b"x"),
        (MEMORY, lambda _: b""),
    ],
)
def test_a_piece_damaged_in_the_storage_is_refused_by_name_until_it_is_sent_anew(
    storage: Storage,
    index: pd.DataFrame,
    pixels: dict[int, Pixels],
    tmp_path: Path,
    traffic: Traffic,
    change: Callable[[bytes], bytes],
) -> None:
    shared, node = share_images(storage, index, pixels), tmp_path / "node"
    names = chunks_in(storage)
    changed(storage, names[1], tmp_path, change)
    traffic.clear()
    with pytest.raises(InputError) as caught:
        shared.here(node)
    assert caught.value.details == (names[1],)
    assert storage.address in caught.value.what
    assert "Remove" in caught.value.fix
    assert names_of(traffic, "get").count(names[1]) == 2
    assert names_of(traffic, "get").count(names[2]) == 1
    storage.remove(names[1])
    share_images(storage, index, pixels)
    assert content(shared.here(node), index) == content(pixels, index)


@pytest.mark.parametrize("kind", [MEMORY])
def test_a_piece_that_comes_damaged_once_is_fetched_again(
    storage: Storage,
    index: pd.DataFrame,
    pixels: dict[int, Pixels],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared = share_images(storage, index, pixels)
    spoiled: list[str] = []
    kind = type(storage._place)
    get = kind.get

    def spoiling(self: Any, name: str, local: Path) -> None:
        get(self, name, local)
        if name not in spoiled:
            spoiled.append(name)
            local.write_bytes(flipped(local.read_bytes()))

    monkeypatch.setattr(kind, "get", spoiling)
    assert content(shared.here(tmp_path / "node"), index) == content(pixels, index)
    assert len(spoiled) == len(storage.names())


@pytest.mark.parametrize("kind", [MEMORY])
def test_a_table_damaged_in_the_storage_is_refused_by_name_until_it_is_sent_anew(
    storage: Storage, index: pd.DataFrame, pixels: dict[int, Pixels], tmp_path: Path
) -> None:
    shared = share_images(storage, index, pixels)
    name = next(name for name in storage.names(f"{SHARED}/pixels") if name.endswith(TABLE))
    changed(storage, name, tmp_path, flipped)
    with pytest.raises(InputError) as caught:
        shared.here(tmp_path / "node")
    assert caught.value.details == (name,)
    share_images(storage, index, pixels)
    assert content(shared.here(tmp_path / "node"), index) == content(pixels, index)


@pytest.mark.parametrize("kind", [MEMORY])
@pytest.mark.parametrize("ending", [".u8", TABLE])
def test_a_removed_file_is_named(
    storage: Storage, index: pd.DataFrame, pixels: dict[int, Pixels], tmp_path: Path, ending: str
) -> None:
    shared = share_images(storage, index, pixels)
    name = next(name for name in storage.names(f"{SHARED}/pixels") if name.endswith(ending))
    storage.remove(name)
    with pytest.raises(InputError) as caught:
        shared.here(tmp_path / "node")
    assert name in caught.value.what
    assert "Rerun the command" in caught.value.fix


@pytest.mark.parametrize("kind", [FOLDER])
def test_a_damaged_cache_in_a_shared_folder_is_refused(
    storage: Storage, index: pd.DataFrame, pixels: dict[int, Pixels], tmp_path: Path
) -> None:
    shared = share_images(storage, index, pixels)
    array = pixels[SIZES[0]].path
    array.write_bytes(flipped(array.read_bytes()))
    with pytest.raises(InputError, match=r"1 of \d+ images in .* do not agree") as caught:
        shared.here(tmp_path / "node")
    assert "decoded anew" in caught.value.fix


@pytest.mark.parametrize("kind", [FOLDER])
@pytest.mark.parametrize("part", ["cache", "shared"])
def test_a_folder_that_a_node_does_not_see_is_named(
    storage: Storage, index: pd.DataFrame, pixels: dict[int, Pixels], tmp_path: Path, part: str
) -> None:
    shared = share_images(storage, index, pixels)
    shutil.move(tmp_path / part, tmp_path / "elsewhere")
    with pytest.raises(InputError, match="does not see") as caught:
        shared.here(tmp_path / "node")
    assert str(tmp_path / part) in caught.value.what
    assert os.uname().nodename in caught.value.what
    assert "mount" in caught.value.fix


@pytest.mark.parametrize("kind", [MEMORY])
def test_a_cache_damaged_since_it_was_read_is_not_sent(
    storage: Storage, index: pd.DataFrame, pixels: dict[int, Pixels]
) -> None:
    array = pixels[SIZES[0]].path
    array.write_bytes(b"\x01" * array.stat().st_size)
    with pytest.raises(InputError, match="damaged since it was read"):
        share_images(storage, index, pixels)
    assert storage.names() == []


@pytest.mark.parametrize("kind", [MEMORY])
def test_a_disk_that_is_too_small_is_said_before_anything_is_fetched(
    storage: Storage,
    index: pd.DataFrame,
    pixels: dict[int, Pixels],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    traffic: Traffic,
) -> None:
    shared = share_images(storage, index, pixels)
    free = shutil.disk_usage(tmp_path)._replace(free=fetch._SPARE + 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    with pytest.raises(InputError, match=r"images take .* but only 67.1 MB are free") as caught:
        shared.here(tmp_path / "node")
    assert "Free some space" in caught.value.fix
    assert names_of(traffic, "get") == []


@pytest.mark.parametrize("kind", [MEMORY])
@pytest.mark.parametrize("way", ["sending", "fetching"])
def test_a_disk_that_fills_up_meanwhile_is_said(
    storage: Storage,
    index: pd.DataFrame,
    pixels: dict[int, Pixels],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    shared = share_images(storage, index.head(3), pixels)
    opened = Path.open

    def opening(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if (way == "sending" and self.name.endswith(".u8.part") and mode == "wb") or (
            way == "fetching" and self.name == ARRAY and mode == "rb+"
        ):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opening)
    with pytest.raises(InputError, match="No space left on device") as caught:
        if way == "sending":
            share_images(storage, index, pixels)
        else:
            shared.here(tmp_path / "node")
    assert "Free some space" in caught.value.fix


@STORES
def test_of_many_that_ask_at_once_one_fetches(
    storage: Storage,
    index: pd.DataFrame,
    pixels: dict[int, Pixels],
    tmp_path: Path,
    traffic: Traffic,
) -> None:
    shared = share_images(storage, index, pixels)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: shared.here(tmp_path / "node"), range(4)))
    for there in found:
        assert content(there, index) == content(pixels, index)
    fetched = names_of(traffic, "get")
    assert len(fetched) == len(set(fetched))


SHAPES = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=40)


@given(shapes=SHAPES, limit=st.integers(1, 300))
def test_chunks_hold_every_image_once(shapes: list[tuple[int, int]], limit: int) -> None:
    table = pd.DataFrame(shapes, columns=["rows", "columns"])
    table["offset"] = 0
    table = pack_rows(table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "_CHUNK", limit)
        found = cut_chunks(table)
    sizes = [rows * columns * 3 for rows, columns in shapes]
    assert table["offset"].tolist() == [0, *np.cumsum(sizes)[:-1]]
    assert [row for piece in found for row in range(len(sizes))[piece.rows]] == list(
        range(len(sizes))
    )
    for piece in found:
        assert piece.nbytes == sum(sizes[piece.rows])
        assert piece.nbytes <= limit or piece.images == 1
    assert [piece.start for piece in found] == [0, *(piece.stop for piece in found[:-1])]


# The index.


@EVERY
def test_a_node_gets_the_same_index(
    storage: Storage, index: pd.DataFrame, tmp_path: Path, traffic: Traffic
) -> None:
    index["group"] = index["id"].where(index.index % 2 == 0, index["id"].shift())
    index.loc[3, "format"] = None
    name = share_index(storage, index)
    for _ in range(2):
        there = index_here(storage, name, tmp_path / "node")
        pd.testing.assert_frame_equal(there, index, check_exact=True)
        assert data_digest(there, "pixels_8") == data_digest(index, "pixels_8")
    assert [way for way, _ in traffic] == ["put", "get"]
    assert share_index(storage, index) == name
    index.loc[0, "label"] = "other"
    assert share_index(storage, index) != name


@EVERY
def test_a_damaged_index_is_fetched_again_or_refused_by_name(
    storage: Storage, index: pd.DataFrame, tmp_path: Path
) -> None:
    name, node = share_index(storage, index), tmp_path / "node"
    index_here(storage, name, node)
    (path,) = node.iterdir()
    path.write_bytes(flipped(path.read_bytes()))
    assert index_here(storage, name, node).equals(index)

    changed(storage, name, tmp_path, flipped)
    path.unlink()
    with pytest.raises(InputError) as caught:
        index_here(storage, name, node)
    assert caught.value.details == (name,)
    share_index(storage, index)
    assert index_here(storage, name, node).equals(index)
    storage.remove(name)
    path.unlink()
    with pytest.raises(InputError, match="any more"):
        index_here(storage, name, node)
