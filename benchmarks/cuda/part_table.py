"""The figures of docs/performance.md that a GPU has bounds of its own for."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import costs, speed
from benchmarks.__main__ import Given
from benchmarks.cuda.work import Answer, Plan, photos
from benchmarks.drawing import HELD_OUT
from benchmarks.table import Figure
from twinrun.console import say
from twinrun.repro.environment import set_up


def measure(plan: Plan, answer: Answer, until: float) -> None:
    """Against the limit in fp32 and bf16, determinism, ledger."""
    environment = set_up(threads=plan.threads, device=plan.device)
    photos(plan)
    given = Given(
        folder=Path(plan.folder),
        rounds=plan.rounds,
        threads=plan.threads,
        images=plan.photos - HELD_OUT,
        size=plan.size,
        batch=plan.batch,
        networks=(plan.network,),
        against=None,
        environment=environment,
    )
    measures: list[Callable[[Given, Callable[[str], None]], list[Figure]]] = [
        speed.against_limit,
        costs.determinism,
        costs.ledger,
    ]
    for each in measures:
        if time.monotonic() < until - 5:
            with answer.attempt(each.__name__):
                for figure in each(given, say):
                    _add(answer, figure)


def _add(answer: Answer, figure: Figure) -> None:
    sign = "at least" if figure.at_least else "at most"
    answer.timed(
        f"{figure.what}, against {figure.against}",
        f"{figure.value:.3g}{figure.unit} ({figure.seen})",
        asked=f"{sign} {figure.bound:g}{figure.unit}",
        kept=figure.met,
    )
