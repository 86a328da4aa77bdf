"""New predictions, made again and compared with all that their record says of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twinrun.compare.grade import ROUNDING_BOUND, Cause, Evidence, GradedVerdict, judge
from twinrun.compare.prediction_gaps import (
    PredictionGap,
    UnlikePredictions,
    compare_predictions,
    compare_submissions,
)
from twinrun.config.settings import Settings
from twinrun.errors import InputError, differences, gaps, shorten
from twinrun.predict.asked import Asked, ask
from twinrun.predict.predict import predict_images
from twinrun.predict.record import read_record_of
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
        InputError: The file is not the recorded one, or as `ask` and `predict_images`.
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
    with TemporaryDirectory(prefix="predictions-") as temporary:
        asked = ask(run, images, sample, Path(temporary) / output["file"])
        known = asked.images.asked(then["images"]) if sample is None else asked.images
        if known.ids:  # what was not predicted then has no part in it
            asked = replace(asked, images=known)
        predict_images(asked)
        now = read_record_of(asked.record)
        return VerifiedPredictions(_judge(then, now, record.parent / output["file"], asked), then)


def _judge(
    then: Mapping[str, Any], now: Mapping[str, Any], before: Path, asked: Asked
) -> GradedVerdict:
    same = then["output"]["sha256"] == now["output"]["sha256"]
    engine, environment = find_surroundings(then, now)
    measured: list[PredictionGap] = []
    unlike: list[str] = []
    try:
        measured.append(_gap(before, asked.output, then["output"]["kind"], asked.settings))
    except UnlikePredictions as error:
        unlike.append(f"{before.name}: {error.what}")
    return judge(
        Evidence(
            same_bits=same,
            gaps=tuple(measured),
            unlike=tuple(unlike),
            causes=tuple(find_causes(then, now)),
            engine=engine,
            environment=tuple(environment),
            no_spread="recorded weights predict the same whatever the seed",
            first="" if same else "the predictions differ",
            metric=asked.settings.competition.metric,
        )
    )


def _gap(before: Path, again: Path, kind: str, settings: Settings) -> PredictionGap:
    if kind == "predictions":
        metric = settings.competition.metric
        return compare_predictions("blend", before, again, metric, ROUNDING_BOUND)
    return compare_submissions(
        before,
        again,
        columns=settings.submission.columns,
        classes=settings.asked_classes,
        bound=ROUNDING_BOUND,
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
