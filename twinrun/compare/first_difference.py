"""The first difference between two ledgers, named.

Light on purpose: neither torch nor pandas, so that the answer is there at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from twinrun.compare.alignment import Alignment, Rows, align, common_level
from twinrun.repro.ledger import Ledger
from twinrun.repro.stage import Told
from twinrun.repro.stages import ENVIRONMENT, STAGES, stages_in_order
from twinrun.repro.told import tell_number

# Of a number that the same formula gives with another library of mathematics.
_LAST_DIGITS = 1e-9


@dataclass(frozen=True)
class Difference:
    """The first moment at which two ledgers differ.

    Attributes:
        stage: Of the ledger's stages.
        epoch: From 1; 0 before the first.
        step: From 1; 0 before the first.
        changed: What differs: ids, modules, parameters, in the order of writing.
        only_first: What only the first ledger has at that moment.
        only_second: What only the second has.
        total: How many of them both ledgers have together at that moment.
        only: 0 when only the first ledger has anything at that moment, 1 only the second, else
            None.
        told: What the rows of `changed` say, of a stage whose rows say more than a digest does.
    """

    stage: str
    epoch: int
    step: int
    changed: tuple[str, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    total: int
    only: int | None = None
    told: tuple[Told, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All that it names."""
        return self.changed + self.only_first + self.only_second


@dataclass(frozen=True)
class LedgerEnd:
    """Where the shorter of two ledgers ends.

    Attributes:
        run: 0 the first ends, 1 the second.
        stage: Of its last row; empty when it has none.
        epoch: Of its last row.
        step: Of its last row.
    """

    run: int
    stage: str
    epoch: int
    step: int


@dataclass(frozen=True)
class LedgerComparison:
    """Two ledgers, compared.

    Attributes:
        environment: The difference of environment.
        result: The first difference in any other stage.
        agreed: How many digests are in both ledgers and are equal, without the environment's.
        end: Where one of them ends before the other: an interrupted training.
        level: The coarser of the two levels, at which they were compared.
        steps: Training steps per epoch; 0 when the two have different numbers.
        stages: All stages in which they differ, in the order in which a training passes them;
            numbers, where a ledger has them, by more than their last digits.
    """

    environment: Difference | None
    result: Difference | None
    agreed: int
    end: LedgerEnd | None
    level: str
    steps: int
    stages: tuple[str, ...] = ()

    @property
    def first(self) -> Difference | None:
        """The first difference of all."""
        return self.environment or self.result

    @property
    def same(self) -> bool:
        """Whether both hold the same digests, to the end."""
        return self.first is None and self.end is None


def compare_ledgers(first: Ledger, second: Ledger) -> LedgerComparison:
    """Compare two ledgers row by row; of a finer one only the rows that the coarser level has.

    Rows after the end of the shorter ledger are no difference, but its `end`.

    Raises:
        InputError: A ledger has a stage that this version does not know.
    """
    aligned = align(first, second)
    ours, theirs = aligned.pairs
    abouts = (first.about, second.about)
    unequal = aligned.first.digests[ours] != aligned.second.digests[theirs]
    outside = ~aligned.is_of(ENVIRONMENT, aligned.first.moments[ours])
    moments = np.unique(
        np.concatenate(
            [
                aligned.first.moments[ours[unequal]],
                aligned.first.moments[aligned.only_first],
                aligned.second.moments[aligned.only_second],
            ]
        )
    )
    environment = aligned.is_of(ENVIRONMENT, moments)
    found = []
    for wanted in (moments[environment], moments[~environment]):
        found.append(_difference(aligned, unequal, wanted[0], abouts) if len(wanted) else None)
    steps = {ledger.about["steps"] for ledger in (first, second)}
    return LedgerComparison(
        environment=found[0],
        result=found[1],
        agreed=int((outside & ~unequal).sum()),
        end=_end(aligned),
        level=common_level(first, second),
        steps=steps.pop() if len(steps) == 1 else 0,
        stages=tuple(_differing_stages(aligned, unequal)),
    )


def _differing_stages(aligned: Alignment, unequal: np.ndarray) -> Iterator[str]:
    ours, theirs = (positions[unequal] for positions in aligned.pairs)
    one, two = aligned.first.digests[ours], aligned.second.digests[theirs]
    here = aligned.first.moments[ours]
    alone = np.concatenate(
        [
            aligned.first.moments[aligned.only_first],
            aligned.second.moments[aligned.only_second],
        ]
    )
    for stage in stages_in_order():
        rows = aligned.is_of(stage, here)
        if stage.tells is tell_number:
            before, now = (bits[rows].view(np.float64) for bits in (one, two))
            differ = not np.allclose(before, now, rtol=_LAST_DIGITS, atol=0.0)
        else:
            differ = bool(rows.any())
        if differ or aligned.is_of(stage, alone).any():
            yield stage.name


def _difference(
    aligned: Alignment,
    unequal: np.ndarray,
    moment: np.int64,
    abouts: tuple[Mapping[str, Any], Mapping[str, Any]],
) -> Difference:
    first, second = aligned.first, aligned.second

    def named(numbers: np.ndarray) -> tuple[str, ...]:
        names = dict.fromkeys(aligned.names[number] for number in numbers)
        return tuple(name for name in names if name)

    def here(rows: Rows, positions: np.ndarray) -> tuple[str, ...]:
        return named(rows.names[positions[rows.moments[positions] == moment]])

    epoch, step, stage = aligned.moment_parts(int(moment))
    names = [rows.names[rows.moments == moment] for rows in (first, second)]
    return Difference(
        stage=stage,
        epoch=epoch,
        step=step,
        changed=here(first, aligned.pairs[0][unequal]),
        only_first=here(first, aligned.only_first),
        only_second=here(second, aligned.only_second),
        total=len(named(np.concatenate(names))),
        only=None if len(names[0]) and len(names[1]) else int(not len(names[0])),
        told=tuple(_tell(aligned, unequal, moment, abouts)),
    )


def _tell(
    aligned: Alignment,
    unequal: np.ndarray,
    moment: np.int64,
    abouts: tuple[Mapping[str, Any], Mapping[str, Any]],
) -> Iterator[Told]:
    """What the rows that differ at a moment say in both ledgers, as far as they say anything."""
    tells = STAGES.get(aligned.moment_parts(int(moment))[2]).tells
    if tells is None:
        return
    ours, theirs = (positions[unequal] for positions in aligned.pairs)
    here = aligned.first.moments[ours] == moment
    for mine, other in zip(ours[here], theirs[here], strict=True):
        one = tells(int(aligned.first.digests[mine]), abouts[0])
        two = tells(int(aligned.second.digests[other]), abouts[1])
        for aspect in (each for each in one if each in two):
            if one[aspect] != two[aspect]:
                name = aligned.names[aligned.first.names[mine]]
                yield Told(name, aspect, one[aspect], two[aspect])


def _end(aligned: Alignment) -> LedgerEnd | None:
    if aligned.ends is None:
        return None
    rows = (aligned.first, aligned.second)[aligned.ends]
    epoch, step, stage = aligned.moment_parts(int(rows.moments[-1])) if len(rows) else (0, 0, "")
    return LedgerEnd(aligned.ends, stage, epoch, step)
