"""All figures of docs/performance.md: `nox -s bench`, or `python -m benchmarks [NAME...]`.

Everything runs in one process environment, the contestants in turns; a figure is the median of the
rounds' ratios. Photos are drawn into --folder once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinrun.process import restart_process
from twinrun.repro.environment import set_up


@dataclass(frozen=True)
class Given:
    """What the command line asks for, and what the machine is."""

    folder: Path
    rounds: int
    threads: int
    images: int
    size: int
    batch: int
    networks: tuple[str, ...]
    against: Path | None
    environment: dict[str, Any]

    @property
    def device(self) -> str:
        return str(self.environment["decides"]["device"])


def main() -> None:
    """Measure, print the table, write the JSON file."""
    restart_process()
    from benchmarks import alternatives, carried, changes, costs, speed, startup, storage, using
    from benchmarks.table import Figure, as_json, shown
    from twinrun.console import console, ignore_known_warnings, say
    from twinrun.files import write_json

    measures: dict[str, Callable[[Given, Callable[[str], None]], list[Figure]]] = {
        "speed": speed.measure,
        "determinism": costs.determinism,
        "ledger": costs.ledger,
        "changes": changes.changes,
        "resume": costs.resume,
        "startup": startup.startup,
        "decode": storage.decode,
        "index": storage.index,
        "memory": storage.memory,
        "beside": using.beside,
        "new-memory": using.new_memory,
        "reference": speed.reference,
        "compiled": alternatives.compiled,
        "filled": alternatives.filled,
        "freed": alternatives.freed,
        "updates": lambda _, told: carried.updates(told),
        "environments": lambda _, told: carried.environments(told),
    }
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(measures)}")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench"), help="drawn photos")
    parser.add_argument("--output", type=Path, default=Path("runs/bench.json"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=128, help="training images of an epoch")
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--network", action="append", help="resnet18 and densenet201 by default")
    parser.add_argument(
        "--against", type=Path, help="startup: a different engine's command, e.g. old/bin/twinrun"
    )
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in measures]
    if unknown:
        parser.error(f"no such figure: {', '.join(unknown)}; there are {', '.join(measures)}")
    ignore_known_warnings()
    asked = Given(
        folder=given.folder.absolute(),
        rounds=given.rounds,
        threads=given.threads,
        images=given.images,
        size=given.size,
        batch=given.batch,
        networks=tuple(given.network or ("resnet18", "densenet201")),
        against=given.against and given.against.absolute(),
        environment=set_up(threads=given.threads),
    )
    figures: list[Figure] = []
    for name in given.names or measures:
        say((name, "bold"))
        figures += measures[name](asked, lambda text: say(f"  {text}"))
        # After each, so that what was measured is kept when the rest is stopped.
        write_json(given.output, as_json(figures, asked.environment))
    console.print(shown(figures))
    say(f"written to {given.output}")


if __name__ == "__main__":
    main()
