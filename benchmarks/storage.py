"""What stands before training: the index, the cache; and the memory that many images take."""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

from PIL import Image

from benchmarks.contestants import SETTINGS
from benchmarks.drawing import SIZES, draw_photos, draw_small
from benchmarks.table import Figure, alternated, ratio
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.console import console
from twinrun.data.cache import cache_pixels
from twinrun.data.index import build_index

if TYPE_CHECKING:
    from benchmarks.__main__ import Given

_MANY = 100_000
# Before the memory is measured, an epoch of the larger number.
_BATCHES = 320


def decode(given: Given, told: Callable[[str], None]) -> list[Figure]:
    """Filling the cache, against as many processes of bare Pillow as there are cores.

    Bare Pillow decodes with draft mode to twice the size and resizes by the same filter, and keeps
    nothing; one process, times the cores.
    """
    figures = []
    cores = os.cpu_count() or 1
    for photos in SIZES:
        folder = draw_photos(given.folder, photos, given.images)
        settings = _settings(folder, given)
        (size,) = settings.cached_sizes()
        index = build_index(settings)
        paths = [folder / path for path in index["path"]]

        def ours(index=index, paths=paths, folder=folder, size=size) -> float:  # type: ignore[no-untyped-def]
            rmtree(folder / "fresh", ignore_errors=True)
            started = time.perf_counter()
            cache_pixels(index, folder, [size], folder / "fresh")
            return len(paths) / (time.perf_counter() - started)

        def bare(paths=paths, size=size) -> float:  # type: ignore[no-untyped-def]
            started = time.perf_counter()
            for path in paths:
                _bare(path, size)
            return cores * len(paths) / (time.perf_counter() - started)

        bare()  # the files are in memory then, for both
        found = alternated(given.rounds, {"ours": ours, "bare": bare}, told)
        medians = [statistics.median(found[name]) for name in ("ours", "bare")]
        figures.append(
            Figure(
                f"decoding the cache, {photos}, images/s",
                f"{cores} x bare Pillow",
                ratio(found["ours"], found["bare"]),
                0.9,
                True,
                "",
                f"{medians[0]:.0f} against {medians[1]:.0f}",
            )
        )
    return figures


def _bare(path: Path, size: int) -> None:
    with Image.open(path) as file:
        width, height = file.size
        file.draft("RGB", (2 * size, 2 * size))
        image = file.convert("RGB")
    scale = size / min(width, height)
    image.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)


def index(given: Given, told: Callable[[str], None]) -> list[Figure]:
    """The index of many small files, against a loop that digests them."""
    folder = given.folder / "small"
    draw_small(folder, _MANY)
    settings = _settings(folder, given)
    paths = sorted(path for path in folder.rglob("*.jpg"))

    def ours() -> float:
        started = time.perf_counter()
        build_index(settings)
        return time.perf_counter() - started

    def bare() -> float:
        started = time.perf_counter()
        for path in paths:
            hashlib.sha256(path.read_bytes()).hexdigest()
        return time.perf_counter() - started

    bare()
    found = alternated(given.rounds, {"ours": ours, "bare": bare}, told)
    medians = [statistics.median(found[name]) for name in ("ours", "bare")]
    return [
        Figure(
            f"index of {_MANY:,} small files",
            "bare SHA-256",
            ratio(found["ours"], found["bare"]),
            1.3,
            False,
            "",
            f"{medians[0]:.2f} s against {medians[1]:.2f} s",
        )
    ]


def memory(given: Given, told: Callable[[str], None]) -> list[Figure]:
    """Anonymous memory of a process that has read batches from the cache: 10,000 images, 1,000.

    What is in use: glibc is told to give back what was freed. The settings that Twinrun starts with
    keep it for the next tensors, and how much that is differs from run to run by more than all
    images take.
    """
    seen = {}
    given_back = {"MALLOC_MMAP_MAX_": "65536", "MALLOC_MMAP_THRESHOLD_": "65536"}
    variables = {**os.environ, **given_back, "MALLOC_TRIM_THRESHOLD_": "65536"}
    for count in (1_000, 10_000):
        folder = given.folder / f"memory-{count}"
        draw_small(folder, count)
        _settings(folder, given)
        command = [sys.executable, "-m", "benchmarks.storage", str(folder)]
        answer = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
        seen[count] = float(answer.stdout.split()[-1])
        told(f"{count:,} images: {seen[count]:.0f} MB")
    return [
        Figure(
            "anonymous memory, 10,000 images",
            "1,000 images",
            seen[10_000] - seen[1_000],
            50,
            False,
            " MB",
            f"{seen[10_000]:.0f} MB against {seen[1_000]:.0f} MB",
        )
    ]


def _settings(folder: Path, given: Given) -> Settings:
    text = SETTINGS.format(
        folder=str(folder),
        threads=given.threads,
        network="resnet18",
        size=given.size,
        batch=given.batch,
        precision="fp32",
        share=0.01,
    )
    path = folder / "benchmark.toml"
    path.write_text(text, encoding="utf-8")
    return read_settings(path)


def _anonymous_memory(folder: Path) -> float:
    """MB, of this process, after as many batches as an epoch of the larger number has."""
    import torch

    from twinrun.data.cache import with_pixels
    from twinrun.repro.environment import set_up
    from twinrun.train.members import set_up_training

    console.quiet = True
    settings = read_settings(folder / "benchmark.toml")
    environment = set_up(threads=settings.run.threads, device="cpu")
    index = build_index(settings)
    pixels = cache_pixels(index, folder, settings.cached_sizes(), folder / "cache")
    index = with_pixels(index, pixels)
    workshop = set_up_training("m", settings, index, pixels, environment)
    total, batches = torch.zeros(()), 0
    while batches < _BATCHES:
        for images, _ in workshop.loaders.train:
            total += images.sum()
            batches += 1
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    print(_anonymous_memory(Path(sys.argv[1])))  # noqa: T201
