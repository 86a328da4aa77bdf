"""An audit of so many small drawn images that are in the cache already: seconds and peak memory.

`python -m tests.many COUNT FOLDER` prints them as JSON. Every hundredth image is a brighter copy of
another one.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from twinrun.audit.audit import audit
from twinrun.config.reading import read_settings
from twinrun.data.cache_files import in_blocks
from twinrun.data.pixels import Pixels

SIZE = 32
_BYTES = SIZE * SIZE * 3
EVERY = 100
SETTINGS = """
[competition]
name = "many"
classes = ["a", "b"]

[data]
folder = {folder!r}

[run]
seed = 0

[members.m]
network = "resnet18"
batch_size = 8
epochs = {{ frozen = 1, unfrozen = 0 }}
validation = {{ share = 0.1 }}
image_size = {size}
"""


def cached(count: int, folder: Path) -> tuple[pd.DataFrame, Pixels]:
    """An index of so many images, three in four for training, and their pixels, drawn in blocks."""
    names = [f"{number:07d}" for number in range(count)]
    path = folder / "pixels.u8"
    draws = np.random.default_rng(0)
    with path.open("wb") as file:
        for block in in_blocks(range(count)):
            images = draws.integers(0, 200, (len(block), SIZE, SIZE, 3), dtype=np.uint8)
            for place, number in enumerate(block):
                if number % EVERY == EVERY - 1 and place:
                    images[place] = images[place - 1] + 9
            file.write(images.tobytes())
    index = pd.DataFrame(
        {
            "part": ["test" if number < count // 4 else "train" for number in range(count)],
            "id": names,
            "label": ["" if number < count // 4 else "ab"[number % 2] for number in range(count)],
            "path": [f"{name}.png" for name in names],
            "bytes": _BYTES,
            "sha256": names,
            "group": names,
            "format": "PNG",
            "mode": "RGB",
            "width": SIZE,
            "height": SIZE,
            "orientation": 1,
            "note": "",
            "missing": "",
            "wide": False,
            "lowest": 0.0,
            "highest": 0.0,
            "not_numbers": 0,
            f"pixels_{SIZE}": names,
        }
    )
    table = pd.DataFrame(
        {"offset": np.arange(count) * _BYTES, "rows": SIZE, "columns": SIZE}, index=names
    )
    return index, Pixels(SIZE, path, table)


def main() -> None:
    """Draw, audit, print."""
    count, folder = int(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True)
    config = folder / "many.toml"
    config.write_text(SETTINGS.format(folder=str(folder), size=SIZE), encoding="utf-8")
    settings = read_settings(config)
    index, pixels = cached(count, folder)
    seconds = []
    groups = 0
    for _ in range(2):  # the second time the hashes are known
        started = time.perf_counter()
        groups = len(audit(index, {SIZE: pixels}, settings).groups)
        seconds.append(round(time.perf_counter() - started, 2))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"first": seconds[0], "again": seconds[1], "groups": groups, "MB": peak}))


if __name__ == "__main__":
    main()
