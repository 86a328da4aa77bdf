"""Odd settings and CSV files by the thousand: `python -m tests.fuzz --cases 50000 --seed 0`.

Half of the cases are of settings (files, local.toml, profiles, --set, names of runs), half of CSV
files (submissions, samples, labels, predictions, what a new project is made from). Each must be
accepted or refused with a message; anything else is printed with its traceback, and with the
command that does it again. Exit code 1 where there was any.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.cases import KINDS, carry_out


def main() -> None:
    """Carry out the cases that were asked for, and say what they gave."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one case, as it is printed: settings:4711")
    given = parser.parse_args()
    kinds: Sequence[str] = KINDS
    started, numbers = time.perf_counter(), range(given.cases // len(KINDS))
    if given.only:
        kind, _, number = given.only.partition(":")
        kinds, numbers = (kind,), range(int(number), int(number) + 1)
    with tempfile.TemporaryDirectory() as folder:
        gave = carry_out(numbers, seed=given.seed, folder=Path(folder), kinds=kinds)
    for (kind, number), text in gave.unexpected.items():
        print(f"{text}again: python -m tests.fuzz --seed {given.seed} --only {kind}:{number}\n")
    for kind in kinds:
        accepted, refused = (gave.counts[kind, end] for end in ("accepted", "refused"))
        others = sum(each == kind for each, _ in gave.unexpected)
        print(
            f"{kind:<10}{accepted + refused + others:>7,} cases: {accepted:,} accepted, "
            f"{refused:,} refused with a message, {others:,} unexpected"
        )
    took, (slowest, which) = time.perf_counter() - started, gave.slowest
    print(f"seed {given.seed}, {took:.0f} s, the slowest {slowest:.1f} s ({which})")
    sys.exit(bool(gave.unexpected))


if __name__ == "__main__":
    main()
