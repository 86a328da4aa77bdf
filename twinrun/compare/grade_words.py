"""A graded verdict in words, as lines for the console; and as it is recorded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from twinrun.compare.grade import GradedVerdict
from twinrun.compare.prediction_gaps import PredictionGap
from twinrun.console import Line
from twinrun.errors import shorten
from twinrun.grades import DIFFERENT, GRADES, SAME_BITS, Grade, exit_code

_MOST = 6


def format_grade(verdict: GradedVerdict, accepted: Grade = SAME_BITS) -> Iterator[Line]:
    """The grade, its numbers, what differs, why it is no better one, and a sentence for a host.

    Args:
        verdict: To be told.
        accepted: The worst grade that ends with exit code 0.
    """
    grade, evidence = verdict.grade, verdict.evidence
    name = grade.name, f"bold {grade.colour}"
    yield ("grade", "bold"), "     ", name, _exit_words(grade, accepted)
    yield from _format_numbers(verdict)
    for cause in evidence.causes:
        yield from _rows(cause.kind, cause.lines)
    yield from format_surroundings(verdict)
    if evidence.first and grade == DIFFERENT:
        yield from _rows("first", (evidence.first,))
    # That bits differ is what the numbers say.
    better = [each.name for each in GRADES if each != SAME_BITS and each.name in verdict.why]
    lines = [f"{name}: {line}" for name in better for line in shorten(verdict.why[name], _MOST)]
    yield from _rows("not", lines, most=len(lines))
    yield from _rows("for a host", (verdict.sentence,))


def format_surroundings(verdict: GradedVerdict) -> Iterator[Line]:
    """What differs of engine and environment, which is told of the same bits too."""
    if verdict.evidence.engine:
        yield from _rows("engine", verdict.evidence.engine.lines)
    yield from _rows("environment", describe_environment(verdict))


def format_grade_shortly(verdict: GradedVerdict) -> Line:
    """The grade and its largest difference, in a line."""
    grade, largest = verdict.grade, verdict.largest
    by = f": probabilities differ by up to {largest.largest:.3g}" if largest else ""
    return (grade.name, f"bold {grade.colour}"), by


def describe_environment(verdict: GradedVerdict) -> tuple[str, ...]:
    """A line for each thing of the environment that differs."""
    return tuple(
        f"{what}: {_value(then)} then, {_value(now)} now"
        for what, then, now in verdict.evidence.environment
    )


def grade_record(verdict: GradedVerdict) -> dict[str, Any]:
    """A verdict as it is written down: `verdict_shapes.GradeRecord`."""
    evidence = verdict.evidence
    causes = {cause.kind: list(cause.lines) for cause in evidence.causes}
    if evidence.engine:
        causes["engine"] = list(evidence.engine.lines)
    return {
        "name": verdict.grade.name,
        "sentence": verdict.sentence,
        "bound": verdict.bound,
        "metric": evidence.metric,
        "gaps": [_gap_record(gap) for gap in evidence.gaps],
        "causes": causes,
        "environment": list(describe_environment(verdict)),
        "first": evidence.first,
        "why": {name: list(lines) for name, lines in verdict.why.items()},
    }


def _exit_words(grade: Grade, accepted: Grade) -> str:
    code = exit_code(grade, accepted)
    if not grade.exit_code:
        return ""
    if grade.accept is None:
        return f", exit code {code}"
    if not code:
        return f", accepted by --accept {accepted.accept}"
    return f", exit code {code}; 0 with --accept {grade.accept}"


def _format_numbers(verdict: GradedVerdict) -> Iterator[Line]:
    from twinrun.metrics import METRICS

    gaps = verdict.evidence.gaps
    largest = verdict.largest
    if largest is None:
        return
    text = f"{largest.largest:.3g}, in {largest.file} of {largest.member}"
    yield _row("largest difference", f"{text} (bound of rounding: {verdict.bound:g})")
    yield from _rows("top classes", [_tops(gap) for gap in gaps if gap.tops] or ["none changed"])
    yield from _rows("ranks", [_ranks(gap) for gap in gaps if gap.ranks] or ["none changed"])
    words = METRICS.get(verdict.evidence.metric).words
    scores = [
        f"{gap.member}: {words} {_score(gap.scores[0])} then, {_score(gap.scores[1])} now"
        for gap in gaps
        if gap.scores is not None
    ]
    yield from _rows("held-out score", scores)


def _tops(gap: PredictionGap) -> str:
    text = f"{gap.tops:,} of {gap.images:,} changed, in {gap.file} of {gap.member}"
    close = gap.tops - gap.far_tops
    return f"{text}; {close:,} where two were closer than the bound" if close else text


def _ranks(gap: PredictionGap) -> str:
    return (
        f"{gap.ranks:,} of {gap.ranked:,} changed by up to {gap.rank_move:,}, in {gap.file} of "
        f"{gap.member}"
    )


def _score(value: float) -> str:
    return "not defined" if math.isnan(value) else f"{value:.6f}"


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _rows(label: str, lines: Sequence[str], most: int = _MOST) -> Iterator[Line]:
    for number, line in enumerate(shorten(lines, most)):
        yield _row("" if number else label, line)


def _row(label: str, text: str) -> Line:
    return (f"   {label:<18} {text}",)


def _gap_record(gap: PredictionGap) -> dict[str, Any]:
    scores = None
    if gap.scores is not None:
        scores = [None if math.isnan(score) else score for score in gap.scores]
    return asdict(gap) | {"scores": scores, "largest": min(gap.largest, _NO_NUMBER)}


# JSON has no infinity: no difference of two probabilities is as large.
_NO_NUMBER = 2.0
