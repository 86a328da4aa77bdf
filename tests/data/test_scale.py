"""The range that wide images are seen in: of the training images alone, found once, and kept."""

from __future__ import annotations

import errno
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from twinrun.data import image_decoder
from twinrun.data import scale as scales
from twinrun.data.cache import cache_pixels, cache_readable_pixels, with_pixels
from twinrun.data.cache_files import clear_caches, list_caches
from twinrun.data.cache_key import cache_name
from twinrun.data.decode_settings import DecodeSettings
from twinrun.data.decoding import Header, decode_to, read_header, read_values
from twinrun.data.opening import MOST_PIXELS
from twinrun.data.pixels import Pixels
from twinrun.data.wide_values import ValueRange
from twinrun.errors import InputError
from twinrun.plain_files import read_bytes

SIZE = 8
Scale = ValueRange | Literal["auto"]


class Folder:
    """A data folder of drawn images, and its caches."""

    def __init__(self, root: Path) -> None:
        self.data, self.cache = root / "data", root / "cache"
        self.rows: list[tuple[str, str]] = []

    def draw(self, part: str, name: str, values: np.ndarray) -> None:
        """Add an image, or draw it anew."""
        path = self.data / part / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(path)
        if (part, name) not in self.rows:
            self.rows.append((part, name))

    def index(self) -> pd.DataFrame:
        """As `build_index` makes it."""
        paths = [f"{part}/{name}" for part, name in self.rows]
        return pd.DataFrame(
            {
                "part": [part for part, _ in self.rows],
                "id": [name for _, name in self.rows],
                "path": paths,
                "sha256": [
                    hashlib.sha256((self.data / path).read_bytes()).hexdigest() for path in paths
                ],
            }
        )

    def readable(self, max_pixels: int) -> tuple[ValueRange | None, dict[str, str]]:
        """As a run that goes on without unreadable images: their range, and what is unreadable."""
        how = DecodeSettings(max_pixels=max_pixels)
        pixels, reasons = cache_readable_pixels(
            self.index(), self.data, [SIZE], self.cache, how=how
        )
        return pixels[SIZE].scale, reasons

    def pixels(self, scale: Scale = "auto", size: int = SIZE, *, part: bool = False) -> Pixels:
        """Fill the cache as a run does."""
        return cache_pixels(
            self.index(), self.data, [size], self.cache, how=DecodeSettings(scale=scale, part=part)
        )[size]

    def image(self, part: str, name: str, scale: Scale = "auto") -> list[Any]:
        """What an image is in the cache: its greys."""
        pixels, index = self.pixels(scale), self.index()
        [sha256] = index.loc[index["path"] == f"{part}/{name}", "sha256"]
        found: list[Any] = pixels.rows([sha256]).image(0)[..., 0].tolist()
        return found


def picture(low: float, high: float, kind: type[np.generic] = np.uint16) -> np.ndarray:
    return np.linspace(low, high, SIZE * SIZE).reshape(SIZE, SIZE).astype(kind)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    made.draw("train", "a.png", picture(16, 3000))
    made.draw("train", "b.png", picture(100, 3936))
    made.draw("test", "c.png", picture(0, 65_000))
    return made


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose values were looked at for the range."""
    names: list[str] = []

    def counted(path: Path) -> bytes:
        names.append(path.name)
        return read_bytes(path)

    monkeypatch.setattr(scales, "read_bytes", counted)
    return names


def test_the_range_is_what_the_training_images_reach(folder: Folder) -> None:
    assert folder.pixels().scale == ValueRange(16, 3936)
    assert folder.image("train", "a.png")[0][0] == 0
    assert folder.image("train", "b.png")[-1][-1] == 255
    # What a test image has beyond it is clipped.
    assert folder.image("test", "c.png")[-1][-1] == 255


def test_a_test_image_changes_no_other(folder: Folder) -> None:
    before = folder.image("train", "a.png"), folder.image("test", "c.png")
    folder.draw("test", "d.png", picture(0, 9))
    assert (folder.image("train", "a.png"), folder.image("test", "c.png")) == before


def test_a_training_image_that_is_a_test_image_too_has_its_say(folder: Folder) -> None:
    folder.draw("train", "d.png", picture(0, 65_000))
    folder.rows.sort()
    assert folder.pixels().scale == ValueRange(0, 65_000)
    only = Folder(folder.data.parent / "only")
    for part in ("test", "train"):
        only.draw(part, "a.png", picture(5, 900))
    assert only.pixels().scale == ValueRange(5, 900)


def test_what_a_run_was_allowed_before_changes_nothing(folder: Folder) -> None:
    folder.draw("train", "large.png", np.tile(picture(0, 60_000), (2, 2)))
    whole, allowed = ValueRange(0, 60_000), SIZE * SIZE
    for _ in range(2):
        scale, reasons = folder.readable(allowed)
        assert scale == ValueRange(16, 3936)
        assert list(reasons) == ["train/large.png"]
        assert folder.readable(4 * allowed) == (whole, {})


def test_an_image_that_could_not_be_opened_once_has_its_say_later(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path, **options: Any) -> Header:
        if path.name == "b.png":
            raise OSError(errno.EIO, "Input/output error")
        return read_header(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(scales, "read_header", fails)
        with pytest.raises(InputError, match=r"the reading of 1 of 3 images .* was hindered"):
            folder.readable(MOST_PIXELS)
    assert folder.pixels().scale == ValueRange(16, 3936)


def test_the_order_of_the_files_changes_nothing(folder: Folder) -> None:
    before = folder.pixels()
    folder.rows.reverse()
    clear_caches(folder.cache)
    assert not folder.cache.exists()
    after = folder.pixels()
    assert after.scale == before.scale
    assert after.table["digest"].to_dict() == before.table["digest"].to_dict()


def test_each_wide_training_image_is_looked_at_once(folder: Folder, looked: list[str]) -> None:
    folder.pixels()
    folder.pixels()
    folder.pixels(size=16)
    assert sorted(looked) == ["a.png", "b.png"]
    folder.draw("train", "e.png", picture(0, 4000))
    assert folder.pixels().scale == ValueRange(0, 4000)
    assert looked[2:] == ["e.png"]


def test_a_test_image_that_becomes_a_training_image_is_looked_at(folder: Folder) -> None:
    folder.pixels()
    folder.rows[folder.rows.index(("test", "c.png"))] = ("train", "c.png")
    (folder.data / "test" / "c.png").rename(folder.data / "train" / "c.png")
    assert folder.pixels().scale == ValueRange(0, 65_000)


def test_another_range_is_another_cache(folder: Folder) -> None:
    auto = folder.pixels()
    asked = folder.pixels(ValueRange(0, 255))
    assert asked.scale == ValueRange(0, 255)
    assert auto.path != asked.path
    assert auto.path.parent.name == cache_name(SIZE, ValueRange(16, 3936))
    assert len(list_caches(folder.cache)) == 2


def test_a_range_that_is_asked_for_needs_no_look(folder: Folder, looked: list[str]) -> None:
    assert folder.image("train", "a.png", ValueRange(16, 3000))[-1][-1] == 255
    assert not looked


def test_images_of_8_bits_know_no_range_and_none_changes_their_cache(folder: Folder) -> None:
    plain = Folder(folder.data.parent / "plain")
    plain.draw("train", "a.png", picture(3, 200, np.uint8))
    plain.draw("test", "b.png", picture(9, 90, np.uint8))
    for scale in ("auto", ValueRange(0, 4095)):
        pixels = plain.pixels(scale)
        assert pixels.scale is None
        assert pixels.path.parent.name == cache_name(SIZE)
    assert [each.name for each in plain.cache.iterdir()] == [cache_name(SIZE)]


def test_beside_wide_images_those_of_8_bits_keep_their_bits(folder: Folder) -> None:
    folder.draw("train", "plain.png", picture(3, 200, np.uint8))
    assert folder.image("train", "plain.png") == picture(3, 200, np.uint8).tolist()
    # And have no say in the range.
    assert folder.pixels().scale == ValueRange(16, 3936)


def test_wide_images_that_come_to_others_are_seen(folder: Folder) -> None:
    plain = Folder(folder.data.parent / "plain")
    plain.draw("train", "a.png", picture(3, 200, np.uint8))
    plain.draw("test", "b.png", picture(3, 200, np.uint8))
    plain.pixels()
    plain.draw("train", "c.png", picture(5, 900))
    assert plain.pixels().scale == ValueRange(5, 900)
    plain.rows.pop()
    assert plain.pixels().scale is None


def test_without_a_wide_training_image_the_range_has_to_be_named(folder: Folder) -> None:
    for name in ("a.png", "b.png"):
        folder.draw("train", name, picture(0, 255, np.uint8))
    with pytest.raises(InputError, match=r"1 test images .* more than 8 bits a value") as caught:
        folder.pixels()
    assert "data.range" in str(caught.value)
    assert folder.image("test", "c.png", ValueRange(0, 65_000))[-1][-1] == 255


def cut(folder: Folder, *paths: str) -> None:
    """Cut files short, whose headers stay."""
    for path in paths:
        content = (folder.data / path).read_bytes()
        (folder.data / path).write_bytes(content[:60])


def test_no_range_is_asked_for_where_no_wide_image_can_be_read(folder: Folder) -> None:
    for name in ("a.png", "b.png"):
        folder.draw("train", name, picture(0, 255, np.uint8))
    folder.draw("test", "d.png", picture(0, 255, np.uint8))
    cut(folder, "test/c.png")
    scale, reasons = folder.readable(MOST_PIXELS)
    assert scale is None
    assert list(reasons) == ["test/c.png"]
    assert reasons["test/c.png"].startswith("damaged or cut short")


def test_wide_training_images_that_cannot_be_read_are_left_out(folder: Folder) -> None:
    folder.draw("train", "plain.png", picture(0, 255, np.uint8))
    folder.draw("test", "c.png", picture(0, 254, np.uint8))
    cut(folder, "train/a.png", "train/b.png")
    scale, reasons = folder.readable(MOST_PIXELS)
    assert scale is None
    assert sorted(reasons) == ["train/a.png", "train/b.png"]
    # With one to be seen, and none to tell in which range, it has to be named.
    folder.draw("test", "d.png", picture(0, 65_000))
    with pytest.raises(InputError, match=r"1 images .* no training image of these can") as caught:
        folder.readable(MOST_PIXELS)
    assert "data.range" in str(caught.value)
    assert "test/d.png" in str(caught.value)
    # A part may be there of those that are cut short: it has no range either.
    with pytest.raises(InputError, match=r"3 images .* no training image of these can"):
        folder.pixels(part=True)


def test_all_that_is_wrong_is_told_at_once(folder: Folder) -> None:
    folder.draw("train", "plain.png", picture(0, 255, np.uint8))
    cut(folder, "train/a.png", "train/b.png", "train/plain.png")
    with pytest.raises(InputError) as caught:
        folder.pixels()
    text = " ".join(str(caught.value).split())
    assert "3 of 4 images" in text
    for name in ("train/a.png: damaged", "train/b.png: damaged", "train/plain.png: damaged"):
        assert name in text
    assert "data.range" in text
    assert "test/c.png" in text


def test_large_wide_images_are_decoded_one_at_a_time(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        folder.draw("train", f"n{number}.png", picture(0, 100 + number))
    at_once: list[bool] = []
    inside = Lock()

    def alone(decode: Callable[..., Any]) -> Callable[..., Any]:
        def decoded(*arguments: Any, **options: Any) -> Any:
            alone = inside.acquire(blocking=False)
            at_once.append(alone)
            time.sleep(0.01)
            if alone:
                inside.release()
            return decode(*arguments, **options)

        return decoded

    monkeypatch.setattr(scales, "read_values", alone(read_values))
    monkeypatch.setattr(image_decoder, "decode_to", alone(decode_to))
    # Each of them is as large as three of its size that have 8 bits a value.
    monkeypatch.setattr(image_decoder, "LARGE", 3 * SIZE * SIZE - 1)
    folder.pixels()
    assert at_once == [True] * 17


def test_a_file_that_changes_meanwhile_is_not_looked_at(folder: Folder) -> None:
    index = folder.index()
    folder.draw("train", "b.png", picture(100, 9000))
    with pytest.raises(InputError, match=r"train/b\.png: it has just been changed"):
        cache_readable_pixels(index, folder.data, [SIZE], folder.cache)
    assert folder.pixels().scale == ValueRange(16, 9000)


def test_one_value_in_all_images_is_nothing_to_see(folder: Folder) -> None:
    for name in ("a.png", "b.png"):
        folder.draw("train", name, picture(7, 7))
    with pytest.raises(InputError, match="hold one value only, 7: there is nothing to see"):
        folder.pixels()
    assert not folder.cache.exists() or not list_caches(folder.cache)


def test_what_is_no_finite_number_has_no_say(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    values = picture(0.25, 0.75, np.float32)
    values[0, 0], values[0, 1], values[0, 2] = np.nan, np.inf, -np.inf
    folder.draw("train", "a.tif", values)
    folder.draw("test", "b.tif", picture(0, 1, np.float32))
    pixels = folder.pixels()
    assert pixels.scale == ValueRange(float(values[0, 3]), 0.75)
    assert folder.image("train", "a.tif")[0][:3] == [0, 255, 0]
    shown = with_pixels(folder.index(), {SIZE: pixels})
    assert shown["not_numbers"].tolist() == [1, 0]
    assert shown["highest"].tolist() == [0.75, 1.0]


def test_a_damaged_table_of_what_is_known_is_made_anew(folder: Folder, looked: list[str]) -> None:
    before = folder.pixels().scale
    [table] = folder.cache.glob("values-*.parquet")
    table.write_bytes(table.read_bytes()[:-1] + b"?")
    assert folder.pixels().scale == before
    assert len(looked) == 4


def test_files_that_cannot_be_read_are_told_with_their_own_reason(folder: Folder) -> None:
    for name in ("a.png", "b.png"):
        path = folder.data / "train" / name
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match=r"2 of 3 images in .* cannot be read") as caught:
        folder.pixels()
    assert "train/a.png: damaged or cut short" in str(caught.value)
    folder.draw("train", "b.png", picture(100, 3936))
    with pytest.raises(InputError, match=r"1 of 3 images in .* cannot be read") as caught:
        folder.pixels()
    assert "train/a.png: damaged or cut short" in str(caught.value)


def test_a_part_has_no_say_in_the_range(folder: Folder) -> None:
    folder.draw("train", "d.tif", picture(0, 60_000))
    path = folder.data / "train" / "d.tif"
    path.write_bytes(path.read_bytes()[:-20])
    pixels = folder.pixels(part=True)
    assert pixels.scale == ValueRange(16, 3936)
    assert (pixels.table["missing"] != "").sum() == 1
