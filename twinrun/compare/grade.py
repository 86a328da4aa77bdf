"""The grade of something that was made again: judged from numbers, causes and the spread of seeds.

What the grades are: `grades.GRADES`. The two between "same bits" and "different" are about numbers
that a machine or a seed moves. So they are given only where nothing else is different.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twinrun.compare.prediction_gaps import PredictionGap
from twinrun.grades import DIFFERENT, ROUNDING, SAME_BITS, SPREAD, Grade

ROUNDING_BOUND = 1e-4
"""Of the largest difference of a probability; how it was chosen: docs/differences.md."""


@dataclass(frozen=True)
class Cause:
    """Something besides the machine that is not the same, and by itself makes the answer differ.

    Attributes:
        kind: "own code", "data", "labels", "settings", "seed", "pretrained weights", "engine".
        lines: What of it, a line each.
    """

    kind: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """What a verdict is judged from.

    Attributes:
        same_bits: Whether every result file and every digest of the ledgers is the same.
        gaps: Of each pair of prediction files, and of the submissions where there are two.
        unlike: Of each pair that cannot be compared in numbers, whose it is and why.
        causes: What is not the same and decides bits: only "different" is left then, also where
            the bits came out the same by chance.
        engine: How the source of the engine differs; None: it does not.
        environment: (what, before, now) of what else decides bits and is not the same.
        spread: What `run --seeds` recorded of the first run: `shapes.SpreadRecord`.
        no_spread: Why there is no spread to compare with; empty where there is one.
        fitted_blend: What differs in two fitted blends by more than rounding, a line each.
        first: The first stage that differs, in words; empty where none does.
        metric: By which held-out images were scored, a name in METRICS.
    """

    same_bits: bool
    gaps: tuple[PredictionGap, ...]
    unlike: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    engine: Cause | None = None
    environment: tuple[tuple[str, Any, Any], ...] = ()
    spread: Mapping[str, Any] | None = None
    no_spread: str = "the run has recorded no spread of seeds"
    fitted_blend: tuple[str, ...] = ()
    first: str = ""
    metric: str = "log_loss"


@dataclass(frozen=True)
class GradedVerdict:
    """A grade, and why it is no better one.

    Attributes:
        grade: Of GRADES.
        evidence: What it was judged from.
        bound: Of rounding, that was asked.
        why: By the name of each better grade, why it was not given, a line each.
    """

    grade: Grade
    evidence: Evidence
    bound: float
    why: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """One sentence for a host who is no engineer."""
        if self.grade != DIFFERENT:
            return self.grade.host
        kinds = [cause.kind for cause in self.evidence.causes]
        if kinds and self.evidence.same_bits:
            return (
                "It was made again and the answers are the same, but it was not made from the "
                f"same {_list(kinds)}."
            )
        if kinds:
            return f"{self.grade.host[:-1]}, because it was not made from the same {_list(kinds)}."
        others = [what for what, *_ in self.evidence.environment]
        if self.evidence.engine:
            others.append("the code")
        if others:
            return (
                f"{self.grade.host[:-1]}; it was computed on a different machine or with other "
                "versions, which may be why, but that is no proof."
            )
        return f"{self.grade.host[:-1]}, and nothing that is recorded explains it."

    @property
    def largest(self) -> PredictionGap | None:
        """The pair of files with the largest difference; None where none was compared."""
        return max(self.evidence.gaps, key=lambda gap: gap.largest, default=None)


def judge(evidence: Evidence, bound: float = ROUNDING_BOUND) -> GradedVerdict:
    """Give the best grade that the evidence allows."""
    why: dict[str, tuple[str, ...]] = {}
    barred = [f"{cause.kind}: not the same" for cause in evidence.causes]
    reasons = {
        SAME_BITS: (*barred, *(() if evidence.same_bits else ("bits differ",))),
        ROUNDING: (*barred, *_beyond_rounding(evidence, bound)),
        SPREAD: (*barred, *_beyond_spread(evidence)),
    }
    for grade, against in reasons.items():
        if not against:
            return GradedVerdict(grade, evidence, bound, why)
        why[grade.name] = tuple(against)
    return GradedVerdict(DIFFERENT, evidence, bound, why)


def _beyond_rounding(evidence: Evidence, bound: float) -> Iterator[str]:
    yield from evidence.unlike
    yield from evidence.fitted_blend
    if not evidence.gaps:
        yield "there are no predictions to compare"
    for gap in evidence.gaps:
        if not gap.largest < bound:
            yield (
                f"{gap.member}, {gap.file}: a probability differs by {gap.largest:.3g}, "
                f"the bound is {bound:g}"
            )
        elif gap.far_tops:
            yield (
                f"{gap.member}, {gap.file}: the top class of {gap.far_tops:,} images changed "
                f"where the two were not closer than {bound:g}"
            )


def _beyond_spread(evidence: Evidence) -> Iterator[str]:
    yield from evidence.unlike
    if evidence.engine:
        yield "the source of the engine differs: equal settings may then mean other things"
    if evidence.spread is None:
        yield evidence.no_spread
        return
    spread, compared = evidence.spread, set()
    for gap in evidence.gaps:
        own = spread["members"].get(gap.member) if gap.member != "blend" else spread["submission"]
        if own is None:
            # A fold is judged with its member. A submission without a spread cannot be.
            if gap.member == "blend":
                yield "no spread of the submissions of seeds was recorded"
            continue
        compared.add(gap.member)
        if gap.scores is None:
            yield from _more_than_seeds(gap, own)
        else:
            yield from _score_beyond_seeds(gap, own["score"])
    if not compared - {"blend"}:
        yield "the recorded spread is of none of these members"


def _more_than_seeds(gap: PredictionGap, own: Mapping[str, Any]) -> Iterator[str]:
    for value, of_seeds, words in (
        (gap.largest, own["largest"], "a probability differs by {:.3g}, between seeds {:.3g}"),
        (gap.mean, own["mean"], "probabilities differ by {:.3g} in the mean, between seeds {:.3g}"),
        (gap.tops, own["tops"], "{:,} top classes changed, between seeds {:,}"),
    ):
        if not value <= of_seeds:
            yield f"{gap.member}, {gap.file}: {words.format(value, of_seeds)}"


def _score_beyond_seeds(gap: PredictionGap, of_seeds: float | None) -> Iterator[str]:
    assert gap.scores is not None
    moved = abs(gap.scores[1] - gap.scores[0])
    if of_seeds is None or math.isnan(moved):
        yield f"{gap.member}: the score is not defined, or was not for each seed"
    elif not moved <= of_seeds:
        yield (
            f"{gap.member}: the score differs by {moved:.3g}, between seeds by up to {of_seeds:.3g}"
        )


def _list(words: Sequence[str]) -> str:
    *some, last = words
    return f"{', '.join(some)} and {last}" if some else last
