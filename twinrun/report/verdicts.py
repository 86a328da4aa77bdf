"""What the last twins and the last verification said, and whether it was about this run's files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from twinrun.errors import shorten
from twinrun.report.sourced_value import Shown, Source, read_source
from twinrun.run_folder.paths import RunFolder
from twinrun.run_folder.verdicts import is_of_run, read_twins, read_verification

State = Literal["same", "differ", "other"]

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
class Verdict:
    """A check's answer.

    Attributes:
        title: Which check.
        state: "same" bits, bits that "differ", or of an "other" training than this run's.
        text: The answer in words.
        details: More of it, a sentence each.
        rows: What was compared.
        trained: Whether the check trained, and did not only predict.
    """

    title: str
    state: State
    text: str
    details: tuple[str, ...]
    rows: tuple[Row, ...]
    trained: bool = True


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
    state = _state(own, same=source.content["same"])
    names = ", ".join(shorten(_members(rows), 12))
    changed = ", ".join(shorten(_members(row for row in rows if not row.same), 12))
    text = {
        "same": f"Trained again from the manifest, {names} came out with the same bits.",
        "differ": f"Trained again from the manifest, {changed} came out with other bits."
        if changed
        else "Trained again from the manifest, every member came out with the same bits, but not "
        "the blend.",
        "other": "The last verification was of other files than this run's.",
    }[state]
    return Verdict("Verification", state, text, _blend_and_submission(source), rows)


def _predictions(source: Source, own: bool) -> Verdict:
    rows = _rows(source)
    state = _state(own, same=source.content["same"])
    names = ", ".join(shorten(_members(rows), 12))
    text = {
        "same": f"Predicted again from the recorded weights, {names} gave the same bits.",
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
    )


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
    the same. That predictions come out again is not that a training does.
    """
    own = [each for each in verdicts if each.state != "other" and each.trained]
    if any(each.state == "differ" for each in own):
        return "differ", _members(row for each in own for row in each.rows if not row.same)
    if own:
        return "same", _members(row for each in own for row in each.rows)
    return "none", []
