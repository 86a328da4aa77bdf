"""New predictions, made again and compared with all that their record says of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twinrun.compare.grade import ROUNDING_BOUND, Cause, Evidence, GradedVerdict, judge
from twinrun.compare.graded import Held, held_by
from twinrun.compare.prediction_gaps import (
    PredictionGap,
    UnlikePredictions,
    compare_predictions,
    compare_submissions,
)
from twinrun.errors import InputError, differences, gaps, shorten
from twinrun.files import sha256_file
from twinrun.predict.asked import ask
from twinrun.predict.predict import predict_images
from twinrun.predict.record import read_record_of, record_path
from twinrun.repro.facts import write_out_environment
from twinrun.repro.source import describe_engine
from twinrun.run_folder.documents import refuse_changed_files

# Of images that are not the same so many are named.
_MOST = 20
# What a record tells of images with a reason each, in words.
_STATES = {"unread": "cannot be read", "parts": "there in part"}


@dataclass(frozen=True)
class VerifiedPredictions:
    """New predictions that were made again.

    Attributes:
        verdict: Their grade.
        record: What was recorded, `PredictionRecord`.
    """

    verdict: GradedVerdict
    record: Mapping[str, Any]


def verify_new_predictions(
    record: Path, run: Path, images: Sequence[Path], sample: Path | None
) -> VerifiedPredictions:
    """Predict again, and grade what was recorded beside what comes out.

    Args:
        record: Of predictions, beside the file that it is of.
        run: The run that predicted, by whatever name.
        images: As for `find_images`: those that were predicted.
        sample: That a submission was bound to.

    Raises:
        InputError: As `read_verifiable`, `ask` and `predict_images`.
    """
    then = read_verifiable(record, sample)
    with TemporaryDirectory(prefix="predictions-") as temporary:
        asked = ask(run, images, sample, Path(temporary) / then["output"]["file"])
        known = asked.images.asked(then["images"]) if sample is None else asked.images
        if known.ids:  # what was not predicted then has no part in it
            asked = replace(asked, images=known)
        predict_images(asked)
        return judge_predictions(record, then, asked.output, asked.manifest)


def read_verifiable(record: Path, sample: Path | None) -> dict[str, Any]:
    """The content of a record of predictions, whose file is as it was when it was written.

    Args:
        record: Of predictions, beside the file that it is of.
        sample: That a submission was bound to.

    Raises:
        InputError: The file is not the recorded one; or a sample is missing, or one too many.
    """
    then = read_record_of(record)
    output = then["output"]
    if (output["kind"] == "submission") != (sample is not None):
        kind = "a submission" if output["kind"] == "submission" else "predictions"
        raise InputError(
            f"{record} is of {kind}",
            fix="Leave --sample out." if sample else "Name its sample with --sample.",
        )
    refuse_changed_files(
        record.parent,
        {output["file"]: output["sha256"]},
        fix="Put it back; what was changed since cannot be verified.",
        since="it was predicted",
    )
    return then


def judge_predictions(
    record: Path, then: Mapping[str, Any], again: Path, manifest: Mapping[str, Any]
) -> VerifiedPredictions:
    """Grade what was recorded beside what came out.

    Args:
        record: Of predictions, beside the file that it is of.
        then: Its content.
        again: The file that came out, beside its own record.
        manifest: The content of manifest.json of the run that predicted.

    Raises:
        InputError: What came out is no file of predictions, or has no record.
    """
    now, before = read_record_of(record_path(again)), record.parent / then["output"]["file"]
    # Of the bits themselves: a record may be made by code that nobody has read.
    same = sha256_file(before) == sha256_file(again)
    engine, environment = find_surroundings(then, now)
    held = held_by(manifest)
    measured: list[PredictionGap] = []
    unlike: list[str] = []
    try:
        measured.append(_gap(before, again, then["output"]["kind"], held))
    except UnlikePredictions as error:
        unlike.append(f"{before.name}: {error.what}")
    verdict = judge(
        Evidence(
            same_bits=same,
            gaps=tuple(measured),
            unlike=tuple(unlike),
            causes=tuple(find_causes(then, now)),
            engine=engine,
            environment=tuple(environment),
            no_spread="recorded weights predict the same whatever the seed",
            first="" if same else "the predictions differ",
            metric=held.metric,
        )
    )
    return VerifiedPredictions(verdict, then)


def _gap(before: Path, again: Path, kind: str, held: Held) -> PredictionGap:
    if kind == "predictions":
        return compare_predictions("blend", before, again, held.metric, ROUNDING_BOUND)
    return compare_submissions(
        before, again, columns=held.columns, classes=held.classes, bound=ROUNDING_BOUND
    )


def find_causes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Cause]:
    """What predictions were made of and is not the same, a kind each; images first.

    Args:
        then: The content of a record of predictions.
        now: That of another one. Together with `find_surroundings` every field is compared.
    """
    pixels = (*_changes(then["images"], now["images"]), *_states(then, now))
    found = {
        "data": shorten(pixels, most=_MOST),
        "own code": [f"hooks.py: {line}" for line in _changes(then["hooks"], now["hooks"])],
        "weights": _changes(then["weights"], now["weights"]),
        "settings": [] if then["settings"] == now["settings"] else ["not those of the record"],
        "blend": differences(then["blend"], now["blend"]),
        "sample": [] if then["sample"] == now["sample"] else ["not that of the record"],
    }
    return [Cause(kind, tuple(lines)) for kind, lines in found.items() if lines]


def find_surroundings(
    then: Mapping[str, Any], now: Mapping[str, Any]
) -> tuple[Cause | None, list[tuple[str, Any, Any]]]:
    """What is not the same of the engine's source, and of the environment: (what, then, now).

    Args:
        then: The content of a record of predictions.
        now: That of another one.
    """
    codes = then["code"][:8], now["code"][:8]
    engine = Cause("engine", ("{} then, {} now".format(*codes),))
    before, after = (write_out_environment(each["environment"]) for each in (then, now))
    others = list(gaps(before, after))
    if then["engine"] != now["engine"]:
        others.append(("engine", describe_engine(then["engine"]), describe_engine(now["engine"])))
    # Of an image that is in the same state, another library may tell the reason in other words.
    for state, what in _STATES.items():
        both = sorted(then[state].keys() & now[state].keys())
        others += [
            (f"{name}, {what}", then[state][name], now[state][name])
            for name in both
            if then[state][name] != now[state][name]
        ]
    return (engine if then["code"] != now["code"] else None), others


def _changes(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    lines = [f"{name}: missing" for name in sorted(then.keys() - now.keys())]
    lines += [f"{name}: new" for name in sorted(now.keys() - then.keys())]
    both = sorted(then.keys() & now.keys())
    return [*lines, *(f"{name}: changed" for name in both if then[name] != now[name])]


def _states(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    alone = then["images"].keys() ^ now["images"].keys()  # which is told of them already
    for state, what in _STATES.items():
        for name in sorted((then[state].keys() ^ now[state].keys()) - alone):
            when, why = ("then", then[state]) if name in then[state] else ("now", now[state])
            yield f"{name}: {what} {when} only ({why[name]})"
