"""Each image is decoded once; the cache is whole, checked, shared, and no bit depends on it."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.conftest import Command
from twinrun.config.reading import read_settings
from twinrun.console import console
from twinrun.data import cache_files, image_decoder
from twinrun.data.cache import cache_pixels, cache_readable_pixels, with_pixels
from twinrun.data.cache_files import TABLE, clear_caches, list_caches
from twinrun.data.cache_filling import CacheOfSize
from twinrun.data.decode_settings import DecodeSettings
from twinrun.data.decoding import bytes_digest, decode, decode_to
from twinrun.data.index import build_index
from twinrun.data.pixels import Pixels
from twinrun.errors import InputError
from twinrun.locks import wait_for_lock

FIXTURE = Path(__file__).parents[1] / "fixture"
SIZE = 32


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A copy of the fixture."""
    return Path(shutil.copytree(FIXTURE, tmp_path / "data"))


@pytest.fixture
def index_of(small_toml: Path) -> Callable[[Path], pd.DataFrame]:
    return lambda data: build_index(read_settings(small_toml, data=data))


@pytest.fixture
def filled(
    data: Path, tmp_path: Path, index_of: Callable[[Path], pd.DataFrame]
) -> Callable[[], Pixels]:
    """Fill the cache of the copy as a run does."""
    return lambda: cache_pixels(index_of(data), data, [SIZE], tmp_path / "cache")[SIZE]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were decoded."""
    names: list[str] = []

    decode = CacheOfSize._decode

    def counted(self: Any, task: Any, file: int) -> object:
        names.append(task.path.name)
        return decode(self, task, file)

    monkeypatch.setattr(CacheOfSize, "_decode", counted)
    return names


def content(pixels: Pixels) -> dict[str, bytes]:
    """The pixels of every file of a cache."""
    files = sorted(pixels.table.index)
    rows = pixels.rows(files)
    return {file: rows.image(number).tobytes() for number, file in enumerate(files)}


def folder_of(pixels: Pixels) -> Path:
    return pixels.path.parent


def test_a_row_is_the_upright_picture_with_its_shorter_side_of_the_size(
    filled: Callable[[], Pixels], data: Path, index_of: Callable[[Path], pd.DataFrame]
) -> None:
    pixels = filled()
    for row in index_of(data).to_dict("records"):
        image = pixels.rows([row["sha256"]]).image(0)
        upright = decode(data / row["path"])
        assert min(image.shape[:2]) == SIZE
        assert abs(image.shape[1] / image.shape[0] - upright.width / upright.height) < 1 / SIZE
        expected = upright.resize(image.shape[1::-1], Image.Resampling.BICUBIC)
        # Another filter, and another fraction of the JPEG: the picture is the same.
        assert np.abs(image.astype(int) - np.asarray(expected)).mean() < 6


def test_what_decoding_shows_stands_in_the_index(
    filled: Callable[[], Pixels], data: Path, index_of: Callable[[Path], pd.DataFrame]
) -> None:
    pixels = filled()
    index = with_pixels(index_of(data), {SIZE: pixels})
    for row in index.to_dict("records"):
        with Image.open(data / row["path"]) as file:
            assert (row["format"], row["mode"]) == (file.format, file.mode)
        upright = decode(data / row["path"])
        assert (row["width"], row["height"]) == upright.size
        image = Image.fromarray(pixels.rows([row["sha256"]]).image(0))
        assert row[f"pixels_{SIZE}"] == bytes_digest(image.tobytes(), *image.size)


def test_a_second_run_decodes_nothing(filled: Callable[[], Pixels], decoded: list[str]) -> None:
    first = content(filled())
    assert len(decoded) == len(first)
    decoded.clear()
    assert content(filled()) == first
    assert decoded == []


def test_a_changed_image_decodes_only_itself(
    filled: Callable[[], Pixels], data: Path, decoded: list[str]
) -> None:
    before = content(filled())
    decoded.clear()
    image = next((data / "test").glob("*.png"))
    Image.new("RGB", (40, 50), "purple").save(image)
    after = content(filled())
    assert decoded == [image.name]
    assert len(after.keys() - before.keys()) == 1
    assert {file: after[file] for file in before} == before


def test_equal_files_are_decoded_once(
    filled: Callable[[], Pixels], data: Path, decoded: list[str]
) -> None:
    image = next((data / "test").glob("*.png"))
    for number in range(3):
        shutil.copyfile(image, data / "test" / f"copy{number}.png")
    filled()
    assert len([name for name in decoded if "copy" in name or name == image.name]) == 1


@pytest.mark.parametrize("threads", [1, 5])
def test_the_number_of_threads_changes_no_bit(
    filled: Callable[[], Pixels], tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = content(filled())
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr(os, "cpu_count", lambda: threads)
    assert content(filled()) == here


def test_each_size_has_a_cache_of_its_own(
    data: Path, tmp_path: Path, index_of: Callable[[Path], pd.DataFrame]
) -> None:
    found = cache_pixels(index_of(data), data, [48, 32, 48], tmp_path / "cache")
    assert list(found) == [32, 48]
    assert {pixels.path.parent.name.partition("-")[0] for pixels in found.values()} == {
        "32px",
        "48px",
    }


def test_another_decoder_decodes_again(
    filled: Callable[[], Pixels], decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = folder_of(filled())
    decoded.clear()
    monkeypatch.setattr("PIL.__version__", "99.0")
    assert folder_of(filled()) != here
    assert decoded


@pytest.mark.parametrize("where", [0, -1])
def test_a_damaged_image_is_said_and_decoded_again(
    filled: Callable[[], Pixels],
    decoded: list[str],
    capsys: pytest.CaptureFixture[str],
    where: int,
) -> None:
    pixels = filled()
    before = content(pixels)
    decoded.clear()
    with pixels.path.open("r+b") as file:
        file.seek(where, os.SEEK_END if where else os.SEEK_SET)
        byte = file.read(1)[0]
        file.seek(where, os.SEEK_END if where else os.SEEK_SET)
        file.write(bytes([byte ^ 1]))
    again = filled()
    assert content(again) == before
    assert len(decoded) == 1
    assert f"1 of {len(before)} images" in capsys.readouterr().out


@pytest.mark.parametrize("left", [0, 1000])
def test_an_array_that_was_cut_short_is_filled_again(
    filled: Callable[[], Pixels], left: int
) -> None:
    pixels = filled()
    before = content(pixels)
    os.truncate(pixels.path, left)
    assert content(filled()) == before


@pytest.mark.parametrize("damage", ["cut", "flipped", "missing"])
def test_a_damaged_table_is_written_again(
    filled: Callable[[], Pixels], decoded: list[str], damage: str
) -> None:
    pixels = filled()
    before = content(pixels)
    decoded.clear()
    table = folder_of(pixels) / TABLE
    if damage == "missing":
        table.unlink()
    elif damage == "cut":
        os.truncate(table, table.stat().st_size // 2)
    else:
        # In the first page: the digests of the files.
        whole = bytearray(table.read_bytes())
        whole[60] ^= 1
        table.write_bytes(whole)
    assert content(filled()) == before
    assert len(decoded) == len(before)


def test_readers_are_not_disturbed_by_who_adds(filled: Callable[[], Pixels], data: Path) -> None:
    pixels = filled()
    before = content(pixels)
    for number in range(5):
        Image.new("RGB", (50 + number, 40), "teal").save(data / "test" / f"more{number}.png")
        filled()
    assert content(pixels) == before


def test_all_unreadable_images_stand_in_one_message_and_the_others_are_kept(
    filled: Callable[[], Pixels], data: Path, decoded: list[str]
) -> None:
    broken = sorted((data / "test").iterdir())[:2]
    saved = [path.read_bytes() for path in broken]
    broken[0].write_bytes(b"no image at all")
    broken[1].write_bytes(saved[1][: len(saved[1]) // 2])
    with pytest.raises(InputError) as refusal:
        filled()
    assert "2 of " in refusal.value.what
    assert f"test/{broken[0].name}: not an image" in str(refusal.value)
    assert f"test/{broken[1].name}: damaged or cut short" in str(refusal.value)
    decoded.clear()
    for path, whole in zip(broken, saved, strict=True):
        path.write_bytes(whole)
    filled()
    assert sorted(decoded) == [path.name for path in broken]


def test_images_of_too_many_pixels_are_named_whether_they_are_in_the_cache_or_not(
    data: Path, tmp_path: Path, index_of: Callable[[Path], pd.DataFrame]
) -> None:
    Image.new("1", (3000, 2000)).save(data / "test" / "large.png")
    index = index_of(data)
    for allowed in (5_999_999, 6_000_000, 5_999_999):
        _, reasons = cache_readable_pixels(
            index, data, [SIZE], tmp_path / "cache", how=DecodeSettings(max_pixels=allowed)
        )
        told = "6 megapixels, allowed are 5.999999 (data.max_pixels)"
        assert reasons == ({} if allowed == 6_000_000 else {"test/large.png": told})


def test_files_with_one_bad_content_are_all_named(filled: Callable[[], Pixels], data: Path) -> None:
    images = sorted((data / "test").iterdir())
    for path in images[:3]:
        path.write_bytes(b"404 not found")
    for _ in range(2):  # the second time all others are in the cache
        with pytest.raises(InputError) as refusal:
            filled()
        assert "3 of 120 images" in refusal.value.what
        assert [detail.partition(":")[0] for detail in refusal.value.details] == [
            f"test/{path.name}" for path in images[:3]
        ]


def test_a_file_that_is_changed_meanwhile_is_never_kept_as_the_other(
    data: Path, tmp_path: Path, index_of: Callable[[Path], pd.DataFrame]
) -> None:
    image = data / "test" / "changing.png"
    Image.new("RGB", (40, 40), "red").save(image)
    original = image.read_bytes()
    index = index_of(data)
    Image.new("RGB", (40, 40), "blue").save(image)
    with pytest.raises(InputError, match="1 of 121") as refusal:
        cache_pixels(index, data, [SIZE], tmp_path / "cache")
    assert "test/changing.png: it has just been changed" in str(refusal.value)
    image.write_bytes(original)
    pixels = cache_pixels(index, data, [SIZE], tmp_path / "cache")[SIZE]
    file = index.set_index("id").loc["changing", "sha256"]
    assert pixels.rows([str(file)]).image(0)[0, 0].tolist() == [255, 0, 0]


def test_a_disk_that_is_too_small_is_refused_before_anything_is_decoded(
    filled: Callable[[], Pixels], decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(Path.cwd())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=64 << 20))
    with pytest.raises(InputError) as refusal:
        filled()
    assert decoded == []
    assert "free" in refusal.value.what
    assert "run.cache" in refusal.value.fix


def test_a_disk_that_fills_up_meanwhile_is_one_message_and_what_is_whole_is_kept(
    filled: Callable[[], Pixels], decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.pwrite

    def full(file: int, pixels: bytes, offset: int) -> int:
        if offset > 200_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, pixels, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        patch.setattr(cache_files, "BLOCK", 4)
        with pytest.raises(InputError, match="No space left") as refusal:
            filled()
    assert "run.cache" in refusal.value.fix
    decoded.clear()
    pixels = filled()
    assert 0 < len(decoded) < len(pixels.table)
    assert len(content(pixels)) == len(pixels.table)


def test_the_size_is_said_before_it_is_built(
    filled: Callable[[], Pixels], capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = filled()
    said = capsys.readouterr().out
    assert f"{len(pixels.table)} images to {SIZE} px" in said
    assert f"{pixels.path.stat().st_size / 1e6:.1f} MB" in said
    filled()
    assert capsys.readouterr().out == ""


def test_one_waits_for_another_who_fills_the_same_cache(
    filled: Callable[[], Pixels], decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = decode_to

    def slower(source: Any, size: int, **options: Any) -> object:
        time.sleep(0.01)
        return quick(source, size)

    monkeypatch.setattr(image_decoder, "decode_to", slower)
    found: list[dict[str, bytes]] = []
    # Two threads of one process stand for two processes: the lock knows no difference.
    threads = [threading.Thread(target=lambda: found.append(content(filled()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert len(decoded) == len(found[0])


KILLED = """
import sys
from pathlib import Path
from twinrun.data import cache_files, cache_filling, image_decoder
from twinrun.data.cache import cache_pixels
from twinrun.data.index import build_index
from twinrun.locks import wait_for_lock
from twinrun.config.reading import read_settings
cache_filling._SECONDS, cache_files.BLOCK = 0.0, 8
config, data, folder = map(Path, sys.argv[1:4])
slow = image_decoder.decode_to
def slower(path, size, **options):
    import time
    time.sleep(0.02)
    return slow(path, size, **options)
image_decoder.decode_to = slower
index = build_index(read_settings(config, data=data))
cache_pixels(index, data, [32], folder)
"""


@pytest.mark.slow
def test_a_cache_whose_builder_was_killed_is_filled_up(
    filled: Callable[[], Pixels],
    data: Path,
    tmp_path: Path,
    small_toml: Path,
    decoded: list[str],
) -> None:
    expected = content(filled())
    cache = tmp_path / "other"
    command = [sys.executable, "-c", KILLED, str(small_toml), str(data), str(cache)]
    for _ in range(3):
        process = subprocess.Popen(command)
        tables = len(list(cache.glob(f"*/{TABLE}")))
        deadline = time.monotonic() + 60
        while not list(cache.glob(f"*/{TABLE}")) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3 if tables else 0)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    decoded.clear()
    shutil.rmtree(tmp_path / "cache")
    cache.rename(tmp_path / "cache")
    assert content(filled()) == expected
    # Some were done before; nothing was left that no longer counts.
    assert 0 < len(decoded) < len(expected)
    assert not list((tmp_path / "cache").glob("*/*.part"))


def test_clearing_removes_it_and_nothing_else(filled: Callable[[], Pixels], tmp_path: Path) -> None:
    pixels = filled()
    own = tmp_path / "cache" / "notes.txt"
    own.write_text("mine")
    (listed,) = list_caches(tmp_path / "cache")
    assert listed.images == len(pixels.table)
    assert listed.nbytes == sum(f.stat().st_size for f in folder_of(pixels).iterdir())
    clear_caches(tmp_path / "cache")
    assert list_caches(tmp_path / "cache") == []
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["notes.txt"]
    own.unlink()
    filled()
    clear_caches(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_clearing_a_cache_that_is_being_filled_is_refused(
    filled: Callable[[], Pixels], tmp_path: Path
) -> None:
    pixels = filled()
    with (
        wait_for_lock(folder_of(pixels), "being filled"),
        pytest.raises(InputError, match="being added to by process"),
    ):
        clear_caches(tmp_path / "cache")
    assert pixels.path.exists()


def test_the_command_shows_and_clears(
    invoke: Command, filled: Callable[[], Pixels], small_toml: Path, tmp_path: Path
) -> None:
    pixels = filled()
    options = ("--config", small_toml, "--out", tmp_path)
    shown = invoke("cache", *options)
    assert shown.returncode == 0, shown.stderr
    assert folder_of(pixels).name in shown.stdout
    assert f"{len(pixels.table)}" in shown.stdout
    cleared = invoke("cache", "--clear", *options)
    assert cleared.returncode == 0
    assert "removed" in cleared.stdout
    assert not (tmp_path / "cache").exists()
    assert "no decoded images" in invoke("cache", *options).stdout


@pytest.mark.parametrize(("width", "height"), [(1000, 10), (10, 1000), (3000, 20)])
def test_a_banner_is_cut_around_its_middle(tmp_path: Path, width: int, height: int) -> None:
    picture = Image.new("RGB", (width, height), "red")
    middle = (width // 2 - 4, height // 2 - 4, width // 2 + 4, height // 2 + 4)
    picture.paste("blue", middle)
    picture.save(tmp_path / "banner.png")
    found = decode_to(tmp_path / "banner.png", 32)
    assert sorted(found.image.size) == [32, 128]
    assert (found.width, found.height) == (width, height)
    row = np.asarray(found.image)
    assert row[row.shape[0] // 2, row.shape[1] // 2].tolist() == [0, 0, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_jpeg_at_a_fraction_of_its_size_is_the_upright_picture(
    tmp_path: Path, orientation: int
) -> None:
    rows, columns = np.mgrid[0:601, 0:803]
    upright = np.stack([columns // 4, rows // 4, (rows + columns) // 8], -1).astype(np.uint8)
    turns = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: upright[:, ::-1].swapaxes(0, 1),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: upright[::-1].swapaxes(0, 1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(turns[orientation]))
    stored.save(tmp_path / "turned.jpg", quality=95, exif=exif)
    found = decode_to(tmp_path / "turned.jpg", 64)
    assert (found.width, found.height) == (803, 601)
    assert found.image.size == (86, 64)
    expected = Image.fromarray(upright).resize((86, 64), Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(found.image).astype(int) - np.asarray(expected)).max() < 12


def test_quiet_is_quiet(filled: Callable[[], Pixels], capsys: pytest.CaptureFixture[str]) -> None:
    console.quiet = True
    try:
        filled()
    finally:
        console.quiet = False
    assert capsys.readouterr().out == ""
