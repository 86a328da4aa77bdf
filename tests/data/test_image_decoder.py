"""Images decoded by many threads: of those that take the memory of many one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pytest
from PIL import Image

from twinrun.data import a_few, image_decoder
from twinrun.data.decode_settings import DecodeSettings
from twinrun.data.decoding import decode_to
from twinrun.data.image_decoder import ImageDecoder
from twinrun.predict.feed import Decoder

SIDE = 9


def by_itself(paths: list[Path]) -> None:
    decoder = ImageDecoder(DecodeSettings(), None)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda path: decoder.decode(path, path.read_bytes(), [8]), paths))


def of_a_prediction(paths: list[Path]) -> None:
    decoder = Decoder(DecodeSettings(), [8])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda path: decoder.decode(path.stem, path), paths))


def of_a_dry_run(paths: list[Path]) -> None:
    a_few._decode([path.name for path in paths], paths[0].parent, 8, DecodeSettings())


@pytest.mark.parametrize("decode_all", [by_itself, of_a_prediction, of_a_dry_run])
@pytest.mark.parametrize("large", [True, False])
def test_large_images_are_decoded_one_at_a_time(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    decode_all: Callable[[list[Path]], None],
    large: bool,
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(8)]
    for path in paths:
        Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8)).save(path)
    inside, alone = Lock(), list[bool]()

    def watched(*arguments: Any, **options: Any) -> Any:
        free = inside.acquire(blocking=False)
        alone.append(free)
        time.sleep(0.02)
        if free:
            inside.release()
        return decode_to(*arguments, **options)

    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr(image_decoder, "decode_to", watched)
    monkeypatch.setattr(image_decoder, "LARGE", SIDE * SIDE - large)
    decode_all(paths)
    assert len(alone) == len(paths)
    assert all(alone) == large
