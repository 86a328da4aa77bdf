"""Two ledgers side by side: which rows of one belong to which rows of the other.

All rows at once, as arrays: a training of 10,000 steps writes 80,000 rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from twinrun.errors import InputError
from twinrun.repro.ledger import Ledger
from twinrun.repro.stage import LEVELS, Stage
from twinrun.repro.stages import stages_in_order

# Steps of an epoch are fewer: of 32 bits the ledger's schema leaves these.
_MOST_STEPS = 1 << 31


@dataclass(frozen=True)
class Rows:
    """Rows of a ledger in the order of training; within a moment in the order of writing.

    Attributes:
        moments: int64, see `Alignment.moment_parts`.
        names: int64, the number of what the digest is of.
        digests: uint64.
    """

    moments: np.ndarray
    names: np.ndarray
    digests: np.ndarray

    def __len__(self) -> int:
        return len(self.moments)


@dataclass(frozen=True)
class Alignment:
    """Which rows of two ledgers stand for the same thing at the same moment.

    Attributes:
        stages: The stages in the order of training, by their number in moments.
        names: What a digest is of, by its number in both.
        first: Rows of the first ledger.
        second: Rows of the second.
        pairs: Positions in `first` and in `second` of the rows that both have, in `first`'s order.
        only_first: Positions of rows that the second ledger should have and has not.
        only_second: Positions of rows that the first ledger should have and has not.
        ends: 0 when the first ledger ends before the second, 1 the other way round, else None.
            Rows after that end are in none of the lists.
    """

    stages: list[Stage]
    names: list[str]
    first: Rows
    second: Rows
    pairs: tuple[np.ndarray, np.ndarray]
    only_first: np.ndarray
    only_second: np.ndarray
    ends: int | None

    def moment_parts(self, moment: int) -> tuple[int, int, str]:
        """Epoch, step and stage of a moment: a number that grows in the order of training."""
        rest, stage = divmod(int(moment), len(self.stages))
        epoch, step = divmod(rest, _MOST_STEPS)
        return epoch, step, self.stages[stage].name

    def is_of(self, stage: Stage, moments: np.ndarray) -> np.ndarray:
        """Which of the moments are of a stage, as booleans."""
        of_it: np.ndarray = moments % len(self.stages) == self.stages.index(stage)
        return of_it


def common_level(first: Ledger, second: Ledger) -> str:
    """The coarser level of two ledgers: what it holds, both hold."""
    return LEVELS[min(LEVELS.index(ledger.about["level"]) for ledger in (first, second))]


def align(first: Ledger, second: Ledger) -> Alignment:
    """Lay two ledgers side by side; of a finer one only the rows that the coarser level has.

    Raises:
        InputError: A ledger has a stage that this version does not know.
    """
    level, stages, numbers = common_level(first, second), stages_in_order(), dict[str, int]()
    one, two = (_rows(ledger, level, stages, numbers) for ledger in (first, second))
    pairs = _find_pairs(one, two, len(numbers))
    only_first, second_ends = _find_unpaired(one, two, *pairs)
    only_second, first_ends = _find_unpaired(two, one, *reversed(pairs))
    ends = 0 if first_ends else 1 if second_ends else None
    return Alignment(stages, list(numbers), one, two, pairs, only_first, only_second, ends)


def _rows(ledger: Ledger, level: str, stages: list[Stage], numbers: dict[str, int]) -> Rows:
    """The rows that a level has; names that are new get the next number in `numbers`."""
    table = ledger.rows().unify_dictionaries().combine_chunks()
    places = {stage.name: place for place, stage in enumerate(stages)}
    epochs, steps = (_numbers(table[column]).astype(np.int64) for column in ("epoch", "step"))
    place = _encode(table["stage"], lambda stage: _place(stage, places))
    names = _encode(table["what"], lambda what: numbers.setdefault(what, len(numbers)))
    digests = _numbers(table["digest"])
    moments = (epochs * _MOST_STEPS + steps) * len(stages) + place

    kept = np.ones(len(moments), bool)
    if ledger.about["level"] != level:
        for number, stage in enumerate(stages):
            detail = _encode(table["what"], stage.is_detail).astype(bool)
            of_level = ~detail & stage.in_level(level)
            if stage.each_step and level == "epoch":
                of_level &= steps == ledger.about["steps"]
            kept &= (place != number) | of_level
    order = np.flatnonzero(kept)
    order = order[np.argsort(moments[order], kind="stable")]
    return Rows(moments[order], names[order], digests[order])


def _numbers(column: Any) -> np.ndarray:
    """A column of numbers. Not by to_numpy, which imports pandas: longer than all the rest."""
    array = column.combine_chunks()
    return np.from_dlpack(array) if len(array) else np.zeros(0, np.int64)


def _encode(column: Any, code: Callable[[str], int]) -> np.ndarray:
    """`code` of each text of a dictionary-encoded column, int64; called once for each text."""
    if not len(column):
        return np.zeros(0, np.int64)
    chunk = column.combine_chunks()
    codes = np.array([code(text) for text in chunk.dictionary.to_pylist()], np.int64)
    coded: np.ndarray = codes[np.from_dlpack(chunk.indices)]
    return coded


def _place(stage: str, places: Mapping[str, int]) -> int:
    if stage not in places:
        raise InputError(
            f"a ledger has a stage that this version does not know: {stage}",
            fix="Compare the runs with the version that made the newer one.",
        )
    return places[stage]


def _find_pairs(one: Rows, two: Rows, names: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the rows that both have: same moment, same name, same time of its coming up."""
    if np.array_equal(one.moments, two.moments) and np.array_equal(one.names, two.names):
        same = np.arange(len(one))
        return same, same
    moments = np.concatenate([one.moments, two.moments])
    _, dense = np.unique(moments, return_inverse=True)
    keys = dense * np.int64(names) + np.concatenate([one.names, two.names])
    counts = [_times_before(part) for part in (keys[: len(one)], keys[len(one) :])]
    times = np.concatenate(counts)
    keys = keys * (int(times.max(initial=0)) + 1) + times
    _, first, second = np.intersect1d(
        keys[: len(one)], keys[len(one) :], assume_unique=True, return_indices=True
    )
    order = np.argsort(first, kind="stable")
    return first[order], second[order]


def _times_before(keys: np.ndarray) -> np.ndarray:
    """For each row how many rows before it have the same key."""
    order = np.argsort(keys, kind="stable")
    new = np.r_[True, keys[order][1:] != keys[order][:-1]][: len(keys)]
    places = np.arange(len(keys))
    starts = np.maximum.accumulate(np.where(new, places, 0))
    times = np.empty(len(keys), np.int64)
    times[order] = places - starts
    return times


def _find_unpaired(
    rows: Rows, others: Rows, paired: np.ndarray, partners: np.ndarray
) -> tuple[np.ndarray, bool]:
    """Positions of rows without a partner, and whether some more come after the others' end."""
    alone = np.ones(len(rows), bool)
    alone[paired] = False
    if not len(others):
        return np.zeros(0, np.int64), bool(alone.any())
    end = others.moments[-1]
    # A ledger may end in the middle of a moment: its last row has a partner, and none follows.
    unmatched = not (partners == len(others) - 1).any()
    after = np.arange(len(rows)) > paired.max(initial=-1)
    beyond = alone & after & (rows.moments >= end + unmatched)
    return np.flatnonzero(alone & ~beyond), bool(beyond.any())
