"""New images, decoded: what is damaged is told of each, and what hinders their reading stops."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageFile

from twinrun.data.decode_settings import DecodeSettings
from twinrun.errors import InputError
from twinrun.predict.feed import Decoder


def test_want_of_memory_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (9, 9)).save(path)
    decoder = Decoder(DecodeSettings(), [8])
    assert decoder.decode("a", path).problem == ""
    (tmp_path / "b.png").write_bytes(b"404")
    assert "not an image" in decoder.decode("b", tmp_path / "b.png").problem
    assert decoder.decode("c", tmp_path / "c.png").problem == "No such file or directory"

    def fails(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", fails)
    with pytest.raises(InputError, match=r"a\.png: it takes more memory than there is"):
        decoder.decode("a", path)
