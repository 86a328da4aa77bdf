"""What the last twins and the last verification said, and whether it was about this run's files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from twinrun.errors import shorten
from twinrun.grades import DIFFERENT, SAME_BITS
from twinrun.metrics import METRICS
from twinrun.report.sourced_value import Shown, Source, read_source
from twinrun.run_folder.paths import RunFolder
from twinrun.run_folder.verdicts import is_of_run, read_twins, read_verification

State = Literal["same", "between", "differ", "other"]

# Those of the best grade and of the worst; all others are between.
_STATES: dict[str, State] = {SAME_BITS.name: "same", DIFFERENT.name: "differ"}
# Of a digest, as much as a reader compares at a glance.
_DIGITS = 12


@dataclass(frozen=True)
class Row:
    """A file of a member, before and after: digests, and in words whether they agree."""

    member: str
    file: str
    first: Shown
    second: Shown
    same: bool
    difference: str


@dataclass(frozen=True)
class Gap:
    """A file of predictions, before and after, in numbers: see `verdict_shapes.GapRecord`."""

    member: str
    file: str
    largest: Shown
    tops: Shown
    ranks: Shown
    before: Shown | None
    after: Shown | None


@dataclass(frozen=True)
class Graded:
    """The grade of what was made again: see `verdict_shapes.GradeRecord`."""

    name: str
    sentence: Shown
    metric: str
    bound: Shown
    gaps: tuple[Gap, ...]
    causes: tuple[str, ...]
    environment: tuple[str, ...]
    why: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """A check's answer.

    Attributes:
        title: Which check.
        state: "same" bits, a grade "between", bits that "differ", or of an "other" training than
            this run's.
        text: The answer in words.
        details: More of it, a sentence each.
        rows: What was compared.
        trained: Whether the check trained, and did not only predict.
        graded: Of a verification of this run.
    """

    title: str
    state: State
    text: str
    details: tuple[str, ...]
    rows: tuple[Row, ...]
    trained: bool = True
    graded: Graded | None = None


def read_verdicts(run: Path, manifest: Mapping[str, Any]) -> list[Verdict]:
    """The verdicts that lie beside a run: of `twins`, `verify` and `verify --predict-only`.

    A check is about this run when the files that it started from have the digests that the run's
    manifest records.

    Args:
        run: runs/<run>.
        manifest: The content of its manifest.json.

    Raises:
        InputError: A verdict is damaged.
    """
    run = run.resolve()
    checks = (
        (_twins, read_twins),
        (_verify, read_verification),
        (_predictions, read_verification),
    )
    found = []
    for path, (build, read) in zip(RunFolder(run).verdicts, checks, strict=True):
        source = read_source(run, path, read)
        if source is not None:
            found.append(build(source, is_of_run(source.content, manifest)))
    return found


def _twins(source: Source, own: bool) -> Verdict:
    rows = _rows(source)
    content = source.content
    state = _state(own, same=content["same"] and content["control_differs"])
    names = ", ".join(shorten(_members(rows), 12))
    done = ", ".join(content["perturbations"]) or "none"
    if state == "other":
        text = (
            f"The last twins ({names}) were not trained as this run was: other bits to begin with."
        )
    elif not content["same"]:
        text = f"Trained twice, {names} came out with other bits."
    elif not content["control_differs"]:
        text = "A different seed gave the same bits: this check cannot see a difference."
    else:
        text = f"Trained twice, {names} came out with the same bits, which are this run's."
    control = "other" if content["control_differs"] else "the same"
    return Verdict(
        title="Twins",
        state=state,
        text=text,
        details=(
            f"Perturbations of the second training: {done}.",
            f"Control: a different seed gives {control} bits.",
        ),
        rows=rows,
    )


def _verify(source: Source, own: bool) -> Verdict:
    rows = _rows(source)
    graded = _graded(source) if own else None
    state = _state_of(graded)
    names = ", ".join(shorten(_members(rows), 12))
    changed = ", ".join(shorten(_members(row for row in rows if not row.same), 12))
    text = {
        "same": f"Trained again from the manifest, {names} came out with the same bits.",
        "between": f"Trained again from the manifest, {names} came out with other bits, "
        f"{source.content['grade']['name']}.",
        "differ": f"Trained again from the manifest, {changed} came out with other bits."
        if changed
        else "Trained again from the manifest, every member came out with the same bits, but not "
        "the blend.",
        "other": "The last verification was of other files than this run's.",
    }[state]
    details = _blend_and_submission(source)
    return Verdict("Verification", state, text, details, rows, graded=graded)


def _predictions(source: Source, own: bool) -> Verdict:
    rows = _rows(source)
    graded = _graded(source) if own else None
    state = _state_of(graded)
    names = ", ".join(shorten(_members(rows), 12))
    text = {
        "same": f"Predicted again from the recorded weights, {names} gave the same bits.",
        "between": f"Predicted again from the recorded weights, {names} gave other bits, "
        f"{source.content['grade']['name']}.",
        "differ": "Predicted again from the recorded weights, the run gave other bits.",
        "other": "The last verification of predictions was of other files than this run's.",
    }[state]
    return Verdict(
        "Verification of the predictions",
        state,
        text,
        _blend_and_submission(source),
        rows,
        trained=False,
        graded=graded,
    )


def _graded(source: Source) -> Graded:
    grade = source.content["grade"]
    gaps = []
    for number, gap in enumerate(grade["gaps"]):
        place = ("grade", "gaps", number)
        scored = gap["scores"] is not None
        gaps.append(
            Gap(
                gap["member"],
                gap["file"],
                source.show(*place, "largest", form=".3g"),
                source.show(*place, "tops", form=","),
                source.show(*place, "ranks", form=","),
                source.show(*place, "scores", 0, form=".6f") if scored else None,
                source.show(*place, "scores", 1, form=".6f") if scored else None,
            )
        )
    return Graded(
        name=grade["name"],
        sentence=source.show("grade", "sentence"),
        metric=METRICS.get(grade["metric"]).words,
        bound=source.show("grade", "bound", form="g"),
        gaps=tuple(gaps),
        causes=tuple(f"{kind}: {line}" for kind, ls in grade["causes"].items() for line in ls),
        environment=tuple(grade["environment"]),
        why=tuple(f"{name}: {line}" for name, ls in grade["why"].items() for line in ls),
    )


def _state_of(graded: Graded | None) -> State:
    if graded is None:
        return "other"
    return _STATES.get(graded.name, "between")


def _blend_and_submission(source: Source) -> tuple[str, ...]:
    submission = {
        True: "The submission came out with the same bits.",
        False: "The submission came out with other bits.",
        None: "The submission was not made again: there was none, or not all members were.",
    }
    blend = {
        True: "The blend has the recorded weights again.",
        False: "The blend came out with other weights than the recorded ones.",
    }
    fitted = source.at("blend")
    return ((blend[fitted],) if fitted is not None else ()) + (submission[source.at("submission")],)


def _rows(source: Source) -> tuple[Row, ...]:
    return tuple(
        Row(
            member=row["member"],
            file=row["file"],
            first=source.show("comparisons", number, "first", form=_start),
            second=source.show("comparisons", number, "second", form=_start),
            same=row["first"] == row["second"],
            difference=row["difference"],
        )
        for number, row in enumerate(source.content["comparisons"])
    )


def _start(digest: str) -> str:
    return digest[:_DIGITS]


def _members(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row.member for row in rows))


def _state(own: bool, *, same: bool) -> State:
    if not own:
        return "other"
    return "same" if same else "differ"


def overall(verdicts: Iterable[Verdict]) -> tuple[State | Literal["none"], list[str]]:
    """The verdicts in one, and whose bits it is about; "none": nothing has checked this run.

    Those of members that differ, none of them where it is only the blend, or of members that are
    the same, or of a grade between. That predictions come out again is not that a training does.
    """
    own = [each for each in verdicts if each.state != "other" and each.trained]
    if any(each.state == "differ" for each in own):
        return "differ", _members(row for each in own for row in each.rows if not row.same)
    if any(each.state == "between" for each in own):
        return "between", _members(row for each in own for row in each.rows if not row.same)
    if own:
        return "same", _members(row for each in own for row in each.rows)
    return "none", []
