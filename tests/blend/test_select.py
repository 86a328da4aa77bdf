"""The blend that is taken, why, and what must not be kept back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.predictions import Values, drawn_labels, held_of, seeing, settings_for
from twinrun.blend.select import ChosenBlend, choose_blend, fixed_blend
from twinrun.blend_methods.methods import BLEND_METHODS
from twinrun.errors import InputError


def chosen(
    folder: Path,
    values: Mapping[str, Values],
    labels: npt.NDArray[np.int64],
    method: str,
    metric: str = "log_loss",
    **blend: Any,
) -> ChosenBlend:
    held = held_of(values, labels.tolist())
    made = settings_for(folder, list(values), held.classes, metric, method=method, **blend)
    return choose_blend(held, made, list(values))


def test_auto_gives_weight_where_it_helps_and_says_why(tmp_path: Path) -> None:
    labels = drawn_labels(300, 3)
    values = {
        "good": seeing(labels, 3, skill=2.5, noise=1, seed=1),
        "poor": seeing(labels, 3, skill=0.2, noise=2, seed=2),
        "noise": seeing(labels, 3, skill=0, noise=2, seed=3),
    }
    found = chosen(tmp_path, values, labels, "auto")
    assert found.method in ("optimised", "selection")
    assert found.weights["good"] > 0.8
    assert found.taken is not None
    nested = {each.candidate: each.nested for each in found.candidates}
    assert len(nested) == 10
    assert found.taken.nested == min(nested.values())
    assert found.reason.startswith("Best nested log loss of 10 candidates: ")
    assert f", {found.taken.nested:.4f}; next: " in found.reason
    assert not found.warnings
    assert found.without["good"] > found.taken.nested + 0.1
    assert found.without["noise"] == pytest.approx(found.taken.nested, abs=0.01)
    assert found.members["good"] < found.members["poor"]


def test_auto_takes_the_arithmetic_mean_of_equals(tmp_path: Path) -> None:
    labels = drawn_labels(200, 3)
    one = seeing(labels, 3, skill=1, noise=1, seed=1)
    found = chosen(tmp_path, {"p": one, "q": one, "r": one}, labels, "auto")
    assert (found.method, found.temperature) == ("arithmetic", 1.0)
    assert "candidates: arithmetic mean, " in found.reason


def test_auto_takes_the_geometric_mean_where_it_is_best(tmp_path: Path) -> None:
    # Members whose logits are independent views of the truth: their logits are to be added up.
    labels = drawn_labels(2000, 3)
    values = {
        name: seeing(labels, 3, skill=2, noise=2, seed=number, sure=0.5)
        for number, name in enumerate("pqrs")
    }
    found = chosen(tmp_path, values, labels, "auto")
    assert found.method == "geometric"
    assert "candidates: geometric mean" in found.reason


def test_auto_takes_a_temperature_for_what_is_too_sure(tmp_path: Path) -> None:
    labels = drawn_labels(400, 3)
    one = seeing(labels, 3, skill=1, noise=1, seed=1, sure=5)
    found = chosen(tmp_path, {"p": one, "q": one}, labels, "auto")
    assert found.temperature > 2
    assert "with a temperature" in found.reason.split(";")[0]
    # It cannot change which class is likeliest: by accuracy it does not help, and is not taken.
    found = chosen(tmp_path, {"p": one, "q": one}, labels, "auto", "accuracy")
    assert found.temperature == 1.0


@pytest.mark.parametrize(("sure", "helps"), [(5.0, True), (1.0, False)])
def test_a_temperature_is_taken_only_where_it_helps_on_the_nested_score(
    tmp_path: Path, sure: float, helps: bool
) -> None:
    labels = drawn_labels(60, 3, seed=5)
    one = {"p": seeing(labels, 3, skill=1, noise=1, seed=4, sure=sure)}
    found = chosen(tmp_path, one, labels, "arithmetic", calibrate=True)
    assert [each.candidate.calibrated for each in found.candidates] == [False, True]
    plain, calibrated = found.candidates
    assert calibrated.fitted < plain.fitted, "fitted it always looks better"
    assert (calibrated.nested < plain.nested) == helps
    assert (found.temperature != 1.0) == helps
    assert ("helps" in found.reason.split()) == helps


def test_auto_fits_nothing_to_few_images(tmp_path: Path) -> None:
    labels = drawn_labels(29, 3)
    values = {
        "good": seeing(labels, 3, skill=5, noise=1, seed=1),
        "noise": seeing(labels, 3, skill=0, noise=2, seed=3),
    }
    found = chosen(tmp_path, values, labels, "auto", weights={"good": 1.0, "noise": 2.0})
    assert found.method == "arithmetic"
    assert found.weights == {"good": 1.0, "noise": 2.0}
    assert "only 29 images" in found.reason.lower()
    assert "fewer than 30" in found.reason
    more = drawn_labels(30, 3)
    enough = {name: np.vstack([each, each[:1]]) for name, each in values.items()}
    assert chosen(tmp_path, enough, more, "auto").asked == "auto"
    assert len(chosen(tmp_path, enough, more, "auto").candidates) == 10


@pytest.mark.parametrize("method", ["optimised", "selection"])
def test_an_explicit_fit_to_few_images_goes_on_with_a_warning(tmp_path: Path, method: str) -> None:
    labels = drawn_labels(12, 3)
    values = {name: seeing(labels, 3, skill=1, noise=1, seed=n) for n, name in enumerate("pq")}
    found = chosen(tmp_path, values, labels, method)
    assert found.method == method
    assert any("Only 12 images" in line for line in found.warnings)
    assert "follows chance" in found.content()["why"]
    more = drawn_labels(60, 3)
    values = {name: seeing(more, 3, skill=1, noise=1, seed=n) for n, name in enumerate("pq")}
    assert not any("Only" in line for line in chosen(tmp_path, values, more, method).warnings)


def test_an_explicit_fit_to_one_image_says_that_it_has_no_nested_score(tmp_path: Path) -> None:
    labels = drawn_labels(1, 3)
    values = {name: seeing(labels, 3, skill=1, noise=1, seed=n) for n, name in enumerate("pq")}
    found = chosen(tmp_path, values, labels, "optimised")
    assert any("no nested log loss" in line for line in found.warnings)
    assert found.score is None
    assert (
        json.loads(json.dumps(found.content(), allow_nan=False))["candidates"][1]["nested"] is None
    )


@pytest.mark.parametrize(("metric", "word"), [("log_loss", "log loss"), ("accuracy", "accuracy")])
def test_a_blend_that_is_worse_than_its_best_member_says_so(
    tmp_path: Path, metric: str, word: str
) -> None:
    labels = drawn_labels(200, 3)
    values = {f"m{n}": seeing(labels, 3, skill=0, noise=3, seed=n) for n in range(4)}
    values["good"] = seeing(labels, 3, skill=4, noise=1, seed=9)
    found = chosen(tmp_path, values, labels, "arithmetic", metric)
    (line,) = found.warnings
    assert f"WORSE than its best member: nested {word}" in line
    assert f"good alone {found.members['good']:.4f}" in line
    assert line in found.content()["why"]
    # Without the four it would be better, and the table of what each adds shows it.
    assert found.taken is not None
    better = max if metric == "accuracy" else min
    assert better(found.without["m0"], found.taken.nested) == found.without["m0"]
    fair = {f"m{n}": seeing(labels, 3, skill=1, noise=1, seed=n) for n in range(4)}
    assert not chosen(tmp_path, fair, labels, "arithmetic", metric).warnings


def test_a_fit_that_is_worse_than_no_fit_says_so(tmp_path: Path) -> None:
    labels = drawn_labels(40, 3)
    values = {f"m{n:02d}": seeing(labels, 3, skill=1, noise=2, seed=n) for n in range(15)}
    found = chosen(tmp_path, values, labels, "optimised")
    assert [each.candidate.method.name for each in found.candidates] == ["arithmetic", "optimised"]
    assert any("arithmetic mean without any fit is better" in line for line in found.warnings)
    assert chosen(tmp_path, values, labels, "auto").method != "optimised"


def test_auto_without_a_defined_metric_takes_the_mean_and_says_so(tmp_path: Path) -> None:
    labels = np.zeros(40, dtype=np.int64)
    values = {name: seeing(labels, 2, skill=1, noise=1, seed=n) for n, name in enumerate("pq")}
    found = chosen(tmp_path, values, labels, "auto", "auc")
    assert found.method == "arithmetic"
    assert "AUC is not defined" in found.reason
    assert found.score is not None
    assert math.isnan(found.score.value)
    json.dumps(found.content(), allow_nan=False)


def test_without_a_common_image_a_fit_is_refused_and_fixed_weights_are_not(tmp_path: Path) -> None:
    for blend in ({"method": "auto"}, {"method": "optimised"}, {"calibrate": True}):
        with pytest.raises(InputError, match="no image was held out by every member") as caught:
            fixed_blend(settings_for(tmp_path, ["p", "q"], **blend), ["p", "q"])
        assert "p, q" in caught.value.what
    found = fixed_blend(settings_for(tmp_path, ["p", "q"]), ["q", "p"])
    assert found.weights == {"q": 1.0, "p": 1.0}
    content = json.loads(json.dumps(found.content(), allow_nan=False))
    assert content["images"] == 0
    assert content["members"] == {"q": None, "p": None}


def test_blend_json_holds_what_the_tables_show(tmp_path: Path) -> None:
    labels = drawn_labels(100, 3)
    values = {name: seeing(labels, 3, skill=1, noise=1, seed=n) for n, name in enumerate("pqr")}
    found = chosen(tmp_path, values, labels, "auto")
    content = found.content()
    assert set(content) == {
        *("version", "asked", "method", "why", "metric", "images", "weights", "temperature"),
        *("candidates", "members", "without", "missing", "without_copies"),
    }
    assert (content["version"], content["asked"], content["images"]) == (1, "auto", 100)
    taken = next(
        each
        for each in content["candidates"]
        if (each["method"], each["temperature"]) == (content["method"], content["temperature"])
    )
    assert taken["weights"] == content["weights"]
    assert found.score is not None
    assert taken["nested"] == found.score.value
    assert set(content["members"]) == set(content["without"]) == {"p", "q", "r"}
    assert {name: content[name] for name in found.record()} == found.record()


@pytest.mark.parametrize("images", [40, 200])
def test_copies_of_few_images_are_few_images(tmp_path: Path, images: int) -> None:
    """A member that is right about one photo is as right about each of its copies."""
    labels = drawn_labels(images, 3)
    groups = [f"group {number % 20}" for number in range(images)]
    values = {name: seeing(labels, 3, skill=1, noise=1, seed=n) for n, name in enumerate("pq")}
    held = held_of(values, labels.tolist(), groups)
    few = f"nly {images} images (20 without copies) were held out by every member, fewer than 30: "
    found = choose_blend(held, settings_for(tmp_path, "pq", method="auto"), "pq")
    assert found.method == "arithmetic"
    assert len(found.candidates) == 1
    assert f"{few}nothing is fitted to so few." in found.reason
    found = choose_blend(held, settings_for(tmp_path, "pq", method="optimised"), "pq")
    assert any(f"{few}what is fitted follows chance." in each for each in found.warnings)
    content = found.content()
    assert (content["images"], content["without_copies"]) == (images, 20)


def test_the_weights_of_fixed_means_keep_the_settings_order(tmp_path: Path) -> None:
    labels = drawn_labels(40, 3)
    values = {name: seeing(labels, 3, skill=1, noise=1, seed=n) for n, name in enumerate("rpq")}
    assert list(chosen(tmp_path, values, labels, "arithmetic").weights) == ["r", "p", "q"]
    assert list(chosen(tmp_path, values, labels, "optimised").weights) == ["p", "q", "r"]


def test_a_single_member_is_blended_too(tmp_path: Path) -> None:
    labels = drawn_labels(40, 3)
    found = chosen(tmp_path, {"p": seeing(labels, 3, skill=1, noise=1, seed=1)}, labels, "auto")
    assert found.weights["p"] == 1.0
    assert math.isnan(found.without["p"])


@pytest.mark.parametrize("method", ["auto", *BLEND_METHODS.names])
@pytest.mark.parametrize("calibrate", [False, True])
def test_of_a_single_member_there_is_one_blend(
    tmp_path: Path, method: str, calibrate: bool
) -> None:
    """All methods make the same of it: as many rows of the same numbers say nothing."""
    labels = drawn_labels(60, 3)
    one = {"p": seeing(labels, 3, skill=1, noise=1, seed=1, sure=4)}
    found = chosen(tmp_path, one, labels, method, calibrate=calibrate)
    assert len({each.candidate for each in found.candidates}) == len(found.candidates)
    assert len(found.candidates) == 1 + (calibrate or method == "auto")
    assert len({each.nested for each in found.candidates}) == len(found.candidates)
    assert found.method == ("arithmetic" if method == "auto" else method)
    assert found.weights == {"p": 1.0}
