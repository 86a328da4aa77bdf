"""Nested validation: what is shown was not fitted, and chance does not look like skill."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.predictions import drawn_labels, held_of, seeing, settings_for
from twinrun.blend.held_out import HeldOut
from twinrun.blend.nested import Candidate, NestedValidation, nested_parts
from twinrun.blend_methods.joint_fit import optimise_with_temperature
from twinrun.blend_methods.methods import BLEND_METHODS
from twinrun.blend_methods.temperature import apply_temperature, fit_temperature
from twinrun.metrics import METRICS, score_values


def as_ids(held: HeldOut, seed: int) -> list[set[str]]:
    return [{held.ids[row] for row in part} for part in nested_parts(held, seed)]


def some(images: int, classes: int = 3, groups: list[str] | None = None) -> HeldOut:
    labels = drawn_labels(images, classes)
    members = {"m": np.full((images, classes), 1 / classes)}
    return held_of(members, labels.tolist(), groups)


def test_every_image_is_left_out_once_and_classes_are_even() -> None:
    held = some(93)
    parts = nested_parts(held, 0)
    assert len(parts) == 5
    assert sorted(np.concatenate(parts).tolist()) == list(range(93))
    for part in parts:
        assert all(5 <= count <= 8 for count in Counter(held.labels[part].tolist()).values())


@settings(deadline=None, max_examples=25)
@given(images=st.integers(1, 60), classes=st.integers(1, 6), seed=st.integers(0, 50))
def test_groups_stay_whole_and_every_image_has_one_part(
    images: int, classes: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    groups = [f"g{number}" for number in random.integers(max(1, images // 2), size=images)]
    held = held_of(
        {"m": np.full((images, classes), 1.0)},
        random.integers(classes, size=images).tolist(),
        groups,
    )
    parts = nested_parts(held, seed)
    assert len(parts) != 1
    if parts:
        assert sorted(np.concatenate(parts).tolist()) == list(range(images))
    place = {row: number for number, part in enumerate(parts) for row in part.tolist()}
    for group in set(groups) if parts else ():
        assert len({place[row] for row, name in enumerate(groups) if name == group}) == 1


def test_seed_and_ids_decide_the_parts_and_names_of_groups_do_not() -> None:
    held = some(60)
    assert as_ids(held, 0) == as_ids(held, 0)
    assert as_ids(held, 0) != as_ids(held, 1)
    pairs = [f"{row // 2}" for row in range(60)]
    renamed = [f"group {99 - row // 2}" for row in range(60)]
    assert as_ids(some(60, groups=pairs), 0) == as_ids(some(60, groups=renamed), 0)
    assert as_ids(some(60, groups=pairs), 0) != as_ids(held, 0)


def test_what_cannot_be_split_has_no_parts() -> None:
    assert nested_parts(some(1), 0) == []
    assert nested_parts(some(20, groups=["all"] * 20), 0) == []
    assert nested_parts(some(3), 0) == []  # one image of each class
    assert len(nested_parts(some(6), 0)) == 2


def test_the_nested_score_is_that_of_a_loop_written_down(tmp_path: Path) -> None:
    labels = drawn_labels(100, 3)
    values = {
        name: seeing(labels, 3, skill=1 + number, noise=2, seed=number)
        for number, name in enumerate("pqr")
    }
    held = held_of(values, labels.tolist())
    made = settings_for(tmp_path, list(values))
    parts = nested_parts(held, 0)
    found = NestedValidation(held, made, parts).score(
        Candidate(BLEND_METHODS.get("optimised"), calibrated=True)
    )

    predicted = np.zeros((100, 3))
    for part in parts:
        rest = np.setdiff1d(np.arange(100), part)
        weights = optimise_with_temperature(held.values[:, rest], labels[rest])
        mean = sum(w * held.values[n] for n, w in enumerate(weights))
        temperature = fit_temperature(mean[rest], labels[rest])
        predicted[part] = apply_temperature(mean[part], temperature)
    assert found.nested == pytest.approx(score_values(predicted, labels, "log_loss"), abs=1e-6)
    assert found.fitted < found.nested
    assert found.temperature != 1.0
    assert (
        NestedValidation(held, made, parts)
        .score(Candidate(BLEND_METHODS.get("optimised")))
        .temperature
        == 1.0
    )


@pytest.mark.parametrize("method", ["optimised", "selection"])
def test_weights_below_a_temperature_are_fitted_with_it(tmp_path: Path, method: str) -> None:
    """Members that are unsure of themselves: their best mean without a temperature is another."""
    labels = drawn_labels(200, 3)
    values = {
        name: seeing(labels, 3, skill=1, noise=1, seed=number, sure=sure)
        for number, (name, sure) in enumerate({"p": 0.4, "q": 0.4, "r": 1.5}.items())
    }
    held = held_of(values, labels.tolist())
    validation = NestedValidation(held, settings_for(tmp_path, list("pqr")), nested_parts(held, 0))
    plain, calibrated = (
        validation.score(Candidate(BLEND_METHODS.get(method), each)) for each in (False, True)
    )
    assert plain.weights != calibrated.weights
    mean = sum(w * v for w, v in zip(plain.weights.values(), held.values, strict=True))
    after = apply_temperature(mean, fit_temperature(mean, held.labels))
    assert calibrated.fitted < score_values(after, held.labels, "log_loss") - 0.02
    assert calibrated.nested < score_values(after, held.labels, "log_loss")
    # What is shared is the candidate's own, whichever was scored first.
    other = NestedValidation(held, settings_for(tmp_path, list("pqr")), nested_parts(held, 0))
    again = other.score(Candidate(BLEND_METHODS.get(method), calibrated=True))
    assert (again.weights, again.nested) == (calibrated.weights, calibrated.nested)


def test_of_fixed_weights_both_scores_are_the_same_number(tmp_path: Path) -> None:
    labels = drawn_labels(50, 3)
    values = {name: seeing(labels, 3, skill=1, noise=1, seed=n) for n, name in enumerate("pq")}
    made = settings_for(tmp_path, ["p", "q"], weights={"p": 3.0, "q": 1.0})
    found = NestedValidation(held_of(values, labels.tolist()), made, []).score(
        Candidate(BLEND_METHODS.get("arithmetic"))
    )
    mean = (3 * values["p"] + values["q"]) / 4
    assert found.fitted == found.nested == pytest.approx(score_values(mean, labels, "log_loss"))
    assert found.weights == {"p": 3.0, "q": 1.0}


@pytest.mark.parametrize(
    ("method", "calibrated"),
    [
        ("optimised", False),
        ("optimised", True),
        ("selection", False),
        pytest.param("selection", True, marks=pytest.mark.slow),
    ],
)
def test_the_trap_members_of_pure_noise_look_better_fitted_and_are_not(
    tmp_path: Path, method: str, calibrated: bool
) -> None:
    losses = []
    for seed in range(4):
        labels = drawn_labels(60, 3, seed)
        names = [f"m{number:02d}" for number in range(20)]
        values = {
            name: seeing(labels, 3, skill=0, noise=1, seed=100 * seed + number)
            for number, name in enumerate(names)
        }
        held = held_of(values, labels.tolist())
        made = settings_for(tmp_path, names)
        found = NestedValidation(held, made, nested_parts(held, seed)).score(
            Candidate(BLEND_METHODS.get(method), calibrated)
        )
        mean = NestedValidation(held, made, nested_parts(held, seed)).score(
            Candidate(BLEND_METHODS.get("arithmetic"), calibrated)
        )
        assert found.fitted < mean.nested - 0.005, "without it there would be no trap"
        losses.append(found.nested - mean.nested)
    assert np.mean(losses) > 0.02


@pytest.mark.parametrize(
    ("metric", "classes", "images"),
    [
        ("auc", 2, 80),
        ("auc", 3, 80),
        ("quadratic_kappa", 5, 100),
        ("accuracy", 2, 60),
        ("macro_f1", 3, 60),
        ("log_loss", 2, 60),
        ("log_loss", 1000, 2000),
    ],
)
@pytest.mark.parametrize("method", ["geometric", "optimised", "selection"])
def test_every_metric_and_number_of_classes_is_judged(
    tmp_path: Path, metric: str, classes: int, images: int, method: str
) -> None:
    labels = drawn_labels(images, classes)
    values = {
        name: seeing(labels, classes, skill=1.5 * number, noise=1, seed=number)
        for number, name in enumerate("pqr")
    }
    held = held_of(values, labels.tolist())
    made = settings_for(tmp_path, list("pqr"), held.classes, metric)
    found = NestedValidation(held, made, nested_parts(held, 0)).score(
        Candidate(BLEND_METHODS.get(method))
    )
    mean = NestedValidation(held, made, []).score(Candidate(BLEND_METHODS.get("arithmetic")))
    assert np.isfinite([found.nested, found.fitted]).all()
    # The first member knows nothing, which the log loss finds out; selection asks the metric.
    if method == "optimised":
        assert found.weights["p"] == min(found.weights.values()) < 0.05
    if method == "selection":
        assert not METRICS.get(metric).better(mean.fitted, found.fitted)


def test_zeros_cost_what_the_log_loss_says_and_break_nothing(tmp_path: Path) -> None:
    labels = drawn_labels(40, 2)
    certain = np.eye(2)[labels]
    certain[0] = certain[0][::-1]  # certainly wrong once
    held = held_of({"p": certain, "q": certain[:, ::-1]}, labels.tolist())
    made = settings_for(tmp_path, ["p", "q"], ("a", "b"))
    for candidate in (
        Candidate(BLEND_METHODS.get("geometric")),
        Candidate(BLEND_METHODS.get("optimised")),
        Candidate(BLEND_METHODS.get("optimised"), True),
        Candidate(BLEND_METHODS.get("selection")),
    ):
        found = NestedValidation(held, made, nested_parts(held, 0)).score(candidate)
        assert np.isfinite([found.nested, found.fitted]).all(), candidate
    # All weight to p but for what its one mistake asks: 1/40.
    optimised = NestedValidation(held, made, nested_parts(held, 0)).score(
        Candidate(BLEND_METHODS.get("optimised"))
    )
    assert optimised.weights["p"] == pytest.approx(39 / 40, abs=1e-3)
