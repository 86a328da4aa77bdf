"""What a prediction of new images waits for, and the memory that many images take."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.contestants import SETTINGS
from benchmarks.drawing import draw_photos, draw_small
from benchmarks.table import Figure, alternated
from twinrun import prepare, submit, train_run
from twinrun.config.reading import read_settings
from twinrun.console import console
from twinrun.data.decode_settings import DecodeSettings
from twinrun.networks.table import family_of
from twinrun.predict.feed import Decoder, decode_ahead
from twinrun.predict.images import NewImages
from twinrun.train.network import Network, build_head
from twinrun.train.predict import logits_of

if TYPE_CHECKING:
    from benchmarks.__main__ import Given

_COUNTS = (1_000, 10_000)
# Images that are decoded together, and those of one step of the network.
_CHUNK, _ROWS = 32, 8
# Each photo is predicted so often: the first images, which nothing is computed beside, then count
# as little as they do in a folder of many.
_TIMES = 4
_SMALL = 64


def beside(given: Given, told: Callable[[str], None]) -> list[Figure]:
    """Decoding beside computing, a core each, against the slower of the two alone.

    The network takes as many steps as fill the time that decoding takes: the hardest case, in which
    neither hides what the other waits for.
    """
    folder = draw_photos(given.folder, "1300 px", given.images)
    paths = tuple(sorted(folder.rglob("*.jpg"))) * _TIMES
    images = NewImages(tuple(map(str, range(len(paths)))), paths)
    decoder = Decoder(DecodeSettings(), [given.size * 3 // 2])
    torch.set_num_threads(1)
    step = _step(given.size)
    chunks = -(-len(paths) // _CHUNK)

    def decoding() -> float:
        return _seconds(lambda: [None for _ in decode_ahead(images, decoder, **how)])

    def computing() -> float:
        return _seconds(lambda: [step() for _ in range(chunks * steps)])

    def both() -> float:
        return _seconds(
            lambda: [step() for _ in decode_ahead(images, decoder, **how) for _ in range(steps)]
        )

    how = {"threads": 1, "chunk": _CHUNK}
    decoding()  # the files are in memory then
    steps = 1
    steps = max(1, round(decoding() / computing()))
    found = alternated(
        given.rounds, {"decoding": decoding, "computing": computing, "both": both}, told
    )
    slower = [max(pair) for pair in zip(found["decoding"], found["computing"], strict=True)]
    rates = [len(paths) / statistics.median(found[name]) for name in found]
    told(f"{steps} steps of {_ROWS} images beside {_CHUNK} that are decoded")
    return [
        Figure(
            "new images, decoding beside computing",
            "the slower of them alone, a core each",
            statistics.median(
                alone / together for alone, together in zip(slower, found["both"], strict=True)
            ),
            0.9,
            True,
            "",
            "{2:.1f} images/s against {0:.1f} and {1:.1f}".format(*rates),
        )
    ]


def _step(size: int) -> Callable[[], object]:
    """A prediction of a few images by a ResNet-18."""
    family = family_of("resnet18")
    head = build_head(family.features("resnet18", size), 2, 0.5)
    network = Network(family.build("resnet18", size), head, "fp32").eval()
    images = torch.rand(_ROWS, 3, size, size)
    return lambda: logits_of(network, images, _ROWS)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def new_memory(given: Given, told: Callable[[str], None]) -> list[Figure]:
    """The most memory that `twinrun predict` has in use: 10,000 images against 1,000."""
    run = _small_run(given)
    seen = {}
    for count in _COUNTS:
        folder = given.folder / f"memory-{count}"
        draw_small(folder, count)
        seen[count] = _most_memory(run, folder / "train", given.folder / "predicted.csv")
        told(f"{count:,} images: {seen[count]:.0f} MB")
    few, many = (seen[count] for count in _COUNTS)
    return [
        Figure(
            "most memory of a prediction, 10,000 images",
            "1,000 images",
            many / few,
            1.2,
            False,
            "",
            f"{many:.0f} MB against {few:.0f} MB",
        )
    ]


def _small_run(given: Given) -> Path:
    """A run of one ResNet-18 on a few small images."""
    folder = given.folder / "memory-run"
    run = folder / "runs" / "full"
    if (run / "manifest.json").is_file():
        return run
    draw_small(folder, 2 * _ROWS)
    (folder / "sample_submission.csv").write_text("ID,a,b\nt,0,0\n", encoding="utf-8")
    text = SETTINGS.format(
        folder=str(folder),
        threads=given.threads,
        network="resnet18",
        size=_SMALL,
        batch=_ROWS,
        precision="fp32",
        share=0.2,
    )
    (folder / "benchmark.toml").write_text(text, encoding="utf-8")
    settings = read_settings(folder / "benchmark.toml")
    started, console.quiet = time.perf_counter(), True
    prepared = prepare.prepare(settings, run)
    train_run.train(prepared, list(settings.members), started)
    submit.blend_run(run, settings, prepared.sample_path, run / "submission.csv")
    prepare.keep_record(prepared, started)
    console.quiet = False
    return run


def _most_memory(run: Path, images: Path, output: Path) -> float:
    """MB, of a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "twinrun", "predict", str(run)]
    command += ["--images", str(images), "--output", str(output), "--quiet"]
    with subprocess.Popen(command) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"no predictions, code {process.returncode}")
    return usage.ru_maxrss / 1024
