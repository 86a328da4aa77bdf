"""A blend of a run's members, as Python and notebooks have it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from twinrun.blend.select import ChosenBlend


@dataclass(frozen=True)
class BlendedRun:
    """What `run.blend()` gives: the members' predictions as one, and what they were weighted by.

    Attributes:
        chosen: The blend, with all that was scored before it was taken.
        predictions: Of the test images: id (text), and a float64 column per class.
    """

    chosen: ChosenBlend
    predictions: pd.DataFrame

    @property
    def method(self) -> str:
        """How the members are blended, as `blend.method` names it.

        Example:
            >>> run.blend("auto").method
            'caruana'
        """
        return self.chosen.method

    @property
    def weights(self) -> dict[str, float]:
        """By member its weight.

        Example:
            >>> run.blend().weights
            {'first': 2.0, 'second': 1.0}
        """
        return dict(self.chosen.weights)

    @property
    def score(self) -> float | None:
        """The competition's metric of the images that every member held out; None without any.

        Of a fitted blend it is nested: each image is scored with weights that it had no part in.

        Example:
            >>> run.blend("auto").score
            0.412
        """
        return None if self.chosen.score is None else self.chosen.score.value

    @cached_property
    def candidates(self) -> pd.DataFrame:
        """A row a blend that was scored, the simplest first: blend, score.

        Example:
            >>> run.blend("auto").candidates
        """
        import pandas as pd

        rows = [(each.candidate.words, each.nested) for each in self.chosen.candidates]
        return pd.DataFrame(rows, columns=["blend", "score"])

    def __repr__(self) -> str:
        score = "" if self.score is None else f", {self.chosen.metric} {self.score:.4f}"
        return f"<BlendedRun: {self.chosen.words} of {len(self.weights)} members{score}>"
