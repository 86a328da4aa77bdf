"""What the page is made of: a run's files as they are read, and what is computed of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinrun.blend.held_out import own_scores, read_groups, read_held_out_tables
from twinrun.config.settings import Settings
from twinrun.data.decode_settings import DecodeSettings
from twinrun.data.wide_values import ValueRange
from twinrun.metrics import METRICS, Metric, compare_score
from twinrun.report.error_analysis import LabelledPredictions, analyse_errors
from twinrun.report.looked_into import LookedInto, look_into
from twinrun.report.member_contributions import Tables, align_members, gains, scores_without
from twinrun.report.member_correlation import correlate_members
from twinrun.report.members import ReportedMember, read_member
from twinrun.report.sourced_value import Shown, Source, source_name
from twinrun.report.thumbnails import Thumbnails
from twinrun.report.verdicts import Verdict, read_verdicts
from twinrun.run_folder.audit import read_audit_if_there
from twinrun.run_folder.manifest import (
    read_blend_if_there,
    read_manifest,
    read_run_settings,
    recorded_range,
)
from twinrun.run_folder.paths import RunFolder
from twinrun.run_folder.tables import read_index_if_there


@dataclass(frozen=True)
class RunData:
    """A run, for the sections of its page.

    Attributes:
        run: runs/<run>.
        settings: As recorded.
        manifest: manifest.json.
        audit: audit.json; None where there is none.
        blend: blend.json; None where there is none.
        verdicts: Of the checks that lie beside the run.
        members: Those with the largest weight first.
        weights: By member, in that order, for the page.
        computed: Of the held-out predictions: errors (see `analyse_errors`), members, weights,
            score, without, adds, correlation; and seconds, of all trainings.
        looked_into: The predictions that `errors` and `score` are of.
        thumbnails: Of the data's images.
    """

    run: Path
    settings: Settings
    manifest: Source
    audit: Source | None
    blend: Source | None
    verdicts: list[Verdict]
    members: list[ReportedMember]
    weights: dict[str, Shown]
    computed: Source
    looked_into: LookedInto
    thumbnails: Thumbnails

    @property
    def errors(self) -> dict[str, Any] | None:
        """From `analyse_errors`; None where no image was held out."""
        found: dict[str, Any] | None = self.computed.at("errors")
        return found

    @property
    def metric(self) -> Metric:
        """The competition's."""
        return METRICS.get(self.settings.competition.metric)


def read_run_data(run: Path, data: Path | None = None, tables: Tables | None = None) -> RunData:
    """Read a run's files and compute what its page shows.

    Args:
        run: runs/<run>.
        data: The data folder, for thumbnails; None for the one that is recorded.
        tables: The members' held-out predictions, from `read_held_out_tables`; read when None.

    Raises:
        InputError: It is no run, or one of its files is damaged.
    """
    settings = read_run_settings(run, data)
    manifest = Source(source_name(run, RunFolder(run).manifest), read_manifest(run))
    audit = _source(run, RunFolder(run).audit, read_audit_if_there(run))
    blend = _source(run, RunFolder(run).blend, read_blend_if_there(run))
    names = _by_weight(settings, blend)
    members = [
        read_member(run, name, settings.members[name], number)
        for number, name in enumerate(names, 1)
    ]
    found = read_held_out_tables(run, names, settings.classes) if tables is None else tables
    tables = {name: found[name] for name in names if name in found}
    weights = {name: _weight(name, settings, blend) for name in names}
    groups = read_groups(run)
    looked_into = look_into(tables, weights, groups, settings, blend)
    content = _compute(looked_into.predictions, tables, weights, groups, settings, blend)
    content["seconds"] = sum(
        each.record.at("seconds") or 0.0 for each in members if each.record is not None
    )
    computed = Source("computed", content)
    return RunData(
        run=run,
        settings=settings,
        manifest=manifest,
        audit=audit,
        blend=blend,
        verdicts=read_verdicts(run, manifest.content),
        members=members,
        weights={name: _shown_weight(name, settings, manifest, computed, blend) for name in names},
        computed=computed,
        looked_into=looked_into,
        thumbnails=Thumbnails(
            settings.data_folder,
            read_index_if_there(run),
            ValueRange(*values) if (values := recorded_range(run)) else None,
            DecodeSettings.of(settings).reader,
            part=settings.data.unreadable == "partial",
        ),
    )


def _compute(
    found: LabelledPredictions | None,
    tables: Tables,
    weights: Mapping[str, float],
    groups: Mapping[str, str],
    settings: Settings,
    blend: Source | None,
) -> dict[str, Any]:
    """What is computed from the held-out predictions."""
    metric = settings.competition.metric
    scores = own_scores(tables, metric)
    computed: dict[str, Any] = {
        "errors": analyse_errors(found) if found is not None else None,
        "members": {name: {"score": value} for name, value in scores.items()},
        "weights": dict(weights),
        "score": None,
        "without": {},
        "adds": {},
        "correlation": correlate_members(tables, groups, settings),
    }
    if found is not None:
        compared = compare_score(found.probabilities, found.truth, found.classes, metric)
        computed["score"] = {
            "value": compared.value,
            "simple": compared.metric.simple.words,
            "simple_value": compared.simple_value,
        }
        held = align_members(tables, weights, groups, settings) if blend is None else None
        if held is not None:
            computed["without"] = scores_without(held, weights, settings)
            computed["adds"] = gains(compared.value, computed["without"], metric)
    if blend is not None:
        taken = [each["nested"] for each in blend.content["candidates"] if is_taken(each, blend)]
        if taken:
            computed["adds"] = gains(taken[0], blend.content["without"], metric)
    return computed


def is_taken(candidate: dict[str, Any], blend: Source) -> bool:
    """Whether it is the blend: one method may stand there with a temperature and without."""
    return all(candidate[key] == blend.at(key) for key in ("method", "temperature"))


def _by_weight(settings: Settings, blend: Source | None) -> list[str]:
    """The members, those with the largest weight in the blend first."""
    return sorted(settings.members, key=lambda name: (-_weight(name, settings, blend), name))


def _weight(name: str, settings: Settings, blend: Source | None) -> float:
    if blend is not None:
        return float(blend.at("weights", name) or 0.0)
    return settings.weight(name)


def _shown_weight(
    name: str, settings: Settings, manifest: Source, computed: Source, blend: Source | None
) -> Shown:
    if blend is not None:
        return blend.show("weights", name, form=".4g")
    if settings.blend.weights:
        return manifest.show("content", "settings", "blend", "weights", name, form=".4g")
    return computed.show("weights", name, form=".4g")


def _source(run: Path, path: Path, content: dict[str, Any] | None) -> Source | None:
    return None if content is None else Source(source_name(run, path), content)
