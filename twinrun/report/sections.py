"""The sections of a run's page, in one table: the page and its navigation are made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from twinrun.blend.choice import setting_lines
from twinrun.blend_methods.methods import BLEND_METHODS, Stack, mean_of
from twinrun.console import count_of
from twinrun.data.image_count import ENOUGH
from twinrun.metrics import additional_metric
from twinrun.registry import Registry
from twinrun.report.figures import calibration_curve
from twinrun.report.run_data import RunData, is_taken
from twinrun.report.thumbnails import Thumbnail

# What a page can hold of the audit; what is left out is counted.
MOST_GROUPS = 30
MOST_OF_A_GROUP = 6
MOST_LINES = 12
# Curves of many members are many kilobytes.
MOST_CURVES = 40


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of the page.

    Attributes:
        name: Its id, that links lead to.
        title: Its heading.
        nav: Its words in the navigation.
        gather: From the run's data what its template names. All sections gather before the first
            is rendered.
        template: Jinja, of what stands below the heading. It may import the macros of parts.html
            and use the filter `some` and the functions `clock` and `moment`; a value that is shown
            by `Source.show` names its file and place.
    """

    name: str
    title: str
    nav: str
    gather: Callable[[RunData], Mapping[str, Any]]
    template: str


SECTIONS: Registry[Section] = Registry("section of the report", Section)
"""In the order of the page."""


def _add(name: str, title: str, gather: Callable[[RunData], Mapping[str, Any]], nav: str) -> None:
    """Add a section whose template lies in page/sections."""
    path = files("twinrun") / "report" / "page" / "sections" / f"{name}.html"
    template = path.read_text(encoding="utf-8")
    SECTIONS.add(Section(name=name, title=title, nav=nav, gather=gather, template=template))


def _verdict(data: RunData) -> Mapping[str, Any]:
    return {"verdicts": data.verdicts}


def _members(data: RunData) -> Mapping[str, Any]:
    own = additional_metric(data.metric.name)
    return {
        "members": data.members,
        "weights": data.weights,
        "own_metric": own.words if own is not None else "",
        "has_views": _has_views(data),
        "computed": data.computed,
    }


def _curves(data: RunData) -> Mapping[str, Any]:
    return {
        "members": data.members,
        "most_curves": MOST_CURVES,
        "has_views": _has_views(data),
        "takes_best": any(each.recipe.take.epoch == "best" for each in data.members),
        "has_averages": any(each.recipe.ema.use == "ema" for each in data.members),
    }


def _has_views(data: RunData) -> bool:
    """Whether a member is predicted with test-time augmentation."""
    return any(each.recipe.test_time.method != "none" for each in data.members)


def _blend(data: RunData) -> Mapping[str, Any]:
    origin = data.blend.content["origin"] if data.blend else None
    return {
        "blend": data.blend,
        "choice": setting_lines(origin["blend"], origin["settings"]) if origin else [],
        "mean": mean_of(data.settings.blend.method).name,
        "clamp": data.settings.blend.clamp,
        "metric": data.metric.words,
        "weights": data.weights,
        "stack": _stack(data),
        "largest": max(data.computed.at("weights").values()),
        "computed": data.computed,
        "is_taken": is_taken,
    }


def _stack(data: RunData) -> Stack | None:
    return BLEND_METHODS.get(data.blend.at("method")).stack if data.blend else None


def _errors(data: RunData) -> Mapping[str, Any]:
    return {
        "errors": data.errors,
        "looked_into": data.looked_into,
        "computed": data.computed,
        "enough": ENOUGH,
    }


def _calibration(data: RunData) -> Mapping[str, Any]:
    bins = data.errors["calibration"]["bins"] if data.errors else []
    curve = calibration_curve("calibration", _calibration_in_words(bins), bins) if bins else ""
    return {**_errors(data), "curve": curve}


def _calibration_in_words(bins: list[dict[str, Any]]) -> str:
    points = [
        f"of {count_of(each['images'], 'image')} with a mean confidence of "
        f"{each['confidence']:.2f}, {each['accuracy']:.2f} right"
        for each in bins
    ]
    return f"Share of right predictions by confidence: {'; '.join(points)}."


def _worst(data: RunData) -> Mapping[str, Any]:
    images = data.errors["worst"] if data.errors else []
    return {**_errors(data), **_pictures(data, [("train", each["id"]) for each in images])}


def _labels(data: RunData) -> Mapping[str, Any]:
    images = data.errors["suspects"]["images"] if data.errors else []
    return {**_errors(data), **_pictures(data, [("train", each["id"]) for each in images])}


def _audit(data: RunData) -> Mapping[str, Any]:
    groups = (data.audit.at("groups") or [])[:MOST_GROUPS] if data.audit else []
    shown = [
        (each["part"], each["id"]) for group in groups for each in group["images"][:MOST_OF_A_GROUP]
    ]
    return {
        "audit": data.audit,
        "most_groups": MOST_GROUPS,
        "most_of_a_group": MOST_OF_A_GROUP,
        "most_lines": MOST_LINES,
        **_pictures(data, shown),
    }


def _provenance(data: RunData) -> Mapping[str, Any]:
    return {"manifest": data.manifest, "content": data.manifest.content["content"]}


def _pictures(data: RunData, images: list[tuple[str, str]]) -> dict[str, Any]:
    """Thumbnails by (part, id); and where to ask, when all are made, what has none."""
    pictures: dict[tuple[str, str], Thumbnail | None]
    pictures = {key: data.thumbnails.of(*key) for key in images}
    return {"pictures": pictures, "thumbnails": data.thumbnails}


_add("verdict", "Verdict", _verdict, "Verdict")
_add("members", "Members", _members, "Members")
_add("curves", "Learning curves", _curves, "Learning curves")
_add("blend", "Blend", _blend, "Blend")
_add("confusion", "Confusion", _errors, "Confusion")
_add("calibration", "Calibration", _calibration, "Calibration")
_add("classes", "Classes", _errors, "Classes")
_add("worst", "Highest loss", _worst, "Highest loss")
_add("labels", "Doubted labels", _labels, "Labels")
_add("audit", "Audit", _audit, "Audit")
_add("provenance", "Provenance and times", _provenance, "Provenance")
