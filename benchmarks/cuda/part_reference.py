"""The reference job: ten members, 627 epochs, 876 images; projected, and whole where time remains.

Networks begin with random weights, which takes no other time: there may be no network.
"""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.cuda.work import Answer, Plan, photos
from twinrun import prepare, train_run
from twinrun.config.reading import read_settings
from twinrun.config.settings import Settings
from twinrun.console import clock
from twinrun.files import read_csv
from twinrun.repro.gpus import computes_in_bf16
from twinrun.run_folder.paths import TrainingFolder

ROOT = Path(__file__).parents[2]
_AIM_SECONDS = 300.0
# A whole job is begun only where it surely ends in time.
_RESERVE = 1.15


def measure(plan: Plan, answer: Answer, until: float) -> None:
    """From two epochs of each kind of each network; bf16 first, then whole, then fp32."""
    folder = str(photos(plan))
    bf16 = plan.rehearsed or computes_in_bf16()
    projected: dict[str, float] = {}
    for precision in ("bf16", "fp32") if bf16 else ("fp32",):
        if time.monotonic() < until - 10:
            with answer.attempt(f"projected, {precision}"):
                projected[precision] = _projected(precision, folder, plan, answer)
    for precision, seconds in projected.items():
        left = until - time.monotonic()
        title = f"the whole job, {precision}"
        if seconds * _RESERVE < left:
            with answer.attempt(title):
                _whole(title, precision, folder, plan, answer)
            return
        answer.row(title, f"not run: {clock(max(left, 0))} were left", kept="not run")


def _settings(precision: str, folder: str, plan: Plan, *more: str) -> Settings:
    """The competition's own settings, on the drawn photos."""
    changes = [
        f"data.folder={folder!r}",
        "competition.classes=['a','b']",
        "recipe.pretrained=false",
        f"recipe.precision={precision}",
        f"run.device={plan.device}",
        f"run.threads={plan.threads}",
        f"run.cache={str(Path(folder) / 'cache')!r}",
        *more,
    ]
    if plan.rehearsed:
        changes += [
            f"recipe.network={plan.network}",
            f"recipe.image_size={plan.size}",
            f"recipe.batch_size={plan.batch}",
            "recipe.validation={share=0.25}",
        ]
    return read_settings(ROOT / "competition" / "competition.toml", changes=changes)


def _projected(precision: str, folder: str, plan: Plan, answer: Answer) -> float:
    """Seconds of all members, from the second epoch of each phase and what is not in epochs."""
    epochs = "recipe.epochs={frozen=2,unfrozen=2}"
    own, short = (_settings(precision, folder, plan, *more) for more in ((), (epochs,)))
    first: dict[tuple[str, int], str] = {}
    for name, member in own.members.items():
        first.setdefault((member.network, member.batch_size), name)
    started = time.perf_counter()
    run = prepare.prepare(short, Path(plan.folder) / "runs" / f"short-{precision}")
    records = train_run.train(run, list(first.values()), started)
    found: dict[tuple[str, int], tuple[float, float, float]] = {}
    for kind, name in first.items():
        history = read_csv(TrainingFolder(run.member_folder(name)).history)
        last = [float(history[history["phase"] == phase]["seconds"].iloc[-1]) for phase in PHASES]
        beside = records[name]["seconds"] - float(history["seconds"].sum())
        found[kind] = (*last, max(beside, 0.0))
        words = f"{last[0]:.2f} s frozen, {last[1]:.2f} s unfrozen, {beside:.1f} s beside them"
        answer.row(f"an epoch of {kind[0]}, batch {kind[1]}, {precision}", words)
    total, count = 0.0, 0
    for member in own.members.values():
        frozen, unfrozen, beside = found[member.network, member.batch_size]
        total += member.epochs.frozen * frozen + member.epochs.unfrozen * unfrozen + beside
        count += member.epochs.frozen + member.epochs.unfrozen
    answer.timed(
        f"projected, {precision}: {len(own.members)} members, {count} epochs",
        clock(total),
        asked=f"at most {clock(_AIM_SECONDS)}; its author: 6.5 h",
        kept=total <= _AIM_SECONDS,
    )
    return total


PHASES = ("frozen", "unfrozen")


def _whole(title: str, precision: str, folder: str, plan: Plan, answer: Answer) -> None:
    more = ("recipe.epochs={frozen=1,unfrozen=1}",) if plan.rehearsed else ()
    settings = _settings(precision, folder, plan, *more)
    started = time.perf_counter()
    run = prepare.prepare(settings, Path(plan.folder) / "runs" / f"whole-{precision}")
    records = train_run.train(run, list(settings.members), started)
    seconds = time.perf_counter() - started
    found = f"{clock(seconds)}, {len(records)} members" + (
        ", an epoch of each kind (rehearsed)" if plan.rehearsed else ""
    )
    asked = f"at most {clock(_AIM_SECONDS)}"
    answer.timed(title, found, asked=asked, kept=seconds <= _AIM_SECONDS)
