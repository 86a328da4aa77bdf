"""The grade of a run that was made again, or of one run beside another, from their files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinrun.compare.causes import find_causes, other_fitted_blend, other_fixed_blend
from twinrun.compare.format import summarize, tell_fault
from twinrun.compare.grade import ROUNDING_BOUND, Cause, Evidence, GradedVerdict, judge
from twinrun.compare.prediction_gaps import (
    PredictionGap,
    UnlikePredictions,
    compare_predictions,
    compare_submissions,
)
from twinrun.compare.runs import RunComparison
from twinrun.config.identity import write_out_settings
from twinrun.config.settings import Settings
from twinrun.config.trainings import member_of
from twinrun.errors import InputError
from twinrun.files import is_there, sha256_file
from twinrun.hooks.in_use import OWN_METRIC
from twinrun.metrics import METRICS
from twinrun.run_folder.manifest import read_manifest, read_manifest_if_there
from twinrun.run_folder.paths import PREDICTION_FILES, RESULT_FILES, RunFolder, TrainingFolder
from twinrun.run_folder.spread import read_spread
from twinrun.run_folder.trainings import run_of, trainings_in
from twinrun.submission_forms import FORMS

_PLAIN_METRIC = "log_loss"
_NO_SEEDS = "the recorded weights predict the same whatever the seed: its spread tells nothing"


@dataclass(frozen=True)
class Held:
    """The competition's metric, and what its submissions hold: the form's name, and the classes."""

    metric: str
    columns: str
    classes: list[str]


@dataclass(frozen=True)
class _Pair:
    """The results of a training, or of a member with folds, in two runs."""

    title: str
    first: Path
    second: Path
    files: Sequence[str]


def grade_runs(
    report: RunComparison,
    *,
    same: bool = True,
    submission: bool | None = None,
    bound: float = ROUNDING_BOUND,
) -> GradedVerdict:
    """Grade a second run beside a first one: the one that was recorded, and that made again.

    Args:
        report: The two, compared.
        same: False where something else was found to differ.
        submission: Whether the submissions are the same, where the report does not say; False:
            they differ, and are compared; None: there are not two.
        bound: For the grade "same to rounding".

    Raises:
        InputError: A file of a run is missing or damaged.
    """
    pairs, alone = _find_pairs(report)
    if report.files:
        # A file that is not what was predicted has no numbers that are worth a comparison.
        pairs, alone = [], [*map(tell_fault, report.files), *alone]
    differs = bool(report.submission) or submission is False
    if same and not differs and not alone and report.same_results and all(map(_same_files, pairs)):
        return judge(Evidence(same_bits=True, gaps=(), environment=_environment(report)), bound)
    manifests = [read_manifest_if_there(run) for run in report.runs]
    missing = [
        f"{run.resolve().name} has no manifest.json: whether all else is the same is not known"
        for run, manifest in zip(report.runs, manifests, strict=True)
        if manifest is None
    ]
    known = [manifest for manifest in manifests if manifest is not None]
    held = held_by(known[0] if known else None)
    gaps, unlike = _measure(pairs, held.metric, bound)
    submitted, unlike_too = _measure_submissions(*report.runs, held, bound) if differs else ([], [])
    spread, no_spread = _find_spread(report.runs, manifests)
    blends: list[str] = []
    if not missing:
        before, now = (manifest["content"] for manifest in known)
        blends += other_fitted_blend(before["blend"], now["blend"], before["settings"], bound)
    evidence = Evidence(
        same_bits=False,
        gaps=(*gaps, *submitted),
        metric=held.metric,
        unlike=(*alone, *missing, *unlike, *unlike_too),
        causes=find_causes(report, known) if not missing else (),
        engine=Cause("engine", (f"{report.code[0]} then, {report.code[1]} now",))
        if report.code
        else None,
        environment=_environment(report),
        spread=spread,
        no_spread=no_spread,
        fitted_blend=tuple(blends),
        first="" if report.same else summarize(report),
    )
    return judge(evidence, bound)


def grade_predictions(
    run: Path,
    again: Path,
    names: Sequence[str],
    *,
    same: bool,
    submission: bool | None,
    blend: Mapping[str, Any] | None,
    environment: Iterable[tuple[str, Any, Any]],
    retrained: bool = False,
    bound: float = ROUNDING_BOUND,
) -> GradedVerdict:
    """Grade what was predicted again from the recorded weights, or from weights trained again.

    Args:
        run: runs/<run>.
        again: Folder of the new predictions, laid out as a run.
        names: Of the members.
        same: Whether every bit is the same.
        submission: As for `grade_runs`.
        blend: The blend that was taken now, as `shapes.TakenBlend`; None where none was.
        environment: From `verify.compare_environments`.
        retrained: Whether the weights were trained again.
        bound: As for `grade_runs`.

    Raises:
        InputError: A file is damaged.
    """
    differences = {what: (then, now) for what, then, now in environment}
    code, engine = differences.pop("code", None), differences.pop("engine", None)
    pairs = []
    for name in names:
        trainings = trainings_in(RunFolder(run).training(name).path)
        titles = {each.name: each.title for each in trainings} | {name: name}
        pairs += [
            _Pair(title, *_folders(run, again, each), PREDICTION_FILES)
            for each, title in titles.items()
        ]
    manifest = read_manifest(run)
    content = manifest["content"]
    blends = (content["blend"], blend, content["settings"])
    fixed = tuple(other_fixed_blend(*blends))
    spread, no_spread = _find_spread([run], [manifest]) if retrained else (None, _NO_SEEDS)
    held = held_by(manifest)
    gaps, unlike = _measure(pairs, held.metric, bound)
    submitted, unlike_too = (
        _measure_submissions(run, again, held, bound) if submission is False else ([], [])
    )
    evidence = Evidence(
        same_bits=same,
        gaps=(*gaps, *submitted),
        metric=held.metric,
        unlike=(*unlike, *unlike_too),
        causes=(Cause("blend", fixed),) if fixed else (),
        fitted_blend=tuple(other_fitted_blend(*blends, bound)),
        engine=Cause("engine", ("{} then, {} now".format(*(engine or code)),)) if code else None,
        environment=tuple((what, *values) for what, values in differences.items()),
        spread=spread,
        no_spread=no_spread,
        first="" if same else "the predictions differ",
    )
    return judge(evidence, bound)


def _folders(first: Path, second: Path, name: str) -> tuple[Path, Path]:
    return RunFolder(first).training(name).path, RunFolder(second).training(name).path


def _find_pairs(report: RunComparison) -> tuple[list[_Pair], list[str]]:
    """What both runs have results of; and what only one has, or has complete."""
    pairs: dict[tuple[Path, Path], _Pair] = {}
    alone = [f"only in {'AB'[run]}: {name}" for run, name in _only(report)]
    for each in report.members:
        complete = [is_there(TrainingFolder(folder).record) for folder in each.folders]
        if all(complete):
            pairs[each.folders] = _Pair(each.title, *each.folders, RESULT_FILES)
        elif any(complete):
            alone.append(f"{each.title}: complete in {'AB'[complete.index(True)]} only")
        names = [run_of(folder)[1] for folder in each.folders]
        members = [member_of(name) for name in names]
        if names == members:
            continue
        whole = tuple(
            RunFolder(run).training(member).path
            for run, member in zip(report.runs, members, strict=True)
        )
        if all(is_there(TrainingFolder(folder).record) for folder in whole):
            title = " and ".join(dict.fromkeys(members))
            pairs[whole[0], whole[1]] = _Pair(title, whole[0], whole[1], PREDICTION_FILES)
    return list(pairs.values()), alone


def _only(report: RunComparison) -> Iterator[tuple[int, str]]:
    for run, names in enumerate((report.only_first, report.only_second)):
        for name in names:
            yield run, name


def _same_files(pair: _Pair) -> bool:
    return all(
        sha256_file(pair.first / file) == sha256_file(pair.second / file) for file in pair.files
    )


def _measure(
    pairs: Iterable[_Pair], metric: str, bound: float
) -> tuple[list[PredictionGap], list[str]]:
    """The numbers of all prediction files, and why some have none."""
    gaps, unlike = [], []
    for pair in pairs:
        for file in PREDICTION_FILES:
            try:
                gaps.append(
                    compare_predictions(
                        pair.title, pair.first / file, pair.second / file, metric, bound
                    )
                )
            except UnlikePredictions as error:
                unlike.append(f"{pair.title}, {file}: {error.what}")
    return gaps, unlike


def _measure_submissions(
    first: Path, second: Path, held: Held, bound: float
) -> tuple[list[PredictionGap], list[str]]:
    paths = [RunFolder(run).submission for run in (first, second)]
    try:
        return [
            compare_submissions(*paths, columns=held.columns, classes=held.classes, bound=bound)
        ], []
    except InputError as error:
        # Of a recorded one its digest counts: whether the file is still there is no matter here.
        what = error.what
        for path in paths:  # a verdict that is handed on names no folder of this machine
            what = what.replace(str(path), f"{path.resolve().parent.name}/{path.name}")
        return [], [f"submissions: {what}"]


def held_by(manifest: Mapping[str, Any] | None) -> Held:
    """What files of a run hold, as its record says; None: of one without any.

    A metric of a competitor's own whose code is not in use here, as that of a package, is not
    called: the log loss stands for it.
    """
    settings: dict[str, Any] = {}
    if manifest is not None:
        settings = write_out_settings(Settings, manifest["content"]["settings"])
    competition, submission = settings.get("competition", {}), settings.get("submission", {})
    metric = competition.get("metric", _PLAIN_METRIC)
    if metric == OWN_METRIC and metric not in METRICS:
        metric = _PLAIN_METRIC
    return Held(
        METRICS.get(metric).name,
        FORMS.get(submission.get("columns", "classes")).name,
        [*competition.get("classes", ()), *submission.get("unseen", ())],
    )


def _find_spread(
    runs: Sequence[Path], manifests: Sequence[Mapping[str, Any] | None]
) -> tuple[dict[str, Any] | None, str]:
    """What the first of the runs that has one recorded of its seeds; or why there is none."""
    reason = "no run has recorded a spread of seeds"
    for run, manifest in zip(runs, manifests, strict=True):
        if manifest is not None:
            spread, why = read_spread(run, manifest)
            if spread is not None:
                return spread, ""
            reason = why if run == runs[0] else reason
    return None, reason


def _environment(report: RunComparison) -> tuple[tuple[str, Any, Any], ...]:
    return tuple((gap.name, gap.first, gap.second) for gap in report.environment)
