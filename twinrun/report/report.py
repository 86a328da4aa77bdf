"""report.html: a run on one page that needs nothing else and opens from the disk."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from twinrun.blend.held_out import HeldOut, align_held_out, own_scores, read_held_out_tables
from twinrun.blend_methods.methods import mean_of
from twinrun.config.settings import Settings
from twinrun.console import clock
from twinrun.files import write_text
from twinrun.locks import lock_record
from twinrun.metrics import METRICS, additional_metric, compare_score
from twinrun.report.error_analysis import LabelledPredictions, analyse_errors
from twinrun.report.figures import calibration_curve
from twinrun.report.member_contributions import (
    Tables,
    align_blended,
    blend_held_out,
    gains,
    scores_without,
)
from twinrun.report.members import portrait
from twinrun.report.sourced_value import Shown, Source, read_source, source_name
from twinrun.report.thumbnails import Thumbnails
from twinrun.report.verdicts import overall, read_verdicts
from twinrun.run_folder.audit import read_audit
from twinrun.run_folder.manifest import read_blend, read_manifest, read_run_settings
from twinrun.run_folder.paths import RunFolder
from twinrun.run_folder.tables import read_index

# What a page can hold of the audit; what is left out is counted.
MOST_GROUPS = 30
MOST_OF_A_GROUP = 6
MOST_LINES = 12
# Curves of many members are many kilobytes.
MOST_CURVES = 40


def write_report(run: Path, data: Path | None = None, tables: Tables | None = None) -> Path:
    """Write runs/<run>/report.html from the files that the run has by now.

    The same files, the same bytes: clocks and durations are the manifest's. What is not there yet
    leaves its section with one sentence.

    Args:
        run: runs/<run>.
        data: The data folder, for thumbnails; None for the one that is recorded.
        tables: The members' held-out predictions, from `read_held_out_tables`; read when None.

    Returns:
        The file.

    Raises:
        InputError: It is no run, one of its files is damaged, or the page cannot be written.
    """
    path, text = RunFolder(run).report, render(run, data, tables)
    # Whoever takes a turn removes what looks unfinished in the run's folder.
    with lock_record(run):
        write_text(path, text)
    return path


def render(run: Path, data: Path | None = None, tables: Tables | None = None) -> str:
    """The page's text; arguments and errors as for `write_report`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("twinrun", "report/page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["some"] = _some
    return environment.get_template("report.html").render(gather(run, data, tables)) + "\n"


def gather(run: Path, data: Path | None = None, tables: Tables | None = None) -> dict[str, Any]:
    """All that the page shows; arguments and errors as for `write_report`."""
    settings = read_run_settings(run, data)
    manifest = Source(source_name(run, RunFolder(run).manifest), read_manifest(run))
    audit = read_source(run, RunFolder(run).audit, lambda _: read_audit(run))
    blend = read_source(run, RunFolder(run).blend, lambda _: read_blend(run))
    verdicts = read_verdicts(run, manifest.content)
    names = _by_weight(settings, blend)
    portraits = [portrait(run, name, number) for number, name in enumerate(names, 1)]
    found = read_held_out_tables(run, names, settings.classes) if tables is None else tables
    tables = {name: found[name] for name in names if name in found}
    weights = {name: _weight(name, settings, blend) for name in names}
    computed, judged_what = _computed(tables, weights, settings, blend)
    computed["seconds"] = sum(
        each.record.at("seconds") or 0.0 for each in portraits if each.record is not None
    )
    judged = computed["judged"]
    thumbnails = Thumbnails(settings.data_folder, _index(run))
    pictures = {key: thumbnails.of(*key) for key in _images_shown(judged, audit)}
    return {
        "run": run.resolve().name,
        "settings": settings,
        "metric": METRICS.get(settings.competition.metric).words,
        "mean": mean_of(settings.blend.method).name,
        "own_metric": additional_metric(settings.competition.metric) is not None,
        "manifest": manifest,
        "verdicts": verdicts,
        "overall": overall(verdicts),
        "moment": _moment,
        "portraits": portraits,
        "weights": {
            name: _shown_weight(name, settings, manifest, Source("computed", computed), blend)
            for name in names
        },
        "largest": max(weights.values()),
        "most_curves": MOST_CURVES,
        "computed": Source("computed", computed),
        "calibration": calibration_curve("calibration", _calibration_in_words(judged), bins)
        if (bins := judged["calibration"]["bins"] if judged else [])
        else "",
        "judged_what": judged_what,
        "blend": blend,
        "is_taken": _is_taken,
        "audit": audit,
        "most_groups": MOST_GROUPS,
        "most_of_a_group": MOST_OF_A_GROUP,
        "most_lines": MOST_LINES,
        "pictures": pictures,
        "no_pictures": thumbnails.why,
        "clock": clock,
    }


def _computed(
    tables: Tables,
    weights: Mapping[str, float],
    settings: Settings,
    blend: Source | None,
) -> tuple[dict[str, Any], str]:
    """What is computed from the held-out predictions, and in words whose they are."""
    metric = settings.competition.metric
    held = align_blended(tables, weights, settings)
    found, what = _analysed(held, tables, weights, settings, blend)
    scores = own_scores(tables, metric)
    computed: dict[str, Any] = {
        "judged": analyse_errors(found) if found is not None else None,
        "members": {name: {"score": value} for name, value in scores.items()},
        "weights": dict(weights),
        "score": None,
        "without": {},
        "adds": {},
    }
    if found is not None:
        compared = compare_score(found.probabilities, found.truth, found.classes, metric)
        computed["score"] = {
            "value": compared.value,
            "simple": compared.metric.simple.words,
            "simple_value": compared.simple_value,
        }
        if blend is None and held is not None:
            computed["without"] = scores_without(held, weights, settings)
            computed["adds"] = gains(compared.value, computed["without"], metric)
    if blend is not None:
        taken = [each["nested"] for each in blend.content["candidates"] if _is_taken(each, blend)]
        if taken:
            computed["adds"] = gains(taken[0], blend.content["without"], metric)
    return computed, what


def _is_taken(candidate: dict[str, Any], blend: Source) -> bool:
    """Whether it is the blend: one method may stand there with a temperature and without."""
    return all(candidate[key] == blend.at(key) for key in ("method", "temperature"))


def _analysed(
    held: HeldOut | None,
    tables: Tables,
    weights: Mapping[str, float],
    settings: Settings,
    blend: Source | None,
) -> tuple[LabelledPredictions | None, str]:
    """The predictions that the page looks into, and in words whose they are."""
    taking_part = [name for name, weight in weights.items() if weight]
    if held is not None:
        values = blend_held_out(held, weights, settings, blend)
        found = LabelledPredictions(held.ids, held.classes, values, held.labels)
        if len(held.members) == 1 and len(taking_part) == 1:
            return found, f"of {held.members[0]}"
        missing = len(taking_part) - len(held.members)
        some = f", of which {len(held.members)} are here by now" if missing else ""
        return found, f"of the blend of {len(taking_part)} members{some}"
    if not tables:
        return None, "No member has held-out predictions yet (valid.csv)."
    # No image that all held out: the member with the most images speaks for itself.
    name = max(tables, key=lambda each: (len(tables[each]), each))
    alone = align_held_out({name: tables[name]}, {}, settings)
    found = LabelledPredictions(alone.ids, alone.classes, alone.values[0], alone.labels)
    return found, f"of {name} alone: the members have no held-out image in common"


def _calibration_in_words(judged: dict[str, Any]) -> str:
    points = [
        f"of {_some(each['images'], 'image')} with a mean confidence of {each['confidence']:.2f}, "
        f"{each['accuracy']:.2f} right"
        for each in judged["calibration"]["bins"]
    ]
    return f"Share of right predictions by confidence: {'; '.join(points)}."


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


def _index(run: Path) -> pd.DataFrame | None:
    return read_index(run) if RunFolder(run).index.is_file() else None


def _images_shown(judged: dict[str, Any] | None, audit: Source | None) -> list[tuple[str, str]]:
    """(part, id) of each image with a thumbnail, in the order of the page."""
    shown: list[tuple[str, str]] = []
    if judged is not None:
        shown += [("train", each["id"]) for each in judged["worst"]]
        shown += [("train", each["id"]) for each in judged["suspects"]["images"]]
    if audit is not None:
        for group in (audit.at("groups") or [])[:MOST_GROUPS]:
            shown += [(each["part"], each["id"]) for each in group["images"][:MOST_OF_A_GROUP]]
    return shown


def _moment(written: str) -> str:
    """A time in ISO's form as people write it: 2026-11-24, 09:33 UTC."""
    return datetime.datetime.fromisoformat(written).strftime("%Y-%m-%d, %H:%M UTC")


def _some(count: int, one: str, many: str = "") -> str:
    """A count with its word: `1 image`, `1,234 images`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
