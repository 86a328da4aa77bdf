"""Twins: members trained twice in fresh processes, every file and digest compared."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cuda.work import Answer, Plan
from twinrun.config.reading import read_settings
from twinrun.console import clock
from twinrun.repro.gpus import computes_in_bf16
from twinrun.twins.twins import run_twins

ROOT = Path(__file__).parents[2]

_SETTINGS = """
[competition]
name = "twins"
classes = ["leaf_rust", "stem_rust", "healthy_wheat"]
[data]
folder = {folder!r}
[run]
seed = 0
threads = {threads}
device = {device!r}
[recipe]
network = {network!r}
batch_size = {batch}
pretrained = false
validation = {{ share = 0.25 }}
epochs = {{ frozen = 1, unfrozen = 1 }}
"""
_MEMBER = """
[members.{name}]
network = {network!r}
image_size = {size}
precision = {precision!r}
"""


def measure(plan: Plan, answer: Answer, until: float) -> None:
    """Each network in each precision: at the reference job's size first, then on the fixture.

    Networks of timm are twins of their own: one that cannot be trained ends all of a run.
    """
    own = [name for name in plan.networks if not name.startswith("timm/")]
    timms = [name for name in plan.networks if name.startswith("timm/")]
    both = (plan.size, plan.fixture_size)
    groups = [("large", own, both[:1]), ("timm", timms, both), ("small", own, both[1:])]
    bf16 = plan.rehearsed or computes_in_bf16()
    if not bf16:
        answer.row("bf16", "this GPU only emulates it", asked="same bits", kept="refused")
    for name, networks, sizes in groups:
        title = f"{', '.join(networks)} at {' and '.join(map(str, sizes))} px"
        if time.monotonic() < until - 5:
            with answer.attempt(title):
                _twins(name, networks, sizes, ("fp32", "bf16")[: 1 + bf16], plan, answer)


def _twins(
    name: str,
    networks: Sequence[str],
    sizes: Sequence[int],
    precisions: Sequence[str],
    plan: Plan,
    answer: Answer,
) -> None:
    text = _SETTINGS.format(
        folder=str(ROOT / "tests" / "fixture"),
        threads=plan.threads,
        device=plan.device,
        network=networks[0],
        batch=plan.batch // 2,
    )
    titles: dict[str, str] = {}
    for network in networks:
        for size in sizes:
            for precision in precisions:
                member = f"m{len(titles)}"
                titles[member] = f"{network.removeprefix('timm/')}, {size} px, {precision}"
                text += _MEMBER.format(name=member, network=network, size=size, precision=precision)
    config = Path(plan.folder) / f"twins-{name}.toml"
    config.write_text(text, encoding="utf-8")
    started = time.monotonic()
    options = ["--config", str(config), "--quiet"]
    folder = Path(plan.folder) / f"twins-{name}"
    verdict = run_twins(read_settings(config), list(titles), options, folder, [])
    ledgers = {each.name: each.comparison for each in verdict.report.members}
    for member, title in titles.items():
        files = [each for each in verdict.comparisons if each.member == member]
        same = all(each.same for each in files) and ledgers[member].same
        found = f"same bits: {len(files)} files, {ledgers[member].agreed:,} digests"
        if not same:
            first = ledgers[member].first
            place = f"{first.stage}, epoch {first.epoch}, step {first.step}" if first else "a file"
            found = f"different, first in {place}"
        answer.row(title, found, asked="same bits", kept=same)
    answer.row(
        f"another seed, {titles['m0']}",
        "different bits" if verdict.control_differs else "same bits",
        asked="different bits",
        kept=verdict.control_differs,
    )
    answer.row(f"{len(titles)} members twice", clock(time.monotonic() - started))
