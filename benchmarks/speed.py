"""Images a second, against the limit, stock fastai and a plain torch loop; the reference job."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from benchmarks.contestants import Ours, Task, limit, plain, stock
from benchmarks.drawing import draw_photos
from benchmarks.table import Figure, alternated, ratio
from twinrun.config.reading import read_settings
from twinrun.console import clock

if TYPE_CHECKING:
    from benchmarks.__main__ import Given

# At least so many times as fast, on a CPU with two cores.
_STOCK = {("1300 px", "fp32"): 1.4, ("1300 px", "bf16"): 3.5, ("12 MP", "bf16"): 5.0}
_PLAIN = {("1300 px", "fp32"): 1.4, ("1300 px", "bf16"): 3.5}
# Of the limit: on a CPU, on a GPU.
_LIMIT = {"fp32": (0.95, 0.90), "bf16": (0.90, 0.90)}


def measure(given: Given, told: Callable[[str], None]) -> list[Figure]:
    """Training, epoch 2."""
    figures = []
    for network in given.networks:
        for photos in ("1300 px", "12 MP"):
            figures += _measured(given, network, photos, told)
    return figures


def against_limit(given: Given, told: Callable[[str], None]) -> list[Figure]:
    """Training, epoch 2, against the limit alone, on photos of 1300 px."""
    limits = ("ours fp32", "limit fp32", "limit bf16", "ours bf16")
    return [
        figure
        for network in given.networks
        for figure in _measured(given, network, "1300 px", told, limits)
    ]


def _measured(
    given: Given,
    network: str,
    photos: str,
    told: Callable[[str], None],
    chosen: Sequence[str] | None = None,
) -> list[Figure]:
    task = task_of(given, network, photos)
    ours = Ours(task, given.environment)
    small = photos == "1300 px"
    # Neighbours are compared with each other: a machine's speed may change within a minute.
    contestants: dict[str, Callable[[], float]] = {
        "ours fp32": lambda: ours.speed("fp32"),
        "limit fp32": lambda: limit(task, ours, "fp32"),
        "limit bf16": lambda: limit(task, ours, "bf16"),
        "ours bf16": lambda: ours.speed("bf16"),
        "stock fastai": lambda: stock(task),
        "plain torch": lambda: plain(task),
    }
    if not small:
        chosen = ("ours bf16", "stock fastai")
    contestants = {name: contestants[name] for name in chosen or contestants}
    found = alternated(given.rounds, contestants, lambda text: told(f"{network}, {photos}, {text}"))
    on_gpu = given.device == "cuda"
    pairs = [
        ("limit fp32", "fp32", _LIMIT["fp32"][on_gpu]),
        ("limit bf16", "bf16", _LIMIT["bf16"][on_gpu]),
        *(("stock fastai", precision, _STOCK.get((photos, precision))) for precision in _LIMIT),
        *(("plain torch", precision, _PLAIN.get((photos, precision))) for precision in _LIMIT),
    ]
    figures = []
    for other, precision, bound in pairs:
        if other in found and f"ours {precision}" in found and bound is not None:
            mine, theirs = found[f"ours {precision}"], found[other]
            seen = f"{statistics.median(mine):.1f} against {statistics.median(theirs):.1f}"
            what = f"{network}, {photos}, images/s {precision}"
            figures.append(Figure(what, other, ratio(mine, theirs), bound, True, "", seen))
    return figures


def task_of(given: Given, network: str, photos: str) -> Task:
    """The measurement's task, its photos drawn."""
    folder = draw_photos(given.folder, photos, given.images)
    return Task(folder, given.images, network, given.size, given.batch, given.threads, given.device)


def reference(given: Given, told: Callable[[str], None]) -> list[Figure]:
    """The 13th place's ten members, 627 epochs: projected from an epoch of each network in bf16.

    Every epoch is taken as one of all layers; the frozen ones, of which most are, are shorter.
    """
    settings = read_settings()
    networks = sorted({member.network for member in settings.members.values()})
    speeds = {}
    for network in networks:
        ours = Ours(task_of(given, network, "1300 px"), given.environment)
        speeds[network] = ours.speed("bf16")
        told(f"{network}: {speeds[network]:.1f} images/s")
    seconds = 0.0
    for member in settings.members.values():
        epochs = member.epochs.frozen + member.epochs.unfrozen
        # A held-out image takes a third of a trained one: no backward pass.
        images = 876 * (1 - (member.validation.share or 0.0) * 2 / 3)
        seconds += epochs * images / speeds[member.network]
    hours = seconds / 3600
    seen = ", ".join(f"{network} {speed:.1f} images/s" for network, speed in speeds.items())
    told(f"the whole job: {clock(seconds)}")
    figure = Figure("reference job, projected", "the author's GPU", hours, 6.5, False, " h", seen)
    return [figure]
