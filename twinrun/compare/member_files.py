"""One member in two runs, file by file, byte by byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from twinrun.compare.bits import largest_gap, unequal_bits
from twinrun.files import read_csv, sha256_file
from twinrun.plain_files import plain
from twinrun.run_folder.paths import PREDICTION_FILES, RESULT_FILES, RunFolder
from twinrun.run_folder.trainings import trainings_in


@dataclass(frozen=True)
class FileComparison:
    """One file of a member or fold in two runs: SHA-256 of both, and in words what differs."""

    member: str
    file: str
    first: str
    second: str
    difference: str

    @property
    def same(self) -> bool:
        return self.first == self.second


def compare_members(first: Path, second: Path, names: Sequence[str]) -> list[FileComparison]:
    """Compare the result files of members in two run folders, bit for bit.

    Args:
        first: A folder runs/<run>.
        second: The other one.
        names: The members; each is complete in both runs, in as many folds.
    """
    comparisons = []
    for name in names:
        ours, theirs = RunFolder(first), RunFolder(second)
        trainings = trainings_in(ours.training(name).path)
        asked: list[tuple[str, str, Sequence[str]]]
        asked = [(each.title, each.name, RESULT_FILES) for each in trainings]
        if trainings[0].fold:
            asked.append((name, name, PREDICTION_FILES))
        for title, training, files in asked:
            pair = (ours.training(training).path, theirs.training(training).path)
            comparisons += compare_files(title, *pair, files)
    return comparisons


def compare_files(
    name: str, first: Path, second: Path, files: Sequence[str]
) -> list[FileComparison]:
    """Compare files of one member, or of one of its folds, in two folders, bit for bit."""
    comparisons = []
    for file in files:
        digests = [sha256_file(folder / file) for folder in (first, second)]
        difference = (
            "" if digests[0] == digests[1] else _describe_difference(first / file, second / file)
        )
        comparisons.append(FileComparison(name, file, digests[0], digests[1], difference))
    return comparisons


def _describe_difference(first: Path, second: Path) -> str:
    """How many numbers of two tables or weight files differ, and by how much at the most."""
    before, after = (_read_numbers(path) for path in (first, second))
    if before.keys() != after.keys():
        return "different ids or names"
    differing, total, gap = 0, 0, 0.0
    for name, values in before.items():
        other = after[name]
        if values.shape != other.shape:
            return f"{name}: a different shape"
        unequal = unequal_bits(values, other)
        differing += int(unequal.sum())
        total += values.size
        if unequal.any():
            gap = max(gap, largest_gap(values, other))
    if not differing:
        return "the same numbers, written or ordered differently"
    return f"{differing:,} of {total:,} numbers differ, by up to {gap:.3g}"


def _read_numbers(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".safetensors":
        tensors: dict[str, np.ndarray] = load_file(plain(path))
        return tensors
    table: pd.DataFrame = read_csv(path)
    numbers = table.drop(columns="label", errors="ignore").set_index("id")
    return {str(row): values.to_numpy(np.float32) for row, values in numbers.iterrows()}
