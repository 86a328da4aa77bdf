"""Why an image that may be whole was not read: it is no damage, and nothing goes on without it."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image, ImageFile

from twinrun.data import cache_filling as caches
from twinrun.data import decoding
from twinrun.data import index as indices
from twinrun.data.cache import cache_pixels, cache_readable_pixels
from twinrun.data.decode_settings import DecodeSettings
from twinrun.data.opening import UnreadableImage
from twinrun.errors import InputError

SIZE = 16
ERRORS: dict[str, Exception] = {
    "memory": MemoryError(),
    "memory within a decoder": OSError("out of memory when reading image file"),
    "a disk that fails": OSError(errno.EIO, "Input/output error"),
    "too many open files": OSError(errno.EMFILE, "Too many open files"),
}
Fill = Callable[..., object]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """One image whose colours are noise, so that a part of it is no even picture."""
    path = tmp_path / "data" / "train" / "a.png"
    path.parent.mkdir(parents=True)
    Image.effect_noise((48, 48), 90).convert("RGB").save(path)
    return path


def table(data: Path) -> pd.DataFrame:
    sha256 = hashlib.sha256(data.read_bytes()).hexdigest()
    return pd.DataFrame(
        [["train", "a", "train/a.png", sha256]], columns=["part", "id", "path", "sha256"]
    )


def fill(data: Path, how: DecodeSettings = DecodeSettings()) -> pd.DataFrame:  # noqa: B008
    root = data.parent.parent
    return cache_pixels(table(data), root, [SIZE], root.parent / "cache", how=how)[SIZE].table


def without(data: Path) -> object:
    root = data.parent.parent
    return cache_readable_pixels(table(data), root, [SIZE], root.parent / "cache")


def failing(error: Exception) -> Callable[..., object]:
    def fails(*_: object, **__: object) -> object:
        raise error

    return fails


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("where", ["pixels", "file"])
def test_it_stops_whatever_the_settings_say_and_nothing_of_it_is_kept(
    data: Path, monkeypatch: pytest.MonkeyPatch, kind: str, where: str
) -> None:
    with monkeypatch.context() as patched:
        if where == "pixels":
            patched.setattr(ImageFile.ImageFile, "load", failing(ERRORS[kind]))
        else:
            patched.setattr(caches, "read_bytes", failing(ERRORS[kind]))
        for way in (fill, lambda data: fill(data, DecodeSettings(part=True)), without):
            with pytest.raises(InputError, match=r"the reading of 1 of 1 images .* was hindered"):
                way(data)
    assert fill(data)["missing"].tolist() == [""]


def test_while_a_part_is_read_too(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data.write_bytes(data.read_bytes()[:3000])
    load = ImageFile.ImageFile.load
    calls: list[object] = []

    def fails_later(file: ImageFile.ImageFile) -> object:
        calls.append(file)
        if len(calls) > 1:
            raise MemoryError
        return load(file)

    with monkeypatch.context() as patched:
        patched.setattr(ImageFile.ImageFile, "load", fails_later)
        with pytest.raises(InputError, match="more memory than there is"):
            fill(data, DecodeSettings(part=True))
    assert "damaged" in fill(data, DecodeSettings(part=True))["missing"].item()


def test_a_file_that_was_changed_since_it_was_listed_is_not_damaged(data: Path) -> None:
    listed, root = table(data), data.parent.parent
    for content in (b"", data.read_bytes()[:3000]):
        data.write_bytes(content)
        with pytest.raises(InputError, match=r"train/a\.png: it has just been changed"):
            cache_readable_pixels(listed, root, [SIZE], root.parent / "cache")


def test_a_fault_of_our_own_is_none_of_the_image(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "_middle", failing(ValueError("a fault")))
    with pytest.raises(ValueError, match="a fault"):
        decoding.decode_to(data, SIZE)
    # What a decoder raises is the file's.
    monkeypatch.setattr(ImageFile.ImageFile, "load", failing(ValueError("a file")))
    with pytest.raises(UnreadableImage, match="a file"):
        decoding.decode_to(data, SIZE)


def test_a_folder_that_cannot_be_read_for_a_while(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = data.parent.parent
    monkeypatch.setattr(indices, "_read", failing(OSError(errno.EIO, "Input/output error")))
    with pytest.raises(InputError, match=r"train/a\.png: Input/output error"):
        indices._read_all(["train/a.png"], folder)
    monkeypatch.setattr(indices, "_read", failing(OSError(errno.EACCES, "Permission denied")))
    assert indices._read_all(["train/a.png"], folder)[2] == {"train/a.png": "Permission denied"}
