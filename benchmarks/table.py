"""What was measured: figures with their bounds, as a table and as JSON."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from twinrun.console import styled


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        what: Is measured.
        against: What it is compared with.
        value: Median of the rounds; a ratio, unless `unit` says otherwise.
        bound: What was asked for.
        at_least: Whether the bound is the least or the most.
        unit: Of value and bound; "" for a ratio.
        seen: The figures behind it, in words.
    """

    what: str
    against: str
    value: float
    bound: float
    at_least: bool
    unit: str
    seen: str

    @property
    def met(self) -> bool:
        """Whether the bound is kept."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def alternated(
    rounds: int, contestants: Mapping[str, Callable[[], float]], told: Callable[[str], None]
) -> dict[str, list[float]]:
    """Let each contestant run once a round, in turns; what each said, by name."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(1, rounds + 1):
        for name, run in contestants.items():
            found[name].append(run())
            told(f"round {number} of {rounds}: {name} {found[name][-1]:.4g}")
    return found


def ratio(ours: list[float], others: list[float]) -> float:
    """The median of the rounds' ratios: what slows the machine down slows both of a round."""
    return statistics.median(one / other for one, other in zip(ours, others, strict=True))


def shown(figures: list[Figure]) -> Table:
    """The table."""
    table = Table(title="Measured", title_justify="left")
    for column in ("figure", "against"):
        table.add_column(column, overflow="fold")
    for column in ("median", "asked for"):
        table.add_column(column, justify="right")
    table.add_column("kept")
    table.add_column("seen", overflow="fold")
    for each in figures:
        sign = ">=" if each.at_least else "<="
        table.add_row(
            each.what,
            each.against,
            f"{each.value:.3g}{each.unit}",
            f"{sign} {each.bound:g}{each.unit}",
            styled(("yes", "green") if each.met else ("no", "red")),
            each.seen,
        )
    return table


def as_json(figures: list[Figure], environment: Mapping[str, Any]) -> dict[str, Any]:
    """All of it as JSON values."""
    return {
        "machine": machine(),
        "environment": environment["decides"],
        "figures": [asdict(each) | {"met": each.met} for each in figures],
    }


def machine() -> dict[str, Any]:
    """Processor, cores, memory (GB) and system."""
    facts = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    about = Path("/proc/cpuinfo")
    if about.is_file():
        lines = dict(line.split(":", 1) for line in about.read_text().splitlines() if ":" in line)
        named = {key.strip(): value.strip() for key, value in lines.items()}
        facts["processor"] = named.get("model name", facts["processor"])
        facts["model"] = f"family {named.get('cpu family')} model {named.get('model')}"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return facts | {"memory": round(memory, 1), "system": platform.platform()}
