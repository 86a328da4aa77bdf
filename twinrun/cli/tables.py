"""The tables that commands print."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twinrun.blend.select import ChosenBlend
from twinrun.blend_methods.methods import BLEND_METHODS
from twinrun.cli.grid import Column, Grid
from twinrun.config.settings import Settings
from twinrun.console import Line, clock, count_of, megabytes, stacked, styled
from twinrun.errors import shorten
from twinrun.metrics import METRICS, Score, additional_metric

if TYPE_CHECKING:
    from twinrun.audit.check import Finding
    from twinrun.compare.member_files import FileComparison
    from twinrun.data.cache_files import CacheFolder
    from twinrun.data.image_count import ImageCount
    from twinrun.twins.twins import TwinsVerdict
    from twinrun.verify.verify import Verification


def members(
    settings: Settings,
    records: dict[str, dict[str, Any]],
    scores: Mapping[str, float],
    weights: Mapping[str, float],
    folds: Mapping[str, Sequence[float]] | None = None,
) -> Grid:
    """One row per member: network, valid loss and accuracy, weight, time; public scores if known.

    Args:
        settings: Of the run.
        records: The content of member.json by name.
        scores: By name, the scores of the settings' metric, for which a column is added. Log loss
            and accuracy have columns already; of these it may be empty.
        weights: Of the blend; a member that is not among them has none.
        folds: By name, the scores of each fold of the members that have folds: their mean and
            standard deviation (n - 1). The other columns are of the out-of-fold predictions of all
            images.
    """
    metric = METRICS.get(settings.competition.metric)
    more = [metric.words] if additional_metric(metric.name) else []
    counts = {name: record["images"]["valid"] for name, record in records.items()}
    alike = len(set(counts.values())) == 1
    images = f"the {count_of(next(iter(counts.values())), 'image')}" if alike else "the images"
    table = Grid(
        f"Members, each by {images} that it held out",
        [
            Column("member"),
            Column("network"),
            *_numbers("images", "valid loss", "accuracy", *more),
            *_numbers(f"{metric.words} over folds", "public score", "weight", "time"),
        ],
    )
    for name, record in records.items():
        member, own = settings.members[name], record["scores"]
        public = member.public_score
        table.add_row(
            name,
            member.network,
            "" if alike else f"{counts[name]:,}",
            f"{own['valid_loss']:.4f}",
            f"{own['accuracy']:.3f}",
            *([_number_or_words(scores[name])] if more else []),
            _spread((folds or {}).get(name, ())),
            "" if public is None else f"{public:.5f}",
            f"{weights.get(name, 0.0):g}",
            clock(record["seconds"]),
        )
    return table


def blends(chosen: ChosenBlend) -> Grid:
    """One row per candidate: its nested and its fitted score; the one that is taken is bold."""
    metric = METRICS.get(chosen.metric)
    best = "higher" if metric.higher_is_better else "lower"
    images = count_of(chosen.images.all, "held-out image")
    note = "; ".join(filter(None, (chosen.images.without_copies, f"{best} is better")))
    table = Grid(
        f"Blends, by {metric.words} on {images} ({note})",
        [Column("blend"), *_numbers("nested", "fitted", "temperature"), Column("")],
    )
    for each in chosen.candidates:
        taken = each is chosen.taken
        table.add_row(
            each.candidate.words,
            _number_or_words(each.nested),
            _number_or_words(each.fitted),
            f"{each.temperature:.3f}" if each.candidate.calibrated else "",
            "taken" if taken else "",
            style="bold" if taken else "",
        )
    return table


def member_contributions(chosen: ChosenBlend) -> Grid:
    """One row per member: its weight, its score as the blend sees it, and what it adds."""
    metric = METRICS.get(chosen.metric)
    clamp, alone = "", "alone"
    if chosen.clamp:
        low, high = chosen.clamp
        clamp, alone = f", clamped to {low:g} to {high:g}", "alone, clamped"
    table = Grid(
        f"What each member adds, by {metric.words} on the {chosen.images.words()} that "
        f"all held out{clamp}",
        [Column("member"), *_numbers("weight", alone, "blend without it", "it adds")],
    )
    nested = chosen.taken.nested if chosen.taken else math.nan
    for name, weight in chosen.weights.items():
        without = chosen.without[name]
        # Of what it adds, a gain is positive whichever way the metric goes.
        gain = metric.gain(nested, without)
        table.add_row(
            name,
            f"{weight:.4g}",
            _number_or_words(chosen.members[name]),
            _number_or_words(without),
            "" if math.isnan(gain) else f"{gain:+.4f}",
        )
    return table


def why(chosen: ChosenBlend) -> list[Line]:
    """Why this blend is taken and what must be said of it."""
    stack = BLEND_METHODS.get(chosen.method).stack
    lines: list[Line] = [(chosen.reason,)]
    if stack is not None:
        lines.append((f"A weight is {stack.weight}.",))
    return [*lines, *(((text, "bold yellow"),) for text in chosen.warnings)]


def blend_score(score: Score, images: ImageCount) -> Line:
    """The blend's score in one line, beside that of a simple answer.

    Args:
        score: Of the blend.
        images: That were scored.
    """
    value = _number_or_words(score.value)
    if math.isnan(score.value):
        value += f": no held-out image of class {', '.join(shorten(score.absent, 5))}"
    simple = f"{score.metric.simple.words}: {_number_or_words(score.simple_value)}"
    return (
        f"blend's {score.metric.words} on the {images.words()} that every member held out: ",
        (value, "bold"),
        f" ({simple})",
    )


def _spread(scores: Sequence[float]) -> str:
    """Mean and standard deviation; nothing of a member without folds."""
    if not scores:
        return ""
    if any(map(math.isnan, scores)):
        return "not defined"
    return f"{statistics.fmean(scores):.4f} ± {statistics.stdev(scores):.4f}"


def _number_or_words(value: float) -> str:
    return "not defined" if math.isnan(value) else f"{value:.4f}"


def twins(verdict: TwinsVerdict) -> Grid:
    """One row per member and file: the start of both digests, and what differs; the control."""
    table = _comparison_table("Twins", verdict.comparisons, "first", "second")
    for member in verdict.report.members:
        agreed = f"{member.comparison.agreed:,} agree"
        answer = _SAME if member.comparison.same else (("differ", "red"), ": see below")
        table.add_row(member.title, "ledger's digests", "", agreed, styled(*answer))
    table.add_section()
    for row in verdict.control:
        answer = (("same bits", "red") if row.same else ("differ", "green"),)
        name = f"{row.member}, other seed"
        table.add_row(name, row.file, row.first[:8], row.second[:8], styled(*answer))
    return table


def verification(found: Verification) -> Grid:
    """One row per member and file: as it was recorded and as it was made again."""
    table = _comparison_table("Verification", found.comparisons, "recorded", "again")
    table.add_section()
    for file, same in (("blend.json", found.blend), ("submission.csv", found.submission)):
        if same is not None:
            answer = _SAME if same else (("differs", "red"),)
            table.add_row("blend", file, "", "", styled(*answer))
    return table


def environment(gaps: Sequence[tuple[str, Any, Any]]) -> Grid:
    """One row per difference between the recorded environment and this one."""
    table = Grid(
        "The environment is different",
        [Column("what"), Column("recorded", wraps=True), Column("here", wraps=True)],
    )
    for what, then, now in gaps:
        table.add_row(what, *(_text(value) for value in (then, now)))
    return table


_SAME: Line = (("same bits", "green"),)
_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


def audit(found: Sequence[Finding], most: int) -> Grid:
    """One row per finding: severity, images, what it is and where, at most so many lines."""
    table = Grid(
        "Audit",
        [Column(""), *_numbers("count"), Column("finding", wraps=True)],
        lines=True,
    )
    for finding in found:
        lines = shorten(finding.details or finding.images, most)
        below: list[Line] = [((f"  {line}", "dim"),) for line in lines]
        table.add_row(
            styled((finding.severity, _COLOURS[finding.severity])),
            f"{finding.count:,}",
            stacked([(finding.title,), *below]),
        )
    return table


def caches(found: Sequence[CacheFolder]) -> Grid:
    """One row per cache of decoded images: its folder, images, size on the disk."""
    table = Grid("Decoded images", [Column("cache"), *_numbers("images", "size")])
    for each in found:
        table.add_row(each.name, f"{each.images:,}", megabytes(each.nbytes))
    return table


def _comparison_table(
    title: str, comparisons: Sequence[FileComparison], first: str, second: str
) -> Grid:
    columns = ("member", "file", first, second)
    table = Grid(title, [*map(Column, columns), Column("verdict", wraps=True)], keys=2)
    for row in comparisons:
        answer = _SAME if row.same else (("differ", "red"), f": {row.difference}")
        table.add_row(row.member, row.file, row.first[:8], row.second[:8], styled(*answer))
    return table


def _numbers(*headings: str) -> list[Column]:
    return [Column(heading, right=True) for heading in headings]


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return ", ".join(value) if isinstance(value, list) else str(value)
