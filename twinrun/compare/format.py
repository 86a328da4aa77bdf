"""A comparison of two runs in words: lines for the console, as wide as they need to be."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.cells import cell_len

from twinrun.compare.bits import Gap
from twinrun.compare.diagnosis import advise_training
from twinrun.compare.evidence import ValueDifference
from twinrun.compare.first_difference import Difference, LedgerComparison
from twinrun.compare.recorded_files import FileFault
from twinrun.compare.replay import Replay
from twinrun.compare.runs import RunComparison, TrainingComparison
from twinrun.console import Line, Part
from twinrun.errors import shorten
from twinrun.foreign import shown
from twinrun.repro.stages import ENVIRONMENT, STAGES

# Values of more characters are left out of the line that says what differs beside.
_SHORT = 24


def format_comparison(report: RunComparison, *, replay: bool = False) -> Iterator[Line]:
    """What differs besides the ledgers, then each member's verdict with its details.

    Args:
        report: Two runs, compared.
        replay: Whether the first difference is going to be replayed: that is no advice then.
    """
    yield ("A", "bold"), f" {report.first}"
    yield ("B", "bold"), f" {report.second}"
    yield from _format_values("own code differs", report.of_hooks)
    settings = [gap for gap in report.settings if gap not in report.of_hooks]
    yield from _format_values("settings differ", settings)
    yield from _format_values("environment differs", report.environment)
    if report.code:
        yield ("code differs", "bold"), ": the two were trained by different engines"
        yield from (
            (f"  {letter}  {text}",) for letter, text in zip("AB", report.code, strict=True)
        )
    beside = _format_beside(report)
    if beside:
        yield ("differs beside", "bold"), f", deciding no bit: {beside}"
    yield ("",)
    details: dict[tuple[Line, ...], list[str]] = {}
    for member in report.members:
        lines = (_format_verdict(member, report), *_format_details(member, report, replay=replay))
        details.setdefault(lines, []).append(member.title)
    for (first, *others), names in details.items():
        yield (", ".join(names), "bold"), "  ", *first
        yield from others
    yield from _format_missing(report)


def format_verdicts(report: RunComparison) -> Iterator[Line]:
    """A line for each member, and for what else makes the two differ."""
    for member in report.members:
        yield (member.title, "bold"), "  ", *_format_verdict(member, report)
    yield from _format_missing(report)


def format_replay(
    member: TrainingComparison, again: Replay, report: RunComparison
) -> Iterator[Line]:
    """What making the step again showed: what differs, how much, and why; or that it did not."""
    yield ("",)
    difference = again.difference
    if difference is None:
        yield (member.title, "bold"), "  made again, the step gives the same bits for both"
        same = [letter for letter, as_then in zip("AB", again.as_recorded, strict=True) if as_then]
        if len(same) == 1:
            other = "B" if same == ["A"] else "A"
            yield _row("what", f"those that {same[0]} recorded; {other} differed there")
        code = "other code at the time"
        if member.code:
            code = f"the code at the time ({member.code[0]} in A, {member.code[1]} in B)"
        resumed = f", or a resume that went wrong ({' and '.join(member.known.resumed)})"
        cause = (
            f"It does not come again: something that a replay does not have, such as {code}, or a "
            f"fault of the machine{resumed if member.known.resumed else ''}."
        )
        yield from _prose("cause", cause)
        return
    place = _format_place(difference, again.comparison)
    heading = "made again, differs first in", "bold red"
    yield (member.title, "bold"), "  ", heading, f" {place}"
    yield _row("stage", STAGES.get(difference.stage).words)
    yield from _format_names(difference)
    if again.gap:
        yield _row("values", _format_gap(difference, again.gap))
    if again.shapes:
        yield _row("values", again.shapes)
    advice = advise_training(member, report, again)
    yield from _prose("cause", advice.cause)
    yield from _prose("next", advice.next)


def format_verdict(comparison: LedgerComparison) -> Line:
    """One line: the same bits, or the first difference, or where one run ends."""
    agreed = f"{comparison.agreed:,} digests agree"
    if comparison.first:
        place = _format_place(comparison.first, comparison)
        return ("first difference", "bold red"), f": {place}"
    if comparison.end:
        end = comparison.end
        place = (
            _format_moment(end.epoch, end.step, comparison.steps)
            if end.epoch
            else ", before training"
        )
        far = f"same bits as far as {'AB'[end.run]} goes{place}"
        return (far, "bold yellow"), f": {agreed}"
    return ("same bits", "bold green"), f": {agreed}"


def _format_verdict(member: TrainingComparison, report: RunComparison) -> Line:
    """As `format_verdict`; equal ledgers are not called the same bits where files are not."""
    if member.comparison.same and report.files:
        return ("ledgers agree", "bold"), f": {member.comparison.agreed:,} digests"
    return format_verdict(member.comparison)


def summarize(report: RunComparison) -> str:
    """One sentence for two runs that are not the same."""
    differing = [member for member in report.members if member.comparison.first]
    if differing:
        comparison = differing[0].comparison
        assert comparison.first is not None
        place = f"{differing[0].title} first in {_format_place(comparison.first, comparison)}"
        others = f", and {len(differing) - 1} more" if len(differing) > 1 else ""
        return f"the runs differ: {place}{others}"
    if report.files:
        fault = report.files[0]
        others = f", and {len(report.files) - 1} more" if len(report.files) > 1 else ""
        return f"ledgers agree, but {tell_fault(fault)}{others}"
    if report.submission:
        return f"the runs differ in their submissions: {'; '.join(report.submission)}"
    return "what both runs have is equal, but one of them is not complete"


def _format_details(
    member: TrainingComparison, report: RunComparison, *, replay: bool
) -> Iterator[Line]:
    comparison = member.comparison
    runs = (report.first, report.second)
    if comparison.first is None:
        if comparison.end:
            yield _row("next", _advise_finishing(runs[comparison.end.run]))
        return
    difference = comparison.result
    if comparison.environment and difference:
        yield _row("then", (_format_place(difference, comparison), "bold red"))
    elif comparison.environment:
        yield _row("then", f"all else is the same: {comparison.agreed:,} digests agree")
    if difference:
        yield _row("stage", STAGES.get(difference.stage).words)
        yield from _format_names(difference)
        yield from (_row("", line) for line in shorten(member.evidence))
    advice = advise_training(member, report)
    yield from _prose("cause", advice.cause)
    if not (replay and advice.next.endswith("--replay")):
        yield from _prose("next", advice.next)


def _format_gap(difference: Difference, gap: Gap) -> str:
    """How far the values are apart: of one that differs, or of all, with the farthest named."""
    if len(difference.changed) == 1 or difference.stage == "forward":
        return f"{difference.changed[0]}: {gap}"
    return f"{gap} (farthest: {gap.name})"


def _format_beside(report: RunComparison) -> str:
    """What differs in what decides no bit, of all members in one line; long values left out."""
    found: dict[str, str] = {}
    for member in report.members:
        for gap in member.beside:
            name = gap.name.replace("_", " ")
            values = [_text(value) for value in (gap.first, gap.second)]
            short = all(len(value) <= _SHORT for value in values)
            told = f"{name} {values[0]} in A, {values[1]} in B" if short else name
            if found.setdefault(name, told) != told:
                found[name] = f"{name} in several ways"
    return "; ".join(found.values())


def _format_names(difference: Difference) -> Iterator[Line]:
    kinds = (
        ("what", difference.changed),
        ("only in A", difference.only_first),
        ("only in B", difference.only_second),
    )
    for kind, names in kinds:
        if names:
            yield _row(kind, f"{len(names):,} of {difference.total:,}")
            yield from (_row("", f"  {line}") for line in shorten(_tell(names, difference)))
    if difference.only is not None and not difference.names:
        yield _row(f"only in {'AB'[difference.only]}", "the whole stage at this step")


def _tell(names: Sequence[str], difference: Difference) -> list[str]:
    """The names, each with what both ledgers say of it."""
    told: dict[str, list[str]] = {}
    if "classes" not in difference.names:  # a class's number says no more which it is
        for each in difference.told:
            told.setdefault(each.name, []).append(str(each))
    return [line for name in names for line in told.get(name, [name])]


def _format_place(difference: Difference, comparison: LedgerComparison) -> str:
    if difference.stage == ENVIRONMENT.name:
        return f"environment: {', '.join(shorten(difference.names))}"
    if not difference.epoch:
        return f"{difference.stage}, before training"
    if comparison.level == "epoch" and STAGES.get(difference.stage).each_step:
        steps = f" of its {comparison.steps:,} steps" if comparison.steps else " of its steps"
        return f"{difference.stage}, epoch {difference.epoch:,}, in one{steps}"
    return difference.stage + _format_moment(difference.epoch, difference.step, comparison.steps)


def _format_moment(epoch: int, step: int, steps: int) -> str:
    of = f" of {steps:,}" if steps else ""
    return f", epoch {epoch:,}, step {step:,}{of}"


def _advise_finishing(run: Path) -> str:
    return f"finish {run}: the command that began it resumes where it was stopped"


def _format_missing(report: RunComparison) -> Iterator[Line]:
    for letter, names in (("A", report.only_first), ("B", report.only_second)):
        if names:
            yield (f"only in {letter}", "bold yellow"), f": {', '.join(names)}"
            yield _row("next", "train them in the other run too, or choose with --member")
    for fault in report.files:
        yield ("file", "bold red"), f" {tell_fault(fault)}"
        yield from (_row("", line) for line in fault.details)
    if report.submission:
        yield (("submission.csv differs", "bold red"),)
        yield from (_row("", line) for line in report.submission)


def tell_fault(fault: FileFault) -> str:
    """A file's fault in one sentence: whose it is, and what is wrong with it."""
    whose = "" if fault.run is None else f" of {'AB'[fault.run]}"
    return f"{fault.place}{whose} {fault.text}"


def _format_values(title: str, gaps: Sequence[ValueDifference]) -> Iterator[Line]:
    """Three columns, each as wide as its widest text: nothing is cut or wrapped."""
    if not gaps:
        return
    rows = [tuple(map(shown, (gap.name, _text(gap.first), _text(gap.second)))) for gap in gaps]
    widths = [max(cell_len(row[column]) for row in rows) for column in (0, 1)]
    yield ((title, "bold"),)
    for name, *values in (("", "A", "B"), *rows):
        cells = [_pad(text, width) for text, width in zip((name, values[0]), widths, strict=True)]
        yield ("  ".join(["", *cells, values[1]]),)


def _text(value: object) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _prose(label: str, text: str) -> Iterator[Line]:
    """Sentences, in lines of 80 columns; a command is left whole, to be copied."""
    lines = (
        [text]
        if "twinrun " in text
        else textwrap.wrap(
            text, 80 - len(_label("")), break_long_words=False, break_on_hyphens=False
        )
    )
    for number, line in enumerate(lines):
        yield _row("" if number else label, line)


def _row(label: str, text: Part) -> Line:
    return _label(label), text


def _label(label: str) -> str:
    return f"   {label:<9} "
