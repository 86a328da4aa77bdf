"""New predictions, made again from their predictions.json and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from twinrun.errors import InputError, gaps, shorten
from twinrun.predict.asked import Asked, ask
from twinrun.predict.predict import predict_images
from twinrun.predict.record import read_record_of
from twinrun.repro.facts import write_out_environment
from twinrun.run_folder.documents import refuse_changed_files

# Of images that are not the same so many are named.
_MOST = 20


def verify_new_predictions(
    record: Path, run: Path, images: Sequence[Path], sample: Path | None
) -> GradedVerdict:
    """Predict again, and grade what was recorded beside what comes out.

    Args:
        record: predictions.json, beside the file that it is of.
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
        return _judge(then, now, record.parent / output["file"], asked)


def _judge(
    then: Mapping[str, Any], now: Mapping[str, Any], before: Path, asked: Asked
) -> GradedVerdict:
    same = then["output"]["sha256"] == now["output"]["sha256"]
    measured: list[PredictionGap] = []
    unlike: list[str] = []
    try:
        measured.append(_gap(before, asked.output, then["output"]["kind"], asked.settings))
    except UnlikePredictions as error:
        unlike.append(f"{before.name}: {error.what}")
    engines = then["code"][:8], now["code"][:8]
    before_and_now = [write_out_environment(each["environment"]) for each in (then, now)]
    return judge(
        Evidence(
            same_bits=same,
            gaps=tuple(measured),
            unlike=tuple(unlike),
            causes=tuple(_causes(then, now)),
            engine=Cause("engine", ("{} then, {} now".format(*engines),))
            if engines[0] != engines[1]
            else None,
            environment=tuple(gaps(before_and_now[0], before_and_now[1])),
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


def _causes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Cause]:
    """What besides the machine is not the same: images first, as they come first."""
    lines = shorten(_images(then, now), most=_MOST)
    causes = [Cause("data", tuple(lines))] if lines else []
    if edited := [name for name, *_ in gaps(then["hooks"], now["hooks"])]:
        causes.append(Cause("own code", tuple(f"hooks.py: {name}" for name in edited)))
    for kind, name in (("weights", "weights"), ("settings", "settings"), ("blend", "blend")):
        if then[name] != now[name]:
            causes.append(Cause(kind, (f"{kind}: not those of the record",)))
    if then["sample"] != now["sample"]:
        causes.append(Cause("sample", ("the sample is another file",)))
    return causes


def _images(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    before, after = then["images"], now["images"]
    lines = [f"{name}: missing" for name in sorted(before.keys() - after.keys())]
    lines += [f"{name}: new" for name in sorted(after.keys() - before.keys())]
    both = sorted(before.keys() & after.keys())
    return [*lines, *(f"{name}: changed" for name in both if before[name] != after[name])]
