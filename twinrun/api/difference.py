"""Two runs and the first difference between them, as Python and notebooks have it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from twinrun.compare.grade import GradedVerdict
    from twinrun.compare.runs import RunComparison


@dataclass(frozen=True)
class RunDifference:
    """What `diff_runs` gives: whether two runs have the same bits, or where they differ first.

    Printed, or as the last line of a cell, it is what `twinrun diff` prints.

    Attributes:
        comparison: Of all that the two recorded.
        verdict: The second run's grade beside the first.
    """

    comparison: RunComparison
    verdict: GradedVerdict

    @property
    def same(self) -> bool:
        """Whether everything has the same bits.

        Example:
            >>> assert twinrun.diff_runs("runs/full", "runs/again").same
        """
        from twinrun.grades import SAME_BITS

        return self.verdict.grade == SAME_BITS

    @property
    def grade(self) -> str:
        """`same bits`, `same to rounding`, `within the spread of seeds` or `different`.

        Example:
            >>> twinrun.diff_runs("runs/cpu", "runs/gpu").grade
            'same to rounding'
        """
        return self.verdict.grade.name

    @cached_property
    def trainings(self) -> pd.DataFrame:
        """A row a training of both runs: where it differs first.

        Columns: training; stage, epoch and step of the first difference, None and 0 where there is
        none or it comes before the first step; evidence, in words.

        Example:
            >>> twinrun.diff_runs("runs/full", "runs/again").trainings
        """
        import pandas as pd

        rows = []
        for each in self.comparison.members:
            found = each.comparison.result
            place = (None, 0, 0) if found is None else (found.stage, found.epoch, found.step)
            rows.append((each.name, *place, "; ".join(each.evidence)))
        return pd.DataFrame(rows, columns=["training", "stage", "epoch", "step", "evidence"])

    def __repr__(self) -> str:
        from twinrun.compare.format import format_comparison
        from twinrun.compare.grade_words import format_grade
        from twinrun.console import styled
        from twinrun.grades import SAME_BITS

        lines = list(format_comparison(self.comparison))
        if not self.same:
            lines += format_grade(self.verdict, SAME_BITS)
        return "\n".join(styled(*line).plain for line in lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


def diff_runs(
    first: Path | str, second: Path | str, members: Sequence[str] | None = None
) -> RunDifference:
    """Name the first difference between two recorded runs, and give the second one a grade.

    Args:
        first: Folder of a run, or of a member or fold of one.
        second: Folder of the other one.
        members: Only these members, or folds such as `first/fold-1`; None: all.

    Raises:
        InputError: One of them is no run, or a file of it is missing or damaged.

    Example:
        >>> twinrun.diff_runs("runs/full", "runs/again")
    """
    from twinrun.compare.graded import grade_runs
    from twinrun.compare.runs import compare_runs

    comparison = compare_runs(Path(first), Path(second), None if members is None else list(members))
    return RunDifference(comparison, grade_runs(comparison))
